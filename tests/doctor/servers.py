"""A server that is in order, and one for each thing that can be wrong."""

from __future__ import annotations

import gzip
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count, islice
from typing import Any

import trio

from tests.client.scripted import Exchange, Script, no_content, redirect, reset, status

#: What is also wrong with those that say nothing to proxies.
TOLD = "proxies-not-told"

HEAD = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-store, no-transform",
    "x-accel-buffering": "no",
    "transfer-encoding": "chunked",
}


async def head(exchange: Exchange, **changes: str | None) -> None:
    """The head of a stream that is in order, but for these."""
    headers = HEAD | {name.replace("_", "-"): value for name, value in changes.items()}
    await exchange.head(**{name: value for name, value in headers.items() if value is not None})


async def chunk(exchange: Exchange, data: bytes) -> None:
    await exchange.send(b"%x\r\n%b\r\n" % (len(data), data))


def numbered(exchange: Exchange) -> Iterator[bytes]:
    """Events that go on behind Last-Event-ID, without end."""
    for n in count(int(exchange.request.headers.get("last-event-id", 0)) + 1):
        yield b"id: %d\ndata: %d\n\n" % (n, n)


async def healthy(exchange: Exchange) -> None:
    await streaming()(exchange)


def streaming(
    begin: bytes = b"retry: 3000\n\n",
    events: Callable[[Exchange], Iterator[bytes]] = numbered,
    distance: float = 1,
    **changes: str | None,
) -> Script:
    """A head, this beginning, and these events at this distance; then nothing."""

    async def script(exchange: Exchange) -> None:
        await head(exchange, **changes)
        await chunk(exchange, begin)
        for event in events(exchange):
            await chunk(exchange, event)
            await trio.sleep(distance)
        await exchange.until_closed()

    return script


def ends(body: bytes, seconds: float = 0, end: bytes = b"0\r\n\r\n", **changes: str) -> Script:
    """All of this at once, and this end so much later."""

    async def script(exchange: Exchange) -> None:
        await head(exchange, **changes)
        await chunk(exchange, b"retry: 3000\n\n" + body)
        await trio.sleep(seconds)
        await exchange.send(end)

    return script


def ending(body: bytes, seconds: float = 0, end: bytes = b"0\r\n\r\n") -> Script:
    """The same, and for who comes back there is no more."""
    return unless_resumed(ends(body, seconds, end), no_content)


def unframed(body: bytes, seconds: float) -> Script:
    """The same without chunks: it ends as its connection does."""

    async def script(exchange: Exchange) -> None:
        if "last-event-id" in exchange.request.headers:
            await no_content(exchange)
            return
        await head(exchange, transfer_encoding=None)
        await exchange.send(b"retry: 3000\n\n" + body)
        await trio.sleep(seconds)

    return script


def by_target(scripts: dict[str, Script], other: Script) -> Script:
    """By the path that is asked for; query left out."""

    async def script(exchange: Exchange) -> None:
        await scripts.get(exchange.request.target.partition("?")[0], other)(exchange)

    return script


def by_host(**scripts: Script) -> Script:
    async def script(exchange: Exchange) -> None:
        await scripts[exchange.request.headers["host"]](exchange)

    return script


def one(body: bytes) -> Callable[[Exchange], Iterator[bytes]]:
    """This, and then what is in order."""

    def events(exchange: Exchange) -> Iterator[bytes]:
        if "last-event-id" not in exchange.request.headers:
            yield body
        yield from numbered(exchange)

    return events


async def silent(exchange: Exchange) -> None:
    await exchange.until_closed()


def later(seconds: float, script: Script = healthy) -> Script:
    async def wait(exchange: Exchange) -> None:
        await trio.sleep(seconds)
        await script(exchange)

    return wait


def cutting(seconds: float) -> Script:
    """Events, and no end to them, but that of the connection."""

    async def script(exchange: Exchange) -> None:
        with trio.move_on_after(seconds):
            await healthy(exchange)

    return script


