#!/bin/sh
# Starlette 1.10.0, CORSMiddleware (on Hypercorn 0.18.0, Trio 0.35.0)
#
# Expected: whoever may GET may HEAD. A route for GET answers HEAD in Starlette without being told,
#   and the Fetch standard needs no permission for either method.
# Instead: the middleware's default, GET, is taken to the letter. The preflight of a HEAD, which a
#   browser sends if the request has a header of its own such as Authorization, is answered with
#   400 "Disallowed CORS method"; that of the same GET passes, and so does HEAD without a preflight.
# Matters: a page that looks with HEAD whether a stream or a file is there works until it has to
#   send a token; then `fetch` fails with a TypeError. In Chromium it works again once the page has
#   done the same GET, whose permission is kept for some minutes: so it fails now and then.
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
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route

ORIGIN = "https://page.example"


async def file(request):
    return PlainTextResponse("here")


cors = Middleware(CORSMiddleware, allow_origins=[ORIGIN], allow_headers=["Authorization"])
app = Starlette(routes=[Route("/", file)], middleware=[cors])


async def ask(address, method, **headers):
    """The status, the body, and the origin that may read the response."""
    fields = {"Host": "x", "Connection": "close", "Origin": ORIGIN}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    received = b""
    async with await trio.open_tcp_stream(*address) as client:
        lines = [f"{method} / HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
        await client.send_all("\r\n".join([*lines, "", ""]).encode())
        async for data in client:
            received += data
    head, _, body = received.decode().partition("\r\n\r\n")
    status, *lines = head.split("\r\n")
    answered = dict(line.lower().split(": ", 1) for line in lines)
    return int(status.split()[1]), body, answered.get("access-control-allow-origin")


async def main():
    config = hypercorn.config.Config()
    config.bind = ["127.0.0.1:0"]
    config.errorlog = None
    seen = {}
    with trio.fail_after(40):
        async with trio.open_nursery() as nursery:
            [bound] = await nursery.start(hypercorn.trio.serve, app, config)
            host, _, port = bound.removeprefix("http://").partition(":")
            address = host, int(port)
            for method in ("GET", "HEAD"):
                seen[method] = await ask(address, method)
                seen[f"preflight of {method}"] = await ask(
                    address,
                    "OPTIONS",
                    Access_Control_Request_Method=method,
                    Access_Control_Request_Headers="authorization",
                )
            nursery.cancel_scope.cancel()
    return seen


seen = trio.run(main)
for name, answer in seen.items():
    print(f"{name}: {answer}")
assert seen == {
    "GET": (200, "here", ORIGIN),
    "preflight of GET": (200, "OK", ORIGIN),
    "HEAD": (200, "", ORIGIN),
    "preflight of HEAD": (400, "Disallowed CORS method", ORIGIN),
}
PYTHON
timeout 60 venv/bin/python seen.py
