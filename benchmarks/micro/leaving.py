"""How soon a client's leaving is told, with 500 other streams open.

`python -m benchmarks.micro.leaving` has one worker of Hypercorn's serve streams of this project and
bare ASGI, to clients that come one after another, in turns to either, and leave: every other one by
FIN, the rest by RST. It shows the time until a producer that waits is told, and until the upstream
of a response that is relayed is hung up on; both say nothing meanwhile. Of the other streams each
has an event a second. Worker and clients have a core each, where there are two.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

import httpx
import trio
from hypercorn.config import Config
from hypercorn.trio import serve
from rich.console import Console
from rich.table import Table

from benchmarks.cli import pin, raise_file_limit
from benchmarks.servers.asgi import Receive, Scope, Send
from benchmarks.servers.bare import START
from benchmarks.servers.on_trio import lifespan, until_disconnect
from trio_stream import Stream

#: Seconds, for what never comes.
LIMIT = 60

PEERS = ("trio-stream", "bare-hypercorn")
#: Who is told, by the path.
TOLD = {"quiet": "producer", "relay": "upstream"}

UPSTREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: begun\n\n"

console = Console(highlight=False, width=200)


# The worker.


async def wait_and_tell() -> AsyncIterator[str]:
    """Say on standard output when it is left, by the clock of all processes."""
    try:
        yield "begun"
        await trio.sleep_forever()
    finally:
        os.write(1, f"{time.monotonic()}\n".encode())


async def ticks() -> AsyncIterator[str]:
    while True:
        yield "tick"
        await trio.sleep(1)


async def ask_upstream(scope: Scope) -> httpx.Response:
    client = httpx.AsyncClient(timeout=None, verify=False)  # whose contexts take long to make
    url = f"http://127.0.0.1:{scope['query_string'].decode()}/"
    return await client.send(client.build_request("GET", url), stream=True)


async def relay(response: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for piece in response.aiter_raw():
            yield piece
    finally:
        with trio.CancelScope(shield=True):
            await response.aclose()


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """`/trio-stream/...` and `/bare-hypercorn/...`."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    _, peer, path = scope["path"].split("/")
    if peer == "trio-stream":
        source = {"quiet": wait_and_tell, "ticks": ticks, "relay": lambda: ask_upstream(scope)}
        await Stream(source[path]())(scope, receive, send)
        return
    await send(START)

    async def pass_on(body: bytes) -> None:
        await send({"type": "http.response.body", "body": body, "more_body": True})

    async def produce() -> None:
        if path == "relay":
            async for piece in relay(await ask_upstream(scope)):
                await pass_on(piece)
        else:
            async for word in wait_and_tell():
                await pass_on(f"data: {word}\n\n".encode())

    await until_disconnect(receive, produce)


async def work() -> None:
    config = Config()
    config.bind, config.loglevel = ["127.0.0.1:0"], "WARNING"
    async with trio.open_nursery() as nursery:
        binds = await nursery.start(serve, app, config)
        os.write(1, f"{binds[0].rpartition(':')[2]}\n".encode())


# The clients.


class Worker(NamedTuple):
    process: subprocess.Popen[bytes]
    port: int

    def ask(self, path: str) -> socket.socket:
        """A client that has the beginning of its stream."""
        client = socket.create_connection(("127.0.0.1", self.port), timeout=LIMIT)
        head = f"GET /{path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"
        client.sendall(head.encode())
        received = b""
        while b"data: " not in received:
            piece = client.recv(2**16)
            assert piece, f"hung up on after {received!r}"
            received += piece
        return client

    def told(self) -> float:
        assert self.process.stdout is not None
        return float(self.process.stdout.readline())


@contextmanager
def running(core: int) -> Iterator[Worker]:
    command = [sys.executable, "-m", "benchmarks.micro.leaving", "--worker"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            os.sched_setaffinity(process.pid, {core})
            assert process.stdout is not None
            yield Worker(process, int(process.stdout.readline()))
        finally:
            process.kill()


def leave(client: socket.socket, by_reset: bool) -> float:
    """When."""
    if by_reset:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    when = time.monotonic()
    client.close()
    return when


def time_producer(worker: Worker, peer: str, by_reset: bool) -> float:
    client = worker.ask(f"{peer}/quiet")
    left = leave(client, by_reset)
    return worker.told() - left


def time_upstream(worker: Worker, peer: str, by_reset: bool) -> float:
    with socket.create_server(("127.0.0.1", 0)) as listener, ExitStack() as opened:
        listener.settimeout(LIMIT)
        client = socket.create_connection(("127.0.0.1", worker.port), timeout=LIMIT)
        query = listener.getsockname()[1]
        client.sendall(f"GET /{peer}/relay?{query} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        upstream = opened.enter_context(listener.accept()[0])
        upstream.settimeout(LIMIT)
        upstream.recv(2**16)
        upstream.sendall(UPSTREAM)
        received = b""
        while b"data: begun\n\n" not in received:
            received += client.recv(2**16)
        left = leave(client, by_reset)
        while upstream.recv(2**16):
            pass
        return time.monotonic() - left


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--leavings", type=int, default=500, help="of each kind and peer")
    parser.add_argument("--others", type=int, default=500, help="streams that stay")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    raise_file_limit(console)
    if options.worker:
        trio.run(work)
        return
    core, _ = pin(console)
    took: dict[tuple[str, str], list[float]] = {}
    with running(core) as worker, ExitStack() as stack:
        for _ in range(options.others):
            stack.enter_context(worker.ask("trio-stream/ticks"))
        for number in range(options.leavings):
            for path, measure in (("quiet", time_producer), ("relay", time_upstream)):
                for peer in PEERS:
                    took.setdefault((path, peer), []).append(measure(worker, peer, number % 2 > 0))
    table = Table("who is told", "by", "median, ms", "p99, ms")
    for (path, peer), times in sorted(took.items()):
        median, p99 = statistics.median(times), statistics.quantiles(times, n=100)[98]
        table.add_row(TOLD[path], peer, f"{median * 1000:.2f}", f"{p99 * 1000:.2f}")
    console.print(table)


if __name__ == "__main__":
    main()