def collecting(size: int) -> Script:
    """A topic's events, one each second, that something collects for each connection."""

    async def script(exchange: Exchange) -> None:
        await head(exchange)
        await chunk(exchange, b"retry: 3000\n\n")
        after = int(exchange.request.headers.get("last-event-id", trio.current_time()))
        held = b""
        for n in count(after + 1):
            await trio.sleep_until(n)
            held += b"id: %d\ndata: %d\n\n" % (n, n)
            if (n - after) % size == 0:
                await chunk(exchange, held)
                held = b""

    return script


async def slow_line(exchange: Exchange) -> None:
    """Events of 100 KB over a line of 50 KB a second."""
    await head(exchange)
    await chunk(exchange, b"retry: 3000\n\n")
    for event in numbered(exchange):
        whole = b": %b\ndata: %b\n%b" % (b"x" * 10, b"x" * 100_000, event)
        for start in range(0, len(whole), 10_000):
            await chunk(exchange, whole[start : start + 10_000])
            await trio.sleep(0.2)


async def empty_gzip(exchange: Exchange) -> None:
    """The beginning of what is compressed, whatever is accepted, and no more."""
    await head(exchange, content_encoding="gzip")
    await chunk(exchange, zlib.compressobj(wbits=31).compress(b""))
    await exchange.until_closed()


async def once(exchange: Exchange) -> None:
    """An answer to a POST: what ends, and is not asked for again."""
    await head(exchange)
    await chunk(exchange, b"data: 1\n\n")
    await trio.sleep(1)
    await chunk(exchange, b"data: [DONE]\n\n")
    await exchange.send(b"0\r\n\r\n")


def blocks(size: int, distance: float = 0.2) -> Script:
    """What a proxy makes of events that it collects: blocks of one size."""

    async def script(exchange: Exchange) -> None:
        await head(exchange)
        held = b"retry: 3000\n\n"
        for event in numbered(exchange):
            held += event
            while len(held) >= size:
                await chunk(exchange, held[:size])
                held = held[size:]
            await trio.sleep(distance)

    return script


def pings_held(exchange: Exchange) -> Iterator[bytes]:
    for event in numbered(exchange):
        yield b": ping\n\n" * 3 + event


def late_now_and_then(exchange: Exchange) -> Iterator[bytes]:
    """Events with times, each third of which was made 0.4 seconds before it came."""
    for n in count(int(exchange.request.headers.get("last-event-id", 0)) + 1):
        made = time.time() - (0 if n % 3 else 0.4)
        yield b'id: %d\ndata: {"at": %f}\n\n' % (n, made)


def lumps(exchange: Exchange) -> Iterator[bytes]:
    events = numbered(exchange)
    while True:
        yield b"".join(islice(events, 3))


def slowly(seconds: float) -> Script:
    """The head at once, and nothing for so long."""

    async def script(exchange: Exchange) -> None:
        await head(exchange)
        await trio.sleep(seconds)
        await chunk(exchange, b"retry: 3000\n\n")
        for event in numbered(exchange):
            await chunk(exchange, event)
            await trio.sleep(1)

    return script


def dated(held: int, apart: float = 1, *, late: float = 0) -> Callable[[Exchange], Iterator[bytes]]:
    """Events with times, one a second, of which so many are held at a time."""

    def events(exchange: Exchange) -> Iterator[bytes]:
        for n in count(int(exchange.request.headers.get("last-event-id", -1)) + 1, held):
            now = time.time() - late
            yield b"".join(
                b'id: %d\ndata: {"at": %f}\n\n' % (n + i, now - (held - 1 - i) * apart)
                for i in range(held)
            )

    return events


def compressing(*, flush: bool = True, head_first: bool = True, late: float = 0) -> Script:
    """Compresses for those who accept it, and flushes each event, or none, or late."""

    async def script(exchange: Exchange) -> None:
        if "gzip" not in exchange.request.headers["accept-encoding"]:
            await healthy(exchange)
        elif not head_first:
            await exchange.until_closed()
        await head(exchange, content_encoding="gzip")
        step = zlib.compressobj(wbits=31)
        await chunk(exchange, step.compress(b"retry: 3000\n\n") + step.flush(zlib.Z_SYNC_FLUSH))
        await trio.sleep(late)
        for event in numbered(exchange):
            data = step.compress(event) + (step.flush(zlib.Z_SYNC_FLUSH) if flush else b"")
            if data:
                await chunk(exchange, data)
            await trio.sleep(1)

    return script


