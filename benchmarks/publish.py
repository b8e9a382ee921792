"""Publishes a timestamp twenty times a second over HTTP: for peers that don't run code of ours.

`python -m benchmarks.publish PORT` posts to `/publish` on one kept connection, on the load
generator's core. The timestamp is taken before the request leaves, as the request is part of what
such a peer needs to deliver an event; its other costs to the publishing application aren't counted.
"""

from __future__ import annotations

import http.client
import sys
import time

from benchmarks.servers.workload import INTERVAL, now


def publish_forever(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    due = time.monotonic()
    while True:
        due += INTERVAL
        time.sleep(max(0.0, due - time.monotonic()))
        connection.request("POST", "/publish", now(), {"Content-Type": "text/plain"})
        response = connection.getresponse()
        response.read()
        if response.status >= 300:
            raise SystemExit(f"publishing failed: {response.status} {response.reason}")


if __name__ == "__main__":
    publish_forever(int(sys.argv[1]))
