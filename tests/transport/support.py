"""What the transport tests share: servers whose streams leave notes, and readers of those."""

import itertools
import json
import os
import re
import statistics
import time
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.support.hypercorn_process import Server, hypercorn
from tests.support.raw import read_until, send_request

every_transport = pytest.mark.parametrize("transport", ["direct", "portable"])


#: For who waits until `nothing_left`: no connection there may be idle between its requests.
LEFT_SOON = {"keep_alive_timeout": 0.5}

#: What of a server's state has to go back to where it was.
COUNTED = ("tasks", "descriptors", "stream buffers")


class Notes:
    """What a server's streams have noted so far; `apps.note` writes them."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def all(self, what: str, path: str | None = None) -> list[dict[str, Any]]:
        """The notes of one kind: "finally", "returned" or "lifespan.shutdown"."""
        if not self._path.exists():
            return []
        notes = [json.loads(line) for line in self._path.read_text().splitlines()]
        return [note for note in notes if note["what"] == what and path in (None, note.get("path"))]

    async def wait(
        self, what: str, path: str | None = None, *, count: int = 1, within: float = 60
    ) -> list[dict[str, Any]]:
        """Wait until there are `count` notes of this kind, and return them."""
        deadline = time.monotonic() + within
        while len(notes := self.all(what, path)) < count:
            assert time.monotonic() < deadline, f"{len(notes)} of {count} {what!r} in {within} s"
            await trio.sleep(0.01)
        return notes

    def serve(
        self, app: str, *, module: str = "apps", **options: Any
    ) -> AbstractAsyncContextManager[Server]:
        """A server of one of this folder's apps, which notes here what becomes of its streams."""
        # Hypercorn closes a connection on which nothing is asked for so long: on a busy machine
        # that is soon over. And whose client has left it lets go of only then, see `LEFT_SOON`.
        options.setdefault("keep_alive_timeout", 60)
        options["env"] = {"NOTES": str(self._path), **options.get("env", {})}
        return hypercorn(f"tests.transport.{module}:{app}", **options)


def crowding() -> float:
    """How much longer things take because other programs use this machine's processors, too."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def in_time(seconds: float) -> float:
    """The limit for what should take so long: later than on any busy machine it comes.

    Where this is the limit, what would be wrong comes much later still, or never.
    """
    return seconds + 5 * crowding()


async def open_stream(server: Server, path: str, *headers: str, **options: Any) -> trio.abc.Stream:
    """A connection that has asked for a stream over HTTP/1 and got the beginning of it."""
    stream = await server.connect()
    await send_request(stream, path, *headers, **options)
    await read_until(stream, b"retry: ")
    return stream


async def read_what_is_left(stream: trio.abc.Stream, *, within: float = 60) -> bytes:
    """All that comes until the server hangs up, be it by a reset; then close this side too."""
    received = b""
    with trio.fail_after(within), suppress(trio.BrokenResourceError):
        while piece := await stream.receive_some():
            received += piece
    await trio.aclose_forcefully(stream)
    return received


async def state(server: Server) -> dict[str, Any]:
    async with server.client() as client:
        facts: dict[str, Any] = (await client.get("/state")).json()
        return facts


async def nothing_left(
    server: Server, before: dict[str, Any], *, within: float = 60
) -> dict[str, Any]:
    """Wait until a server that lets go `LEFT_SOON` holds no more tasks, descriptors and streams."""
    deadline = time.monotonic() + within
    while True:
        after = await state(server)
        more = {name: after[name] - before[name] for name in COUNTED}
        if max(more.values()) <= 0:
            return after
        assert time.monotonic() < deadline, f"left after {within} s: {more}"
        await trio.sleep(0.8)  # until the connection that asked has gone, too


def body_of(response: bytes) -> tuple[bytes, bool]:
    """The body of an HTTP/1.1 response in chunks, and whether its last chunk has come."""
    head, _, rest = response.partition(b"\r\n\r\n")
    assert re.search(rb"(?i)\r\ntransfer-encoding: chunked", head), head
    body = b""
    while line := re.match(rb"([0-9a-fA-F]+)\r\n", rest):
        size = int(line[1], 16)
        chunk = rest[line.end() : line.end() + size]
        if size == 0:
            assert rest[line.end() :] == b"\r\n"
            return body, True
        body += chunk
        rest = rest[line.end() + size + 2 :]
        if len(chunk) < size:
            return body, False
    assert rest == b"", f"not a chunk: {rest[:100]!r}"
    return body, False


def events_of(body: bytes) -> list[str]:
    """The data of the events in an event stream."""
    return re.findall(r"^data: ?(.*)$", body.decode(), re.MULTILINE)


async def lateness(ticks: trio.abc.Stream, *, seconds: float) -> tuple[float, float]:
    """How late the events of a stream of `/ticks` come for so long, and the longest silence.

    The former is the median; the latter shows a server that does nothing at all for a while.
    """
    late = []
    arrivals = [time.monotonic()]
    with trio.move_on_after(seconds):
        while piece := await ticks.receive_some():
            now = time.monotonic()
            late += [now - float(tick) for tick in events_of(piece)]
            arrivals.append(now)
    arrivals.append(time.monotonic())
    return statistics.median(late), max(b - a for a, b in itertools.pairwise(arrivals))