async def cut_with_compression(exchange: Exchange) -> None:
    """Ends its body properly, in the middle of what is compressed."""
    await head(exchange, content_encoding="gzip")
    body = gzip.compress(b"retry: 3000\n\n" + b"".join(b"data: %d\n\n" % n for n in range(500)))
    await chunk(exchange, body[: len(body) // 2])
    await exchange.send(b"0\r\n\r\n")


def pinging(distance: float, before: bytes = b"retry: 3000\n\n") -> Script:
    def pings(exchange: Exchange) -> Iterator[bytes]:
        while True:
            yield b": ping\n\n"

    return streaming(before, pings, distance)


def without_regard(exchange: Exchange) -> Iterator[bytes]:
    """The same events whatever the client asks for."""
    for n in count(1):
        yield b"id: %d\ndata: %d\n\n" % (n, n)


async def ticking(exchange: Exchange) -> None:
    await delayed(0)(exchange)


def delayed(late: float) -> Script:
    """The events of a topic, one each second of the clock, so late."""

    async def script(exchange: Exchange) -> None:
        await head(exchange)
        await chunk(exchange, b"retry: 3000\n\n")
        after = int(exchange.request.headers.get("last-event-id", trio.current_time()))
        for n in count(after + 1):
            await trio.sleep_until(n + late)
            await chunk(exchange, b"id: %d\ndata: %d\n\n" % (n, n))

    return script


def without_ids(exchange: Exchange) -> Iterator[bytes]:
    for n in count():
        yield b"data: %d\n\n" % n


def anew(exchange: Exchange) -> Iterator[bytes]:
    """Events whose ids no other connection has."""
    for n in count():
        yield b"id: %d-%d\ndata: a\n\n" % (id(exchange), n)


def repeating(exchange: Exchange) -> Iterator[bytes]:
    for n in count(int(exchange.request.headers.get("last-event-id", 1))):
        yield b"id: %d\ndata: %d\n\n" % (n, n)


def unless_resumed(script: Script, resumed: Script) -> Script:
    async def either(exchange: Exchange) -> None:
        has_id = "last-event-id" in exchange.request.headers
        await (resumed if has_id else script)(exchange)

    return either


@dataclass
class Case:
    """A server with something wrong.

    Attributes:
      code: of what is wrong.
      seen: words of what is told.
      script: what it does with each request.
      also: what else is then wrong.
      options: of the examination.
    """

    code: str
    seen: str
    script: Script
    also: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)


ONE = b"id: 1\ndata: 1\n\n"
TWO = ONE + b"id: 2\ndata: 2\n\n"

ELSEWHERE = redirect(307, "/there?key=secret")
COLLECTED = unless_resumed(
    status("200 OK", ONE, content_type="text/event-stream", cache_control="no-store"), no_content
)

CASES = [
    Case("unreachable", "RemoteProtocolError", reset),
    Case("no-answer", "has not answered for 20.0 s", silent),
    Case("no-more", "204", no_content),
    Case("refused", "answers 503; Retry-After: 30", status("503 No", retry_after="30")),
    Case("refused", "answers 401; who may read it", status("401 No")),
    Case("refused", "answers 301", status("301 No")),
    Case("redirected", "to http://host/there", by_target({"/": ELSEWHERE}, healthy)),
    Case("not-an-event-stream", "'text/html', though it", streaming(content_type="text/html")),
    Case("not-an-event-stream", "none, though it looks", streaming(content_type=None)),
    Case("charset", "latin-1", streaming(content_type="text/event-stream;charset=latin-1")),
    Case("charset", "says utf8", streaming(content_type="text/event-stream; charset=utf8")),
    Case("not-utf-8", "no UTF-8", streaming(events=one(b"id: 0\ndata: \xe9\n\n"))),
    Case("late-first-byte", "the head after 5.0 s, the first byte", later(5)),
    Case("held-back", "half an event came, and the rest up to", blocks(70)),
    Case("held-back", "3 pings came together", streaming(events=pings_held)),
    Case("held-back", "all 2 events came together, 1.0 s after", later(1, ending(TWO))),
    Case("held-back", "(at) events come together that", streaming(events=dated(4), distance=4)),
    Case("held-back", "(at) some are 0.4 s later than", streaming(events=late_now_and_then)),
    Case(
        "held-back",
        "by their times (at) each is 200 ms late",
        streaming(events=dated(1, late=0.2)),
        options={"url": "http://localhost/"},
    ),
    Case("held-back", "that were made 0.5 s apart", streaming(events=dated(2, 0.5), distance=1)),
    Case("held-back", "over another connection the same events", collecting(3)),
    Case("in-lumps", "3 events at a time, 2.0 s apart", streaming(events=lumps, distance=2)),
    Case("nothing-at-first", "the first byte of its body after 4.0 s", slowly(4)),
    Case("compression-holds-back", "without it something can", compressing(flush=False)),
    Case("compression-holds-back", "without compression it answers", compressing(head_first=False)),
    Case("compression-holds-back", "events come 3.0 s later", compressing(late=3)),
    Case("undecodable", "what can be undone here", streaming(content_encoding="compress")),
    Case("undecodable", "this is no gzip", streaming(content_encoding="gzip")),
    Case("from-a-cache", "Age: 17", streaming(age="17")),
    Case("from-a-cache", "x-cache: HIT", streaming(x_cache="HIT from proxy")),
    Case("fixed-length", "Content-Length: 15", COLLECTED, ("no-retry", TOLD)),
    Case("long-silence", "silent for 31.0 s", pinging(31), options={"seconds": 40}),
    Case("few-pings", "silent for 17.0 s", pinging(17)),
    Case("many-pings", "0.2 s apart", pinging(0.2)),
    Case("no-retry", "none", streaming(b": here\n\n")),
    Case("ignored-retry", "1 retry lines are no number", streaming(b"retry: 3s\n\n")),
    Case("odd-retry", "0.01 s", streaming(b"retry: 10\n\n")),
    Case("no-ids", "none with", streaming(events=without_ids)),
    Case("bad-id", "no HTTP header", streaming(events=one(b"id: \x01\ndata: a\n\n"))),
    Case("bad-id", "U+0000", streaming(events=one(b"id: a\0\ndata: a\n\n"))),
    Case("foreign-id", "more than ASCII", streaming(events=one("id: 7é\ndata: a\n\n".encode()))),
    Case("not-resumed", "at another place", streaming(events=without_regard)),
    Case("not-resumed", "with what was not seen before", streaming(events=anew)),
    Case("repeated", "with the event of Last-Event-ID", streaming(events=repeating)),
    Case("resume-refused", "status 400", unless_resumed(healthy, status("400 No"))),
    Case("resume-refused", "no answer", unless_resumed(healthy, silent)),
    Case("broken-end", "15 s after the last byte, which is a time", ending(TWO, 15, b"")),
    Case("broken-end", "a time limit's way: of 15 s, whatever flows", cutting(15)),
    Case("broken-end", "before its compressed data do", cut_with_compression, ("no-ids",)),
    Case("end-not-marked", "chunks ends with its connection, after 3.0 s", unframed(ONE, 3)),
    Case("end-not-marked", "chunks is still open, after 20.0 s", unframed(ONE, 25), ("few-pings",)),
    Case("no-field", "line 3, which looks like JSON", streaming(events=one(b'{"error": 1}\n\n'))),
    Case("unknown-field", "Data", streaming(events=one(b"Data: 1\n\n"))),
    Case("without-data", "1 event without data: ping", streaming(events=one(b"event: ping\n\n"))),
    Case("unfinished-event", "is not finished", ending(TWO + b"data: 3\n", 3)),
    Case("ends-soon", "a proper end, after 3.0 s", unless_resumed(ends(ONE, 3), healthy)),
    Case(TOLD, "not said: Cache-Control: no-store", streaming(cache_control=None)),
    Case(
        "later-than-beside",
        "500 ms later",
        by_host(host=delayed(0.5), beside=ticking),
        options={"beside": "http://beside/"},
    ),
    Case(
        "later-than-beside",
        "nothing came, and something from http://beside/",
        by_host(host=streaming(events=lambda _: iter(())), beside=healthy),
        ("few-pings",),
        options={"beside": "http://beside/"},
    ),
]
