#!/bin/sh
# Hypercorn 0.18.0 (Trio worker, Trio 0.35.0; the asyncio worker does the same)
#
# Expected: one line in the access log for each request, with the status that the client was sent.
# Instead: when the client leaves a stream there is a line at once, with "-" for the status,
#   although "200" had long been sent. If the application then comes to its end by itself (a
#   generator that writes its last words, one that has not looked at the disconnect) there is a
#   second line for the same request, with 200 and a longer time.
# Matters: leaving is how nearly every event stream ends. Request counts, error rates ("no status")
#   and durations made from the log are wrong for just these.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
python3 -m venv venv
venv/bin/pip --disable-pip-version-check install -q --no-compile hypercorn==0.18.0 trio==0.35.0

cat > app.py <<'PYTHON'
import trio


async def app(scope, receive, send):
    assert scope["type"] == "http"
    start = {"type": "http.response.start", "status": 200}
    await send(start | {"headers": [(b"content-type", b"text/event-stream")]})
    for number in range(5):
        data = b"data: %d\n\n" % number
        await send({"type": "http.response.body", "body": data, "more_body": True})
        await trio.sleep(0.3)
    await send({"type": "http.response.body"})
PYTHON

cat > seen.py <<'PYTHON'
import socket
import subprocess
import sys
import time

with socket.create_server(("127.0.0.1", 0)) as probe:
    address = probe.getsockname()
command = [sys.executable, "-m", "hypercorn", "--worker-class", "trio", "app:app"]
command += ["--bind", "%s:%d" % address, "--access-logfile", "-", "--access-logformat"]
server = subprocess.Popen(
    [*command, "LINE %(U)s status=%(s)s"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
)


def connect():
    for _ in range(200):
        try:
            return socket.create_connection(address)
        except OSError:
            time.sleep(0.1)
    raise TimeoutError("the server does not listen")


try:
    with connect() as left:  # a client that leaves after the first event
        left.sendall(b"GET /left HTTP/1.1\r\nHost: x\r\n\r\n")
        received = b""
        while b"data: 0" not in received:
            received += left.recv(4096)
    print(received.partition(b"\r\n")[0])
    with connect() as stayed:
        stayed.sendall(b"GET /stayed HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        while stayed.recv(4096):
            pass
    time.sleep(0.5)
finally:
    server.terminate()
    output, _ = server.communicate(timeout=20)

lines = [line.partition("LINE ")[2] for line in output.splitlines() if "LINE " in line]
print("\n".join(lines))
assert received.startswith(b"HTTP/1.1 200 ")
assert [line for line in lines if "/stayed" in line] == ["/stayed status=200"]
assert [line for line in lines if "/left" in line] == ["/left status=-", "/left status=200"]
PYTHON
timeout 60 venv/bin/python seen.py
