#!/bin/sh
# httpx 0.28.1 and httpx2 2.16.2 with h2 4.4.1 (on Trio 0.35.0)
#
# Expected: to leave `async with client.stream(...)` before the end, or to be cancelled in it, ends
#   the response for the server, too: over HTTP/1.1 the connection is closed. HTTP/2 has RST_STREAM
#   for it.
# Instead: over HTTP/2 nothing is sent. The client forgets the stream, the server goes on until the
#   stream's window is full (64 KiB), which with short events is hours, or the client is closed.
# Matters: a user stops an answer, or closes the page behind a gateway, and the model writes on, and
#   is paid. Turning on `http2=True` for its speed is what brings it.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
python3 -m venv venv
venv/bin/pip --disable-pip-version-check install -q --no-compile \
    httpx==0.28.1 httpx2==2.16.2 h2==4.4.1 trio==0.35.0

cat > seen.py <<'PYTHON'
import select
import socket
import threading

import h2.config
import h2.connection
import h2.events
import httpx
import httpx2
import trio

HEADERS = [(":status", "200"), ("content-type", "text/event-stream")]
EVENT = b"data: tick\n\n"


class Server:
    """Sends an event each 50 ms until it is told to stop, over HTTP/2 or HTTP/1.1."""

    def __init__(self, http2):
        self.sent, self.told = 0, None
        self.socket = socket.create_server(("127.0.0.1", 0))
        serve = self.over_http2 if http2 else self.over_http1
        self.thread = threading.Thread(target=serve, daemon=True)
        self.thread.start()

    def over_http2(self):
        connection, _ = self.socket.accept()
        config = h2.config.H2Configuration(client_side=False)
        protocol = h2.connection.H2Connection(config)
        protocol.initiate_connection()
        number = None
        try:
            while self.told is None:
                connection.sendall(protocol.data_to_send())
                if select.select([connection], [], [], 0.05)[0]:
                    if not (data := connection.recv(65536)):
                        raise ConnectionError
                    for event in protocol.receive_data(data):
                        if isinstance(event, h2.events.RequestReceived):
                            number = event.stream_id
                            protocol.send_headers(number, HEADERS)
                        elif isinstance(event, h2.events.StreamReset):
                            self.told = "reset"
                elif number is not None:
                    protocol.send_data(number, EVENT)
                    self.sent += 1
        except OSError:
            self.told = "connection closed"

    def over_http1(self):
        connection, _ = self.socket.accept()
        try:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
            while not select.select([connection], [], [], 0.05)[0]:
                connection.sendall(EVENT)
                self.sent += 1
        except OSError:
            pass
        self.told = "connection closed"


async def read(client, url, events):
    async with client.stream("GET", url) as response:
        async for line in response.aiter_lines():
            if line:
                events -= 1
                if not events:
                    return


async def left(library, http2, *, cancelled):
    """What the server was told a second after its stream was left, and how much it sent since."""
    server = Server(http2)
    url = "http://127.0.0.1:%d/" % server.socket.getsockname()[1]
    async with library.AsyncClient(http1=not http2, http2=http2) as client:
        if cancelled:
            with trio.move_on_after(1):
                await read(client, url, 10**6)
        else:
            await read(client, url, 5)
        before = server.sent
        await trio.sleep(1)
        told, sent = server.told, server.sent - before
    await trio.to_thread.run_sync(server.thread.join, 20)
    return told, sent


for library in (httpx, httpx2):
    for cancelled in (False, True):
        told, sent = trio.run(lambda: left(library, False, cancelled=cancelled))
        how = "cancelled" if cancelled else "left"
        print(f"{library.__name__}, {how}: HTTP/1.1: {told}, {sent} events since;", end=" ")
        assert told == "connection closed"
        told, sent = trio.run(lambda: left(library, True, cancelled=cancelled))
        print(f"HTTP/2: {told}, {sent} events since")
        assert told is None and sent > 3
PYTHON
timeout 90 venv/bin/python seen.py
