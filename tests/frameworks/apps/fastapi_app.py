from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import Depends, FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.middleware.gzip import GZipMiddleware

from tests.frameworks.apps import streams
from trio_stream import Stream, StreamMiddleware
from trio_stream.frameworks.starlette import StreamResponse

app = FastAPI()
app.add_middleware(GZipMiddleware)
app.add_middleware(CORSMiddleware, allow_origins=["https://example.org"], allow_credentials=True)


async def resource() -> AsyncIterator[dict[str, bool]]:
    state = {"open": True}
    yield state
    state["open"] = False


@app.get("/endless")
@app.post("/endless")
async def endless() -> StreamResponse:
    return StreamResponse(streams.endless())


@app.get("/finite")
async def finite() -> StreamResponse:
    response = StreamResponse(streams.finite())
    response.set_cookie("seen", "yes")
    return response


@app.get("/dependency")
async def dependency(state: Annotated[dict[str, bool], Depends(resource)]) -> StreamResponse:
    async def values() -> AsyncIterator[bool]:
        yield state["open"]

    return StreamResponse(Stream(values()))


@app.get("/upstream-down")
async def upstream_down() -> StreamResponse:
    return StreamResponse(streams.upstream_down())


@app.get("/failing")
async def failing() -> StreamResponse:
    return StreamResponse(streams.failing())


@app.get("/lines")
async def lines() -> StreamResponse:
    return StreamResponse(streams.lines())


@app.post("/echo")
async def echo(body: dict[str, str]) -> StreamResponse:
    return StreamResponse(Stream([body["text"]]))


@app.get("/ended")
async def ended() -> list[dict[str, Any]]:
    return streams.ended


direct = StreamMiddleware(app)
