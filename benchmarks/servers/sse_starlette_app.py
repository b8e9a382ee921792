"""sse-starlette: its response served as the ASGI app it is, without a framework's routing above.

`on_hypercorn` is for Hypercorn's Trio worker, `on_uvicorn` for uvicorn.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import ModuleType

from sse_starlette import EventSourceResponse

from benchmarks.servers import on_asyncio, on_trio
from benchmarks.servers.asgi import App, Receive, Scope, Send
from benchmarks.servers.workload import INTERVAL, now


def make_app(runtime: ModuleType) -> App:
    hub = runtime.Hub(now)

    async def ticks() -> AsyncIterator[str]:
        while True:
            await runtime.sleep(INTERVAL)
            yield now()

    async def idle() -> AsyncIterator[str]:
        await runtime.sleep_forever()
        yield ""

    sources = {"/flood": runtime.words, "/ticks": ticks, "/idle": idle, "/fanout": hub.subscribe}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await runtime.lifespan(receive, send, hub.publish_forever)
            return
        # LF, as everyone else here writes it, instead of sse-starlette's CRLF.
        response = EventSourceResponse(sources[scope["path"]](), sep="\n")
        await response(scope, receive, send)

    return app


on_hypercorn = make_app(on_trio)
on_uvicorn = make_app(on_asyncio)
