"""Apps whose streams tell their process's id: for `hypercorn`, and for `serve` as a program."""

import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import trio
from starlette.applications import Starlette
from starlette.routing import Route

from trio_stream import Stream, StreamMiddleware, serve, stream_app
from trio_stream.transport.hypercorn import signals

# Which signals are one is a question of time, which a test answers as it needs it.
signals._TOGETHER = float(os.environ.get("TOGETHER", signals._TOGETHER))


def say(words: str) -> None:
    os.write(sys.stderr.fileno(), f"{words}\n".encode())


async def produce(stream: Stream) -> None:
    assert stream.scope is not None
    try:
        await stream.send(os.getpid())
        if stream.scope["path"] == "/patient":
            await stream.draining.wait()
            say(f"draining {os.getpid()}")
            await trio.sleep(float(stream.scope["query_string"]))
            await stream.send("last words")
            return
        await trio.sleep_forever()
    finally:
        say(f"finally {stream.outcome}")


async def endpoint(request: Any) -> Stream:
    return Stream(produce, drain_timeout=1000 if request.scope["path"] == "/patient" else 0)


framework = Starlette(routes=[Route("/{path}", endpoint)])
under_middleware = StreamMiddleware(framework)


@asynccontextmanager
async def lifespan(app: object) -> AsyncIterator[None]:
    yield
    say("the lifespan's end")


bare = stream_app(lifespan=lifespan)(produce)
patient = stream_app(lifespan=lifespan, drain_timeout=1000)(produce)


def handle(number: int, frame: object) -> None:
    say(f"the app's own handler: {signal.Signals(number).name}")


@asynccontextmanager
async def handling(app: object) -> AsyncIterator[None]:
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, handle)
    yield


with_handlers = stream_app(lifespan=handling)(produce)


async def two_servers() -> None:
    async with trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(partial(serve, under_middleware, bind="127.0.0.1:0"))


if __name__ == "__main__":
    match sys.argv[1]:
        case "one" | "patient one":
            app = bare if sys.argv[1] == "one" else patient
            trio.run(partial(serve, app, bind="127.0.0.1:0", graceful_timeout=int(sys.argv[2])))
        case "two":
            trio.run(two_servers)
        case "with a handler":
            signal.signal(signal.SIGTERM, handle)
            trio.run(partial(serve, under_middleware, bind="127.0.0.1:0"))
    say("served")
