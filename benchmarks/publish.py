"""Publishes over HTTP, on the load generator's core: for peers that don't run code of ours.

`python -m benchmarks.publish PORT WIRE` posts a timestamp to `/publish` twenty times a second, on
one kept connection. The timestamp is taken before the request leaves, as the request is part of
what such a peer needs to deliver an event; its other costs to the publishing application aren't
counted. `python -m benchmarks.publish PORT WIRE json` posts JSON to `/publish-json` instead.

`python -m benchmarks.publish PORT WIRE flood` posts the numbers from 1 on to `/publish-flood` as
fast as they are taken: on one connection, which keeps them in order, with `PIPELINED` requests on
their way at any time, so that the server never waits for a request. That is in clear, always.
"""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable

from benchmarks.client import connection
from benchmarks.servers.workload import INTERVAL, now, quote

PIPELINED = 256
_ANSWER = b"HTTP/1.1 "


def publish_forever(port: int, path: str, made: Callable[[], str], *, encrypted: bool) -> None:
    publisher = connection(port, encrypted=encrypted)
    due = time.monotonic()
    while True:
        due += INTERVAL
        time.sleep(max(0.0, due - time.monotonic()))
        publisher.request("POST", path, made(), {"Content-Type": "text/plain"})
        response = publisher.getresponse()
        response.read()
        if response.status >= 300:
            raise SystemExit(f"publishing failed: {response.status} {response.reason}")


def flood_forever(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as publisher:
        sent = answered = 0
        rest = b""
        while True:
            wanted = range(sent + 1, answered + PIPELINED + 1)
            publisher.sendall(b"".join(map(_request, wanted)))
            sent = answered + PIPELINED
            received = publisher.recv(2**16)
            if not received:
                raise SystemExit("publishing failed: the connection was closed")
            rest += received
            answered += rest.count(_ANSWER)
            rest = rest[1 - len(_ANSWER) :]  # less than a whole one, which is counted already


def _request(number: int) -> bytes:
    body = b"%d" % number
    return b"POST /publish-flood HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b" % (
        len(body),
        body,
    )


if __name__ == "__main__":
    port, wire, *what = sys.argv[1:]
    if what == ["flood"]:
        flood_forever(int(port))
    elif what == ["json"]:
        publish_forever(int(port), "/publish-json", quote, encrypted=wire != "clear")
    else:
        publish_forever(int(port), "/publish", now, encrypted=wire != "clear")
