#!/bin/sh
# Starlette 1.10.0, StreamingResponse (on Hypercorn 0.18.0, Trio 0.35.0)
#
# Expected: a generator that reads `request.stream()` and yields what it makes of it answers an
#   upload while that arrives: it is what async generators are for.
# Instead: beside the generator the response listens for the client's leaving, by the same
#   `receive`. Of the parts that arrive about each second one goes to the listener, who drops it.
#   The answer is 200, complete, and made of the rest.
# Matters: what transcodes, filters, counts or forwards an upload as a stream loses half of it, and
#   there is no error or line in the log. A small upload, which is one part, is answered right.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
python3 -m venv venv
venv/bin/pip --disable-pip-version-check install -q --no-compile \
    starlette==1.10.0 hypercorn==0.18.0 trio==0.35.0

cat > app.py <<'PYTHON'
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route


async def streamed(request):
    async def back():
        async for part in request.stream():
            yield part

    return StreamingResponse(back())


async def at_once(request):
    return PlainTextResponse(await request.body())


app = Starlette(
    routes=[
        Route("/streamed", streamed, methods=["POST"]),
        Route("/at-once", at_once, methods=["POST"]),
    ]
)
PYTHON

cat > seen.py <<'PYTHON'
import http.client
import re
import socket
import subprocess
import sys
import time

PARTS = [f"[{number}]" for number in range(10)]
with socket.create_server(("127.0.0.1", 0)) as probe:
    port = probe.getsockname()[1]
command = ["hypercorn", "--worker-class", "trio", "--bind", f"127.0.0.1:{port}", "app:app"]
server = subprocess.Popen([sys.executable, "-m", *command])


def upload(path, pause):
    """The status, and the parts that come back."""

    def parts():
        for part in PARTS:
            yield part.encode()
            time.sleep(pause)

    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("POST", path, parts(), encode_chunked=True)
    response = connection.getresponse()
    return response.status, re.findall(r"\[\d+]", response.read().decode())


try:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            break
        except OSError:
            time.sleep(0.1)
    whole = upload("/at-once", 0.1)
    streamed = [upload("/streamed", 0.1) for _ in range(3)]
finally:
    server.terminate()
    server.wait(20)
print(f"body():   {whole[0]} {' '.join(whole[1])}")
for status, parts in streamed:
    print(f"stream(): {status} {' '.join(parts)}")
assert whole == (200, PARTS)
for status, parts in streamed:
    assert status == 200
    assert len(parts) < len(PARTS) - 2
PYTHON
timeout 60 venv/bin/python seen.py
