"""Bare ASGI: no library at all, one `send` for each event.

`on_hypercorn` is for Hypercorn's Trio worker, `on_uvicorn` for uvicorn, also behind Caddy.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import ModuleType

from benchmarks.servers import on_asyncio, on_trio
from benchmarks.servers.asgi import App, Receive, Scope, Send
from benchmarks.servers.workload import INTERVAL, now, quote

START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [
        (b"content-type", b"text/event-stream; charset=utf-8"),
        (b"cache-control", b"no-store"),
    ],
}


def block(text: str) -> bytes:
    return f"data: {text}\n\n".encode()


def make_app(runtime: ModuleType) -> App:
    hub = runtime.Hub(lambda: block(now()))
    quotes = runtime.Hub(lambda: block(quote()))

    async def flood() -> AsyncIterator[bytes]:
        async for word in runtime.words():
            yield block(word)

    async def ticks() -> AsyncIterator[bytes]:
        while True:
            await runtime.sleep(INTERVAL)
            yield block(now())

    async def quote_each() -> AsyncIterator[bytes]:
        while True:
            await runtime.sleep(INTERVAL)
            yield block(quote())

    async def crowd() -> AsyncIterator[bytes]:
        yield block(now())
        await runtime.sleep_forever()

    sources = {"/flood": flood, "/ticks": ticks, "/fanout": hub.subscribe, "/crowd": crowd}
    sources |= {"/ticks-json": quote_each, "/topic-json": quotes.subscribe}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await runtime.lifespan(receive, send, hub.publish_forever, quotes.publish_forever)
            return
        await send(START)

        async def produce() -> None:
            source = sources.get(scope["path"])
            if source is None:  # idle: the response has begun, and that is all
                await runtime.sleep_forever()
                return
            async for body in source():
                await send({"type": "http.response.body", "body": body, "more_body": True})

        await runtime.until_disconnect(receive, produce)

    return app


on_hypercorn = make_app(on_trio)
on_uvicorn = make_app(on_asyncio)
