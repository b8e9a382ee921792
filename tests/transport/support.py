"""What the transport tests share: servers whose streams leave notes, and readers of those."""

import json
import re
import time
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from tests.support.hypercorn_process import Server, hypercorn
from tests.support.raw import read_until, send_request

every_transport = pytest.mark.parametrize("transport", ["direct", "portable"])


#: Seconds that no test waits for: what comes then comes too late for whoever has a limit.
NEVER = 3600

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
        # five seconds are soon over.
        options.setdefault("keep_alive_timeout", NEVER)
        options["env"] = {"NOTES": str(self._path), **options.get("env", {})}
        return hypercorn(f"tests.transport.{module}:{app}", **options)


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
    """What a server holds, by a connection that it lets go of at once."""
    while True:
        try:
            async with server.client(headers={"connection": "close"}) as client:
                facts: dict[str, Any] = (await client.get("/state")).json()
                return facts
        except httpx.TransportError:
            assert server.process.returncode is None, server.process.log()


async def nothing_left(
    server: Server, before: dict[str, Any], *, within: float = 60
) -> dict[str, Any]:
    """Wait until a server holds no more tasks, descriptors and streams than before.

    Of clients that have left before they had asked for anything Hypercorn lets go only after its
    `keep_alive_timeout`.
    """
    deadline = time.monotonic() + within
    while True:
        after = await state(server)
        more = {name: after[name] - before[name] for name in COUNTED}
        if max(more.values()) <= 0:
            return after
        assert time.monotonic() < deadline, f"left after {within} s: {more}"
        await trio.sleep(0.05)  # until the connection that asked has gone, too


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


async def ticks_on(ticks: trio.abc.Stream, *, seconds: float) -> None:
    """Read a stream of `/ticks` until its server has gone on with it for so long from now on."""
    until, tick = time.monotonic() + seconds, 0.0
    received = b""
    while tick < until:  # what has come meanwhile is read first
        received = received[-100:] + await read_until(ticks, b"\n\n")
        if found := re.findall(rb"data: ([\d.]+)\n", received):
            tick = float(found[-1])
