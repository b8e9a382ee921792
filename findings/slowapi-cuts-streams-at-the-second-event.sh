#!/bin/sh
# slowapi 0.1.10, SlowAPIASGIMiddleware (with Starlette 1.10.0, on Hypercorn 0.18.0, Trio 0.35.0)
#
# Expected: of slowapi's two middlewares the ASGI one is the natural choice for streams, as it does
#   not wrap the response the way BaseHTTPMiddleware does.
# Instead: it sends the response's start again before every piece of the body. The first piece gets
#   through, at the second one the server raises and cuts the connection. SlowAPIMiddleware streams.
# Matters: every response of one piece works, so tests and most endpoints say nothing; the first
#   endpoint that streams loses everything but its first event.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
python3 -m venv venv
venv/bin/pip --disable-pip-version-check install -q --no-compile \
    slowapi==0.1.10 starlette==1.10.0 hypercorn==0.18.0 trio==0.35.0

cat > seen.py <<'PYTHON'
import hypercorn.config
import hypercorn.trio
import trio
from slowapi import Limiter
from slowapi.middleware import SlowAPIASGIMiddleware, SlowAPIMiddleware
from slowapi.util import get_remote_address
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route


async def events(request):
    async def produce():
        for number in range(3):
            yield f"data: {number}\n\n"
            await trio.sleep(0.05)

    return StreamingResponse(produce(), media_type="text/event-stream")


async def plain(request):
    return PlainTextResponse("fine")


async def get(address, path):
    """What came on a connection of its own, to its end."""
    received = b""
    async with await trio.open_tcp_stream(*address) as client:
        request = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        await client.send_all(request.encode())
        async for data in client:
            received += data
    return received


async def bodies(middleware):
    routes = [Route("/events", events), Route("/plain", plain)]
    app = Starlette(routes=routes, middleware=[Middleware(middleware)])
    app.state.limiter = Limiter(key_func=get_remote_address, default_limits=["1000/minute"])
    config = hypercorn.config.Config()
    config.bind = ["127.0.0.1:0"]
    config.errorlog = None
    with trio.fail_after(40):
        async with trio.open_nursery() as nursery:
            [bound] = await nursery.start(hypercorn.trio.serve, app, config)
            host, _, port = bound.removeprefix("http://").partition(":")
            address = host, int(port)
            seen = {}
            for path in ("/plain", "/events"):
                seen[path] = (await get(address, path)).partition(b"\r\n\r\n")[2]
            nursery.cancel_scope.cancel()
    print(f"{middleware.__name__}: {seen}")
    return seen


base, asgi = trio.run(bodies, SlowAPIMiddleware), trio.run(bodies, SlowAPIASGIMiddleware)
assert base["/plain"] == asgi["/plain"] == b"fine"
assert base["/events"].count(b"data:") == 3
assert asgi["/events"] == b"9\r\ndata: 0\n\n\r\n"
PYTHON
timeout 60 venv/bin/python seen.py
