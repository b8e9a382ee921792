#!/bin/sh
# uvicorn 0.54.0 with httptools 0.9.0, the pair that `uvicorn[standard]` installs
#
# Expected: a streamed response to an HTTP/1.0 request is plain bytes up to the connection's end, as
#   HTTP/1.0 knows no chunks and the RFC forbids to send them there. So does uvicorn with h11.
# Instead: with httptools, which is taken whenever it is installed, the body has chunk sizes in it.
#   The same app, the same request, another answer, depending on an optional package.
# Matters: who still speaks HTTP/1.0 (load testers, health checks, old proxies, small devices) gets
#   "9" and "0" lines between the events. An event stream's parser skips them as unknown fields; one
#   of JSON lines or of plain text does not.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
python3 -m venv venv
venv/bin/pip --disable-pip-version-check install -q --no-compile \
    uvicorn==0.54.0 httptools==0.9.0 h11==0.16.0

cat > app.py <<'PYTHON'
async def app(scope, receive, send):
    assert scope["type"] == "http"
    assert scope["http_version"] == "1.0"
    start = {"type": "http.response.start", "status": 200}
    await send(start | {"headers": [(b"content-type", b"application/x-ndjson")]})
    for line in (b'{"n": 1}\n', b'{"n": 2}\n'):
        await send({"type": "http.response.body", "body": line, "more_body": True})
    await send({"type": "http.response.body"})
PYTHON

cat > seen.py <<'PYTHON'
import socket
import subprocess
import sys
import time


def connect(address):
    for _ in range(200):
        try:
            return socket.create_connection(address)
        except OSError:
            time.sleep(0.1)
    raise TimeoutError("the server does not listen")


def body(*options):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = probe.getsockname()
    command = [sys.executable, "-m", "uvicorn", "--lifespan", "off", "--port", str(address[1])]
    server = subprocess.Popen([*command, *options, "app:app"], stderr=subprocess.DEVNULL)
    try:
        received = b""
        with connect(address) as client:
            client.sendall(b"GET / HTTP/1.0\r\nHost: x\r\n\r\n")
            while data := client.recv(4096):
                received += data
    finally:
        server.terminate()
        server.wait(20)
    head, _, body = received.partition(b"\r\n\r\n")
    print(f"{' '.join(options) or 'as it comes'}: {head.splitlines()[0]} {body}")
    return body


assert body("--http", "h11") == b'{"n": 1}\n{"n": 2}\n'
chunked = b'9\r\n{"n": 1}\n\r\n9\r\n{"n": 2}\n\r\n0\r\n\r\n'
assert body() == body("--http", "httptools") == chunked
PYTHON
timeout 60 venv/bin/python seen.py
