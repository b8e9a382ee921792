"""Servers that send what no server should: bounded memory, and an end that is told."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import trio
from trio.testing import MockClock

from tests.client.scripted import (
    Exchange,
    ScriptedServer,
    events,
    no_content,
    over_memory,
    over_tcp,
)
from trio_stream import (
    ConnectionLostError,
    EventSource,
    EventTooLargeError,
    ReconnectPolicy,
    UpstreamStatusError,
)

URL = "http://example.org/"
TYPE = b"content-type: text/event-stream"
EXACT = ReconnectPolicy(backoff=0)


class Memory:
    peak = 0


@contextmanager
def measured() -> Iterator[Memory]:
    """The most memory that Python's objects took meanwhile, in bytes, once it is over."""
    memory = Memory()
    tracemalloc.start()
    try:
        yield memory
        memory.peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "piece",
    [b"x" * 65536, b"data: " + b"x" * 65530, b"data: %b\n" % (b"x" * 200) * 300, b"\xff" * 65536],
    ids=["no newline", "data without newline", "data without end", "no UTF-8"],
)
async def test_a_gibibyte_without_an_end_is_refused_early(piece: bytes) -> None:
    """Over a socket, so that what was sent can be told from what was taken."""
    sent = 0

    async def endless(exchange: Exchange) -> None:
        nonlocal sent
        await exchange.events()
        while sent < 2**30:
            await exchange.send(piece)
            sent += len(piece)

    server = ScriptedServer(endless)
    with measured() as memory, trio.fail_after(30):
        async with over_tcp(server) as url, EventSource(url) as source:
            with pytest.raises(EventTooLargeError, match="33554432 bytes"):
                await source.receive()
    # 32 MiB of one event or line, an eighth more while it grows, some copies of one piece.
    assert memory.peak < 64 * 2**20
    assert sent < 96 * 2**20


async def test_megabytes_of_comments_are_just_read() -> None:
    async def chatty(exchange: Exchange) -> None:
        await exchange.events()
        for _ in range(1000):
            await exchange.send(b": %b\n\n" % (b"x" * 1000) * 64)

    policy = ReconnectPolicy(delay=0)
    with measured() as memory, trio.fail_after(30):
        async with (
            over_tcp(ScriptedServer(chatty, no_content)) as url,
            EventSource(url, policy=policy) as source,
        ):
            assert [event async for event in source] == []
    assert memory.peak < 4 * 2**20


@pytest.mark.parametrize("part", [b"x" * 65536, b"name: value\r\n" * 5000], ids=["line", "lines"])
async def test_an_endless_header_is_a_failed_attempt(
    autojump_clock: MockClock, part: bytes
) -> None:
    async def endless(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\n")
        while True:
            await exchange.send(part)

    server = ScriptedServer(endless, no_content)
    with measured() as memory:
        async with over_memory(server) as client:
            await EventSource(URL, client=client, policy=EXACT).connect()
    assert server.waits == [3]
    assert memory.peak < 8 * 2**20


async def test_a_header_that_drips_is_not_waited_for_for_ever(autojump_clock: MockClock) -> None:
    async def drip(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nx: ")
        while True:
            await exchange.send(b"y")
            await trio.sleep(30)

    server = ScriptedServer(drip, no_content)
    async with over_memory(server) as client:
        await EventSource(URL, client=client, policy=EXACT).connect()
    assert server.waits == [303]


@pytest.mark.parametrize("length", ["10000", "3"], ids=["too long", "too short"])
async def test_a_content_length_that_lies(autojump_clock: MockClock, length: str) -> None:
    async def liar(exchange: Exchange) -> None:
        await exchange.head(content_type="text/event-stream", content_length=length)
        await exchange.send(b"id: 1\ndata: a\n\n")

    server = ScriptedServer(liar, events(b"data: b\n\n"), no_content)
    async with (
        over_memory(server) as client,
        EventSource(URL, client=client, policy=EXACT) as source,
    ):
        received = [event.data async for event in source]
    # What is beyond its announced end is no part of the response.
    assert received == (["a", "b"] if length == "10000" else ["b"])
    assert server.waits == [3, 3]


async def test_half_an_event_and_then_silence(autojump_clock: MockClock) -> None:
    async def half(exchange: Exchange) -> None:
        await exchange.events(b"id: 1\ndata: a\n\nid: 2\ndata: lost")
        await exchange.until_closed()

    server = ScriptedServer(half, events(b"data: b\n\n"), no_content)
    async with (
        over_memory(server) as client,
        EventSource(URL, client=client, policy=EXACT, idle_timeout=30) as source,
    ):
        assert [event.data async for event in source] == ["a", "b"]
    assert server.waits == [33, 3]
    # The half one is dropped, and so is its id.
    assert server.ids == [None, "1", "1"]


async def test_ten_thousand_events_in_one_segment(autojump_clock: MockClock) -> None:
    wire = b"".join(b"id: %d\ndata: %d\n\n" % (n, n) for n in range(10_000))
    async with (
        over_memory(ScriptedServer(events(wire), no_content)) as client,
        EventSource(URL, client=client) as source,
    ):
        assert [event.id async for event in source] == [str(n) for n in range(10_000)]


async def test_an_error_page_without_end_is_cut_short(autojump_clock: MockClock) -> None:
    async def endless(exchange: Exchange) -> None:
        await exchange.head("400 Bad Request")
        while True:
            await exchange.send(b"why " * 16384)

    async def dripping(exchange: Exchange) -> None:
        await exchange.head("400 Bad Request")
        while True:
            await exchange.send(b"why ")
            await trio.sleep(0.3)

    for script, length in ((endless, 2048), (dripping, 16)):
        async with over_memory(ScriptedServer(script)) as client:
            with pytest.raises(UpstreamStatusError) as caught:
                await EventSource(URL, client=client).connect()
        assert len(caught.value.body) == length
    assert trio.current_time() == pytest.approx(1)


@pytest.mark.parametrize(
    "answer",
    [
        b"\0" * 100,
        b"SSH-2.0-OpenSSH_9\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
        b"HTTP/1.1 999999 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n%b\r\n\r\nzz" % TYPE,
        b"HTTP/1.1 200 OK\r\n%b\r\ncontent-length: -1\r\n\r\n" % TYPE,
    ],
    ids=["NULs", "SSH", "no length", "no status", "no chunk", "negative length"],
)
async def test_what_is_no_http_is_a_failed_attempt(
    autojump_clock: MockClock, answer: bytes
) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.send(answer)

    server = ScriptedServer(script, no_content)
    async with (
        over_memory(server) as client,
        EventSource(URL, client=client, policy=EXACT) as source,
    ):
        assert [event async for event in source] == []
    assert server.waits == [3]


async def test_an_event_source_does_not_hammer_a_server_that_only_fails(
    autojump_clock: MockClock,
) -> None:
    async def rude(exchange: Exchange) -> None:
        await exchange.send(b"no\r\n\r\n")

    server = ScriptedServer(rude)
    with trio.move_on_after(3600):
        async with over_memory(server) as client:
            await EventSource(URL, client=client).connect()
    # 3 s, and on the average half of a window that soon is 60 s wide.
    assert 60 < len(server.requests) < 200


async def test_giving_up_is_told(autojump_clock: MockClock) -> None:
    async def rude(exchange: Exchange) -> None:
        await exchange.send(b"no\r\n\r\n")

    async with over_memory(ScriptedServer(rude)) as client:
        policy = ReconnectPolicy(max_failures=5)
        with pytest.raises(ConnectionLostError, match="5 failures"):
            await EventSource(URL, client=client, policy=policy).connect()
