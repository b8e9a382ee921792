#!/bin/sh
# uvicorn 0.54.0, granian 2.8.9, daphne 4.2.3, Hypercorn 0.18.0 (Trio 0.35.0)
#
# Expected: a client may close its sending side after the request (`nc -N` does, and so do some
#   health checks and hand-written clients) and still read the whole answer: it has only said that
#   it has no more to send. The RFC asks servers to go on where they can.
# Instead: it depends on the server. Hypercorn sends the whole stream. uvicorn cuts it after what
#   was written at once. granian and daphne close without a single byte of the response.
# Matters: the same script that watches a stream works in front of one server and sees an empty one,
#   without an error, in front of another.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
python3 -m venv venv
venv/bin/pip --disable-pip-version-check install -q --no-compile \
    uvicorn==0.54.0 granian==2.8.9 daphne==4.2.3 hypercorn==0.18.0 trio==0.35.0

cat > app.py <<'PYTHON'
import sys


async def app(scope, receive, send):
    assert scope["type"] == "http"
    start = {"type": "http.response.start", "status": 200}
    await send(start | {"headers": [(b"content-type", b"text/event-stream")]})
    for number in range(3):
        data = b"data: %d\n\n" % number
        await send({"type": "http.response.body", "body": data, "more_body": True})
        await (sys.modules.get("trio") or sys.modules["asyncio"]).sleep(0.3)
    await send({"type": "http.response.body"})
PYTHON

cat > seen.py <<'PYTHON'
import re
import socket
import subprocess
import sys
import time

COMMANDS = {
    "hypercorn": ["hypercorn", "--worker-class", "trio", "--bind", "127.0.0.1:PORT", "app:app"],
    "uvicorn": ["uvicorn", "--lifespan", "off", "--port", "PORT", "app:app"],
    "granian": ["granian", "--interface", "asginl", "--port", "PORT", "app:app"],
    "daphne": ["daphne", "-p", "PORT", "app:app"],
}


def connect(address):
    for _ in range(200):
        try:
            return socket.create_connection(address, timeout=10)
        except OSError:
            time.sleep(0.1)
    raise TimeoutError("the server does not listen")


def events(address, half_close):
    with connect(address) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        if half_close:
            client.shutdown(socket.SHUT_WR)
        received = b""
        while data := client.recv(4096):
            received += data
    return len(re.findall(rb"data: \d", received)), received[:12]


seen = {}
for name, command in COMMANDS.items():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = probe.getsockname()
    command = [part.replace("PORT", str(address[1])) for part in command]
    server = subprocess.Popen(
        [sys.executable, "-m", *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        whole, seen[name] = events(address, False), events(address, True)
    finally:
        server.terminate()
        server.wait(30)
    print(f"{name}: whole {whole}, half-closed {seen[name]}")
    assert whole == (3, b"HTTP/1.1 200")
assert seen == {
    "hypercorn": (3, b"HTTP/1.1 200"),
    "uvicorn": (1, b"HTTP/1.1 200"),
    "granian": (0, b""),
    "daphne": (0, b""),
}
PYTHON
timeout 100 venv/bin/python seen.py
