"""No framework at all: a callback as a whole ASGI application, with options and a lifespan."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from trio_stream import Stream, StreamApp, stream_app


@asynccontextmanager
async def lifespan(app: StreamApp) -> AsyncIterator[dict[str, str]]:
    sys.stderr.write("the lifespan has begun\n")
    yield {"greeting": "hello"}
    sys.stderr.write("the lifespan is over\n")


@stream_app(event="word", retry=1500, headers={"x-app": "plain"}, ping=1, lifespan=lifespan)
async def app(stream: Stream) -> None:
    assert stream.scope is not None
    try:
        await stream.send(stream.scope["state"]["greeting"])
        await stream.send(f"over {stream.scope['http_version']}")
        if stream.scope["path"] == "/endless":
            number = 0
            while True:
                await stream.send(number := number + 1)
                await stream.wait(0.01)
        if stream.scope["path"] == "/silent":
            await stream.wait(1000)
    finally:
        sys.stderr.write(f"{stream.scope['path']} ended: {stream.outcome}\n")
