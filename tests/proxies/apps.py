"""What stands behind the proxies: streams that say on standard error what became of them."""

import os
import sys
import time
from collections.abc import AsyncIterator

import trio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from trio_stream import Stream, StreamMiddleware

listening: set[Stream] = set()


def silent(ping: float | None) -> Stream:
    """One event, and then nothing but pings, if any, and what is said to it."""

    async def produce(stream: Stream) -> None:
        await stream.send("here")
        listening.add(stream)
        await trio.sleep_forever()

    def ended(stream: Stream) -> None:
        listening.discard(stream)
        os.write(sys.stderr.fileno(), f"ended: {stream.outcome}\n".encode())

    return Stream(produce, ping=ping, on_end=ended)


async def failing() -> AsyncIterator[str]:
    yield "half"
    raise ZeroDivisionError("the producer's own")


async def counting(stream: Stream) -> None:
    """An event each tenth of a second, with its time and 300 bytes, that can be resumed."""
    n = int(stream.last_event_id or 0)
    while True:
        n += 1
        await stream.send({"n": n, "at": time.time(), "more": "x" * 300}, id=n)
        await stream.wait(0.1)


async def events(request: Request) -> Stream:
    if request.path_params["kind"] == "counting":
        return Stream(counting)
    if request.path_params["kind"] == "failing":
        return Stream(failing())
    return silent(0.5 if request.path_params["kind"] == "pinging" else None)


async def say(request: Request) -> Response:
    for stream in listening:
        stream.send_nowait("said")
    return Response(status_code=204)


routes = [Route("/events/{kind}", events), Route("/say", say, methods=["POST"])]
behind = StreamMiddleware(Starlette(routes=routes))
