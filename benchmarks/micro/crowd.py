"""What it takes to take up a client, counted in calls: the same on any machine, however busy.

`python -m benchmarks.micro.crowd` serves `crowd` by each of the three to clients that come one
after another, and counts the calls of Python and C functions for each of them. With `--parts` it
says in which functions, those that they call included.
"""

from __future__ import annotations

import argparse
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from functools import partial
from types import CodeType, FrameType
from typing import Any

import trio
from hypercorn.config import Config
from hypercorn.trio import serve as hypercorn_serve

import trio_stream
from benchmarks.servers.bare import on_hypercorn
from benchmarks.servers.trio_stream_app import app

REQUEST = b"GET /crowd HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"

#: Clients before those that are counted: what is made once is there then.
WARMUP = 50

Serve = Callable[..., Any]
PEERS: dict[str, Serve] = {
    "bare-hypercorn": partial(hypercorn_serve, on_hypercorn),
    "trio-stream": partial(hypercorn_serve, app),
    "trio-stream-serve": partial(trio_stream.serve, app),
}


class Calls:
    """Counts the calls of this thread: all, and those within each function."""

    def __init__(self) -> None:
        self.all = 0
        self.within: Counter[CodeType] = Counter()
        self._running: list[tuple[CodeType, int]] = []

    def note(self, frame: FrameType, event: str, _: object) -> None:
        """For `sys.setprofile`; a coroutine that goes on counts as a call."""
        if event == "call":
            self._running.append((frame.f_code, self.all))
        self.all += event in {"call", "c_call"}
        if event == "return" and self._running:
            code, before = self._running.pop()
            self.within[code] += self.all - before


def open_streams(port: int, count: int, kept: list[socket.socket]) -> None:
    """That many clients, each of which has its event before the next comes."""
    for _ in range(count):
        client = socket.create_connection(("127.0.0.1", port))
        client.sendall(REQUEST)
        received = b""
        while b"data: " not in received:
            received += client.recv(2**16)
        kept.append(client)


async def count_calls(serve: Serve, clients: int) -> Calls:
    """Serve that many clients, and count."""
    config, stop, calls = Config(), trio.Event(), Calls()
    config.bind, config.graceful_timeout, config.loglevel = ["127.0.0.1:0"], 0, "WARNING"
    kept: list[socket.socket] = []
    async with trio.open_nursery() as nursery:
        binds = await nursery.start(partial(serve, config=config, shutdown_trigger=stop.wait))
        port = int(binds[0].rpartition(":")[2])
        for count in (WARMUP, clients):
            served = trio.Event()
            tell = partial(trio.lowlevel.current_trio_token().run_sync_soon, served.set)

            def come(count: int = count, tell: Callable[[], None] = tell) -> None:
                open_streams(port, count, kept)
                tell()

            sys.setprofile(calls.note if count is clients else None)
            threading.Thread(target=come).start()
            await served.wait()
            sys.setprofile(None)
        for client in kept:
            client.close()
        stop.set()
    return calls


def main() -> None:
    """Count for one peer in this process, or for each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=500)
    parser.add_argument("--parts", type=int, default=0, help="so many functions of each")
    parser.add_argument("--peer", choices=PEERS)
    options = parser.parse_args()
    if options.peer is None:
        for peer in PEERS:
            command = [sys.executable, "-m", "benchmarks.micro.crowd", "--peer", peer]
            given = ["--clients", str(options.clients), "--parts", str(options.parts)]
            subprocess.run([*command, *given], check=True)
        return
    calls = trio.run(count_calls, PEERS[options.peer], options.clients)
    print(f"{options.peer}: {calls.all / options.clients:.0f} calls for each client")
    for code, count in calls.within.most_common(options.parts):
        print(f"{count / options.clients:8.0f}  {code.co_qualname}")


if __name__ == "__main__":
    main()
