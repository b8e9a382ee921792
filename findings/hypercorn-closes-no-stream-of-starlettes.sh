#!/bin/sh
# Hypercorn 0.18.0 (its Trio worker, Trio 0.35.0; asyncio for comparison) with Starlette 1.10.0
#
# Expected: a streamed response to an HTTP/1.0 request, or to one with `Connection: close`, ends
#   with its connection; one that is kept alive is closed when nothing has come for
#   keep_alive_timeout.
# Instead: after a StreamingResponse the Trio worker closes neither. The generator has ended and the
#   last byte is there, and whoever reads to the connection's end, as HTTP/1.0 has it, waits for
#   ever. The response is told of the disconnect as it ends, and by that cancels what is about to
#   close.
# Matters: nginx before 1.29 speaks HTTP/1.0 to its upstreams unless told otherwise: behind it a
#   download or an answer is all there, hangs for its proxy_read_timeout, and is broken off then.
#   The asyncio worker, and any response that is not streamed, are all right.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
python3 -m venv venv
venv/bin/pip --disable-pip-version-check install -q --no-compile \
    hypercorn==0.18.0 trio==0.35.0 starlette==1.10.0

cat > app.py <<'PYTHON'
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route


async def events():
    for n in range(3):
        yield f"data: {n}\n\n"


async def stream(request):
    return StreamingResponse(events(), media_type="text/event-stream")


async def whole(request):
    return PlainTextResponse("data: 2\n\n")


app = Starlette(routes=[Route("/stream", stream), Route("/whole", whole)])
PYTHON
echo 'keep_alive_timeout = 1' > config.toml

cat > seen.py <<'PYTHON'
import socket
import subprocess
import sys
import time

REQUESTS = {
    "HTTP/1.0": "GET {} HTTP/1.0\r\nHost: x\r\n\r\n",
    "close": "GET {} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "kept alive": "GET {} HTTP/1.1\r\nHost: x\r\n\r\n",
}


def connect(address):
    for _ in range(300):
        try:
            return socket.create_connection(address, timeout=5)
        except OSError:
            time.sleep(0.1)
    raise TimeoutError("the server does not listen")


def closes(address, request):
    """Whether the server closes the connection, in five seconds."""
    received = b""
    with connect(address) as client:
        client.sendall(request.encode())
        try:
            while data := client.recv(4096):
                received += data
        except TimeoutError:
            return False
        finally:
            assert b"data: 2" in received
    return True


seen = {}
for worker_class in ("asyncio", "trio"):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = probe.getsockname()
    bind = f"127.0.0.1:{address[1]}"
    command = ["hypercorn", "-c", "config.toml", "-k", worker_class, "--bind", bind, "app:app"]
    null = subprocess.DEVNULL
    server = subprocess.Popen([sys.executable, "-m", *command], stdout=null, stderr=null)
    try:
        for path in ("/whole", "/stream"):
            for name, request in REQUESTS.items():
                seen[worker_class, path, name] = closes(address, request.format(path))
    finally:
        server.terminate()
        server.wait(30)
for which, closed in seen.items():
    print(*which, "closed" if closed else "still open after 5 s")
assert all(closed == (which[:2] != ("trio", "/stream")) for which, closed in seen.items())
PYTHON
timeout 110 venv/bin/python seen.py
