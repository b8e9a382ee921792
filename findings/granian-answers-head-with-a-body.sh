#!/bin/sh
# granian 2.8.9 over HTTP/2 (client: h2 4.4.1)
#
# Expected: an application that streams to a HEAD request as to a GET has its body dropped by the
#   server, as granian does over HTTP/1.1 and as other servers do with either.
# Instead: over HTTP/2 the DATA frames are sent. A client that holds the server to the protocol
#   treats the response as broken, although nothing is wrong with the application.
# Matters: HEAD is how monitors and caches look at an endpoint, and few streaming endpoints treat it
#   apart. Behind a proxy that speaks HTTP/2 to the server each such probe is a protocol error.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
python3 -m venv venv
venv/bin/pip --disable-pip-version-check install -q --no-compile granian==2.8.9 h2==4.4.1

cat > app.py <<'PYTHON'
async def app(scope, receive, send):
    assert scope["type"] == "http"
    start = {"type": "http.response.start", "status": 200}
    await send(start | {"headers": [(b"content-type", b"text/event-stream")]})
    for number in range(2):
        data = b"data: %d\n\n" % number
        await send({"type": "http.response.body", "body": data, "more_body": True})
    await send({"type": "http.response.body"})
PYTHON

cat > seen.py <<'PYTHON'
import socket
import subprocess
import sys
import time

import h2.connection
import h2.events
import h2.exceptions

with socket.create_server(("127.0.0.1", 0)) as probe:
    address = probe.getsockname()
command = [sys.executable, "-m", "granian", "--interface", "asginl", "--http", "auto"]
server = subprocess.Popen([*command, "--port", str(address[1]), "app:app"])


def connect():
    for _ in range(200):
        try:
            return socket.create_connection(address, timeout=10)
        except OSError:
            time.sleep(0.1)
    raise TimeoutError("the server does not listen")


def http1():
    with connect() as client:
        client.sendall(b"HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        received = b""
        while data := client.recv(4096):
            received += data
    return received.partition(b"\r\n\r\n")[2]


def http2(method):
    """The bytes of the DATA frames, and what a strict client says of them."""
    connection = h2.connection.H2Connection()
    connection.initiate_connection()
    fields = [(":method", method), (":path", "/"), (":scheme", "http"), (":authority", "x")]
    connection.send_headers(1, fields, end_stream=True)
    body = b""
    with connect() as client:
        client.sendall(connection.data_to_send())
        while data := client.recv(65536):
            try:
                for event in connection.receive_data(data):
                    if isinstance(event, h2.events.DataReceived):
                        body += event.data
                    if isinstance(event, h2.events.StreamEnded):
                        return body, None
            except h2.exceptions.ProtocolError as error:
                return body, f"{type(error).__name__}: {error}"
            client.sendall(connection.data_to_send())


try:
    over_http1, got, head = http1(), http2("GET"), http2("HEAD")
finally:
    server.terminate()
    server.wait(20)
print(f"HTTP/1.1 HEAD: {over_http1}\nHTTP/2 GET: {got}\nHTTP/2 HEAD: {head}")
assert over_http1 == b""
assert got == (b"data: 0\n\ndata: 1\n\n", None)
assert head[1] == "InvalidBodyLengthError: InvalidBodyLengthError: Expected 0 bytes, received 9"
PYTHON
timeout 60 venv/bin/python seen.py
