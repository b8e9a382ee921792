"""What stands behind the proxies: streams that say on standard error what became of them."""

import os
import sys
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


async def events(request: Request) -> Stream:
    if request.path_params["kind"] == "failing":
        return Stream(failing())
    return silent(0.5 if request.path_params["kind"] == "pinging" else None)


async def say(request: Request) -> Response:
    for stream in listening:
        stream.send_nowait("said")
    return Response(status_code=204)


routes = [Route("/events/{kind}", events), Route("/say", say, methods=["POST"])]
behind = StreamMiddleware(Starlette(routes=routes))
