#!/bin/sh
# Starlette 1.10.0 on gunicorn 27.0.1 (its ASGI worker), beside Hypercorn 0.18.0 (Trio 0.35.0),
# uvicorn 0.54.0 and granian 2.8.9
#
# Expected: a response's `background` task runs after the response, however that ended. For a stream
#   this is where many write down what was used, or give something back.
# Instead: it depends on the server. If that says that it speaks version 2.4 of ASGI's HTTP, as
#   gunicorn does, Starlette raises ClientDisconnect when the client leaves, and the task never
#   runs. On the other three, which name an older version, it runs.
# Matters: leaving is how streams end. Tokens that are counted, locks and places that are given back
#   "in the background" are so on one server and are lost on the next, by the same code. A `finally`
#   in the generator is for that.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
python3 -m venv venv
venv/bin/pip --disable-pip-version-check install -q --no-compile \
    starlette==1.10.0 gunicorn==27.0.1 hypercorn==0.18.0 trio==0.35.0 uvicorn==0.54.0 granian==2.8.9

cat > app.py <<'PYTHON'
import anyio
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.responses import StreamingResponse
from starlette.routing import Route


async def events(number):
    try:
        for n in range(number):
            yield f"data: {n}\n\n"
            await anyio.sleep(0.1)
    finally:
        print("finally", flush=True)


async def stream(request):
    print("ASGI", request.scope["asgi"].get("spec_version"), flush=True)
    after = BackgroundTask(print, "background", flush=True)
    number = int(request.query_params["events"])
    return StreamingResponse(events(number), media_type="text/event-stream", background=after)


app = Starlette(routes=[Route("/", stream)])
PYTHON

cat > seen.py <<'PYTHON'
import socket
import subprocess
import sys
import time

COMMANDS = {
    "hypercorn": ["hypercorn", "--worker-class", "trio", "--bind", "127.0.0.1:PORT", "app:app"],
    "uvicorn": ["uvicorn", "--port", "PORT", "app:app"],
    "granian": ["granian", "--interface", "asgi", "--port", "PORT", "app:app"],
    "gunicorn": ["gunicorn", "-k", "asgi", "--bind", "127.0.0.1:PORT", "app:app"],
}
WORDS = ("ASGI", "finally", "background")


def connect(address):
    for _ in range(300):
        try:
            return socket.create_connection(address, timeout=10)
        except OSError:
            time.sleep(0.1)
    raise TimeoutError("the server does not listen")


def get(address, events, leave):
    with connect(address) as client:
        request = f"GET /?events={events} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        client.sendall(request.encode())
        received = b""
        while data := client.recv(4096):
            received += data
            if (b"data: 1" if leave else b"\r\n0\r\n\r\n") in received:
                return


def said(command, leave):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = probe.getsockname()
    command = [part.replace("PORT", str(address[1])) for part in command]
    server = subprocess.Popen(
        [sys.executable, "-m", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        get(address, 1000 if leave else 3, leave)
        time.sleep(2)
    finally:
        server.terminate()
        out, _ = server.communicate(timeout=60)
    return [line for line in out.splitlines() if line.startswith(WORDS)]


seen = {}
for name, command in COMMANDS.items():
    whole, seen[name] = said(command, leave=False), said(command, leave=True)
    print(f"{name}: read to its end: {whole[1:]}; left: {seen[name]}")
    assert "background" in whole
for name in ("hypercorn", "uvicorn", "granian"):
    assert seen[name][0] < "ASGI 2.4" and "background" in seen[name]
assert seen["gunicorn"] == ["ASGI 2.4", "finally"]
PYTHON
timeout 120 venv/bin/python seen.py
