"""A clock in Starlette: a Stream is an ASGI app, so an endpoint returns it as its response.

    hypercorn --worker-class trio examples.clock:app     # then: curl -N http://127.0.0.1:8000

Needs Starlette besides (pip install starlette). `StreamMiddleware` around it all is not needed:
with it, streams write straight to the connection, and end as soon as the server is told to stop.

Known limits: every client has a loop of its own. Where thousands want the very same events, let
one task publish them to a topic, or `encode` each event once and send it to all.
"""

import time

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from trio_stream import Stream, StreamMiddleware


async def clock(request: Request) -> Stream:
    async def tick(stream: Stream) -> None:
        while True:
            await stream.send({"now": time.time()}, event="tick")
            await stream.wait(1)

    return Stream(tick, retry=2000)  # milliseconds, as on the wire


app = StreamMiddleware(Starlette(routes=[Route("/", clock)]))
