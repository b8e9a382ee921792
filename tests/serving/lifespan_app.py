"""An app whose lifespan fails when $FAILS says: for `hypercorn`, and for `serve` as a program."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import trio
from starlette.applications import Starlette
from starlette.routing import Route

from trio_stream import Stream, StreamMiddleware, serve, stream_app


@asynccontextmanager
async def lifespan(app: object) -> AsyncIterator[None]:
    """Fails at start-up, when the file $WHEN has come while it runs, or at shutdown."""
    fails = os.environ["FAILS"]
    if fails == "startup":
        raise ConnectionError("no database")
    async with trio.open_nursery() as nursery:
        if fails == "running":
            nursery.start_soon(lose_it)
        yield
        nursery.cancel_scope.cancel()
    if fails == "shutdown":
        raise ConnectionError("no database")


async def lose_it() -> None:
    while not Path(os.environ["WHEN"]).exists():
        await trio.sleep(0.02)
    raise ConnectionError("no database")


async def forever(stream: Stream) -> None:
    await stream.send("hello")
    await trio.sleep_forever()


async def endpoint(request: object) -> Stream:
    return Stream(forever)


bare = stream_app(lifespan=lifespan)(forever)
under_middleware = StreamMiddleware(Starlette(routes=[Route("/", endpoint)], lifespan=lifespan))

if __name__ == "__main__":
    trio.run(partial(serve, bare, bind="127.0.0.1:0"))
