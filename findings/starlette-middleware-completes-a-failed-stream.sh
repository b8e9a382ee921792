#!/bin/sh
# Starlette 1.10.0, BaseHTTPMiddleware (on Hypercorn 0.18.0, Trio 0.35.0; on uvicorn it is the same)
#
# Expected: when a streamed response's generator raises, the client can tell: the chunked body has
#   no last chunk. That is what happens without the middleware.
# Instead: with any BaseHTTPMiddleware around, also one that does nothing, the body gets its proper
#   end first and the exception is raised afterwards. The log has the error, the client has a
#   complete response.
# Matters: half an answer, or half an export, is taken for the whole, by caches and proxies, too. A
#   client that reconnects after a broken stream does not. Adding a middleware for a header is
#   enough.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
python3 -m venv venv
venv/bin/pip --disable-pip-version-check install -q --no-compile \
    starlette==1.10.0 hypercorn==0.18.0 trio==0.35.0

cat > seen.py <<'PYTHON'
import hypercorn.config
import hypercorn.trio
import trio
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import StreamingResponse
from starlette.routing import Route

LAST_CHUNK = b"\r\n0\r\n\r\n"


async def rows(request):
    async def produce():
        yield "data: 1\n\n"
        await trio.sleep(0.1)
        raise RuntimeError("the database went away")

    return StreamingResponse(produce(), media_type="text/event-stream")


class DoesNothing(BaseHTTPMiddleware):
    async def dispatch(self, request, call_next):
        return await call_next(request)


async def get(address, path):
    """What came on a connection of its own, to its end."""
    received = b""
    async with await trio.open_tcp_stream(*address) as client:
        request = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        await client.send_all(request.encode())
        async for data in client:
            received += data
    return received


async def body(middleware):
    app = Starlette(routes=[Route("/", rows)], middleware=middleware)
    config = hypercorn.config.Config()
    config.bind = ["127.0.0.1:0"]
    config.errorlog = None
    with trio.fail_after(40):
        async with trio.open_nursery() as nursery:
            [bound] = await nursery.start(hypercorn.trio.serve, app, config)
            host, _, port = bound.removeprefix("http://").partition(":")
            address = host, int(port)
            received = await get(address, "/")
            nursery.cancel_scope.cancel()
    head, _, body = received.partition(b"\r\n\r\n")
    print(f"{middleware}: {head.splitlines()[0]} {body}")
    return body


bare, wrapped = trio.run(body, []), trio.run(body, [Middleware(DoesNothing)])
assert bare == b"9\r\ndata: 1\n\n\r\n"
assert wrapped == b"9\r\ndata: 1\n\n" + LAST_CHUNK
PYTHON
timeout 60 venv/bin/python seen.py
