#!/bin/sh
# Starlette 1.10.0, Request.is_disconnected (on Hypercorn 0.18.0, Trio 0.35.0; asyncio for
# comparison)
#
# Expected: `await request.is_disconnected()` says whether the client has left. Polling it between
#   two steps of work is how FastAPI's and Starlette's users stop what nobody waits for any more.
# Instead: on Trio it is False for ever. It asks for the server's message inside a scope that is
#   cancelled already; on asyncio a message that is there is still handed out, on Trio each receive
#   begins by looking whether it is cancelled.
# Matters: the very same endpoint ends at once under `hypercorn`, and under `hypercorn
#   --worker-class trio` works on to its end for a client who has left. There is no error or
#   warning.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
python3 -m venv venv
venv/bin/pip --disable-pip-version-check install -q --no-compile \
    starlette==1.10.0 hypercorn==0.18.0 trio==0.35.0

cat > app.py <<'PYTHON'
import anyio
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route


async def work(request):
    """Twenty steps, as long as somebody waits for them."""
    for step in range(20):
        if await request.is_disconnected():
            break
        await anyio.sleep(0.1)
    else:
        step = "the last"
    print(f"stopped at: {step}", flush=True)
    return PlainTextResponse("done")


app = Starlette(routes=[Route("/", work)])
PYTHON

cat > seen.py <<'PYTHON'
import socket
import subprocess
import sys
import time


def connect(address):
    for _ in range(300):
        try:
            return socket.create_connection(address, timeout=10)
        except OSError:
            time.sleep(0.1)
    raise TimeoutError("the server does not listen")


def stopped_at(worker_class):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = probe.getsockname()
    bind = f"127.0.0.1:{address[1]}"
    server = subprocess.Popen(
        [sys.executable, "-m", "hypercorn", "-k", worker_class, "--bind", bind, "app:app"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        with connect(address) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            time.sleep(0.35)
        for line in server.stdout:
            if line.startswith("stopped at: "):
                return line.removeprefix("stopped at: ").strip()
    finally:
        server.terminate()
        server.wait(30)


on_asyncio, on_trio = stopped_at("asyncio"), stopped_at("trio")
print(f"the client leaves after 0.35 s; asyncio stops at step {on_asyncio}, Trio at {on_trio}")
assert on_asyncio.isdigit() and on_trio == "the last"
PYTHON
timeout 90 venv/bin/python seen.py
