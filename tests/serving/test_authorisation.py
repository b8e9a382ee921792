"""Who may not have a stream is told so by an ordinary answer, before there is one."""

import time
from typing import Any

import pytest
import trio
import trio.testing
from fastapi import Depends, FastAPI, HTTPException, Request
from starlette.applications import Starlette
from starlette.routing import Route

from trio_stream import Stream, open_streams, outcome_counts
from trio_stream.frameworks.starlette import StreamResponse
from trio_stream.testing import connect

HOUR = 3600.0


async def forever(stream: Stream) -> None:
    await stream.send("secret")
    await trio.sleep_forever()


async def check(request: Request) -> float:
    """What a token's issuer would say: until when it holds."""
    match request.headers.get("authorization"):
        case "Bearer good":
            return time.time() + HOUR
        case "Bearer stolen":
            raise HTTPException(403)
    raise HTTPException(401, headers={"www-authenticate": "Bearer"})


def starlette() -> Starlette:
    async def endpoint(request: Request) -> Stream:
        return Stream(forever, expires_at=await check(request))

    return Starlette(routes=[Route("/", endpoint)])


def fastapi() -> FastAPI:
    app = FastAPI()

    @app.get("/")
    async def endpoint(until: float = Depends(check)) -> StreamResponse:
        return StreamResponse(Stream(forever, expires_at=until))

    return app


@pytest.mark.parametrize("app", [starlette(), fastapi()], ids=["starlette", "fastapi"])
@pytest.mark.parametrize(
    ("headers", "status"), [({}, 401), ({"authorization": "Bearer stolen"}, 403)]
)
async def test_before_the_stream_opens(app: Any, headers: dict[str, str], status: int) -> None:
    async with connect(app, headers=headers) as client:
        assert client.status == status
        assert b"secret" not in await client.read()
    assert open_streams() == ()
    assert outcome_counts() == {}


@pytest.mark.parametrize("app", [starlette(), fastapi()], ids=["starlette", "fastapi"])
async def test_and_it_closes_when_the_token_expires(
    app: Any, autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    offset = time.time() - trio.current_time()
    monkeypatch.setattr(time, "time", lambda: trio.current_time() + offset)
    headers = {"authorization": "Bearer good", "accept": "*/*"}
    async with connect(app, headers=headers) as client:
        began = trio.current_time()
        assert client.status == 200
        await client.read()
        assert client.ended == "broken"  # no EventSource: it is to come back by itself
        assert HOUR - 1 < trio.current_time() - began <= HOUR + 0.1
    assert outcome_counts() == {"expired": 1}
