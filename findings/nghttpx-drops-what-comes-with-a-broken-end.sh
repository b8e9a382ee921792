#!/bin/sh
# nghttpx 1.52.0 (Debian 12's package nghttp2-proxy 1.52.0-1+deb12u3), HTTP/1.1 on both sides
#
# Expected: what the upstream has sent of a response is passed on, and then the response is broken
#   off, if the upstream's connection ended without the last chunk or in the middle of its length.
# Instead: it is broken off without what arrived together with that end: the last event, or a
#   hundred of them. The same bytes arrive if a last chunk follows, or if the end comes later.
# Matters: the last event before a failure is the one that says what failed, and a server that sends
#   it and closes has both on their way together. Whether it arrives depends on a millisecond; here
#   data and end go out in one packet, and it never does.
grep -q '^12\.' /etc/debian_version || { echo "needs Debian 12"; exit 2; }
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
apt-get download -qq nghttp2-proxy=1.52.0-1+deb12u3 libnghttp2-14=1.52.0-1+deb12u3 \
    libev4 libjemalloc2 libc-ares2 2>/dev/null || { echo "needs: apt-get update"; exit 2; }
for package in *.deb; do dpkg-deb --extract "$package" debian; done

cat > seen.py <<'PYTHON'
import os
import pathlib
import socket
import subprocess
import threading
import time

TIMES = 10
FIRST, LAST = b"data: first\n\n", b"data: last\n\n" * 100
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
[library] = pathlib.Path("debian/usr/lib").glob("*-linux-gnu")
environment = os.environ | {"LD_LIBRARY_PATH": str(library.absolute())}
binary = "debian/usr/sbin/nghttpx"
print(subprocess.check_output([binary, "--version"], env=environment, text=True).strip())


def chunk(data):
    return b"%x\r\n%b\r\n" % (len(data), data)


# What is sent first, what comes with the end, and how many seconds later that end is sent.
CASES = {
    "/chunks": (b"Transfer-Encoding: chunked\r\n\r\n" + chunk(FIRST), chunk(LAST), 0),
    "/length": (b"Content-Length: 10000\r\n\r\n" + FIRST, LAST, 0),
    "/later": (b"Transfer-Encoding: chunked\r\n\r\n" + chunk(FIRST), chunk(LAST), 0.5),
    "/whole": (b"Transfer-Encoding: chunked\r\n\r\n" + chunk(FIRST), chunk(LAST) + chunk(b""), 0),
}


def answer(connection):
    with connection:
        if not (request := connection.recv(4096)):
            return
        first, last, later = CASES[request.split()[1].decode()]
        connection.sendall(HEAD + first)
        time.sleep(0.3)
        if not later:  # what is written waits for more, and goes out with the end
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
        connection.sendall(last)
        time.sleep(later)


def serve(listener):
    while True:
        threading.Thread(target=answer, args=[listener.accept()[0]], daemon=True).start()


def connect(address):
    for _ in range(200):
        try:
            return socket.create_connection(address, timeout=10)
        except OSError:
            time.sleep(0.1)
    raise TimeoutError("nghttpx does not listen")


def events(address, path):
    """How many events arrive, and whether the response has its proper end."""
    received = b""
    with connect(address) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        while data := client.recv(65536):
            received += data
    return received.count(b"data: "), received.endswith(b"\r\n0\r\n\r\n")


origin = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=serve, args=[origin], daemon=True).start()
with socket.create_server(("127.0.0.1", 0)) as probe:
    front = probe.getsockname()
options = [
    f"--frontend=127.0.0.1,{front[1]};no-tls",
    f"--backend=127.0.0.1,{origin.getsockname()[1]}",
    *("--conf=/dev/null", "--accesslog-file=/dev/null", "--errorlog-file=/dev/null"),
]
nghttpx = subprocess.Popen([binary, *options], env=environment, stderr=subprocess.DEVNULL)
seen = {}
try:
    for path in CASES:
        direct = events(origin.getsockname(), path)
        seen[path] = direct, {events(front, path) for _ in range(TIMES)}
        print(f"{path}: (events, proper end) without nghttpx {direct}, through it {seen[path][1]}")
finally:
    nghttpx.terminate()
    nghttpx.wait(20)
assert seen == {
    "/chunks": ((101, False), {(1, False)}),
    "/length": ((101, False), {(1, False)}),
    "/later": ((101, False), {(101, False)}),
    "/whole": ((101, True), {(101, True)}),
}
PYTHON
timeout 60 python3 seen.py
