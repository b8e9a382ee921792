"""Compressed upstreams: read however they are cut, and never more memory than a piece."""

import gzip
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import brotli
import httpx
import httpx2
import pytest
import trio

from tests.stream.helpers import PRIMER
from tests.stream.upstream_server import Respond, chunk, head, upstream
from tests.support.tasks import NothingLeft
from trio_stream import Stream
from trio_stream.codec import content_coding
from trio_stream.testing import connect
from trio_stream.testing.client import Client

both = pytest.mark.parametrize("module", [httpx, httpx2], ids=["httpx", "httpx2"])


def gzip_and_brotli(data: bytes) -> bytes:
    return brotli.compress(gzip.compress(data))


zstd = content_coding.zstd_module()

CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "br": brotli.compress,
    "zstd": zstd.compress,
    "gzip, br": gzip_and_brotli,
}


def compressed(wire: bytes, coding: str, size: int = 2**20) -> Respond:
    """Answer with an event stream in this coding, cut into chunks of this size."""

    async def respond(stream: trio.SocketStream) -> None:
        await stream.send_all(head("text/event-stream", f"content-encoding: {coding}"))
        for start in range(0, len(wire), size):
            await stream.send_all(chunk(wire[start : start + size]))
        await stream.send_all(b"0\r\n\r\n")

    return respond


@asynccontextmanager
async def proxied(
    respond: Respond, module: Any = httpx, **options: Any
) -> AsyncIterator[tuple[Client, Stream]]:
    async with upstream(respond) as server, module.AsyncClient() as http:
        request = http.build_request("GET", server.url)
        stream = Stream(http.send(request, stream=True), **options)
        async with connect(stream, raise_app_exceptions=False) as client:
            yield client, stream


@both
@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_events_are_read_however_they_are_cut(module: Any, coding: str, size: int) -> None:
    text = b"".join(b"id: %d\ndata: %d\n\n" % (n, n * n) for n in range(200))
    async with proxied(compressed(CODINGS[coding](text), coding, size), module) as (client, _):
        assert await client.read() == PRIMER + text


def brotli_bomb(data: bytes) -> bytes:
    step = brotli.Compressor(quality=9)
    return b"".join(step.process(data) for _ in range(16)) + step.finish()


BOMBS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: gzip.compress(data * 16),
    "br": brotli_bomb,
    "zstd": lambda data: zstd.compress(data * 16),
}


@pytest.mark.parametrize("coding", BOMBS)
@pytest.mark.parametrize("format", ["sse", "text", "bytes"])
async def test_a_bomb_takes_no_more_memory_than_a_piece(coding: str, format: str) -> None:
    wire = BOMBS[coding](b"data: x\n\n" * (2**24 // 9))  # 256 MiB, once it is undone
    tracemalloc.start()
    try:
        async with proxied(compressed(wire, coding), format=format) as (client, stream):
            assert (await client.receive_chunk()).startswith((PRIMER, b"data: x"))
            await trio.sleep(0.2)
            client.disconnect()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert stream.outcome == "disconnected"
    assert peak < 12 * 2**20


async def test_one_endless_line_breaks_the_stream() -> None:
    wire = BOMBS["br"](b"x" * 2**24)
    tracemalloc.start()
    try:
        async with proxied(compressed(wire, "br")) as (client, stream):
            assert await client.read() == PRIMER
            assert client.ended == "broken"
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert stream.outcome == "failed"
    assert peak < 80 * 2**20  # a line of 32 MiB, and as much again while it grows


@both
async def test_bytes_that_are_not_in_their_coding_break_the_stream(
    module: Any, no_task_left: NothingLeft
) -> None:
    async with upstream(compressed(b"data: x\n\n", "gzip")) as server, module.AsyncClient() as http:
        stream = Stream(http.send(http.build_request("GET", server.url), stream=True))
        with pytest.raises(module.DecodingError):
            async with connect(stream) as client:
                await client.read()
        assert stream.outcome == "failed"
    await no_task_left()


@both
@pytest.mark.parametrize("coding", CODINGS)
async def test_what_is_cut_off_breaks_the_stream_behind_what_came(module: Any, coding: str) -> None:
    wire = CODINGS[coding](b"data: x\n\n")[:-1]
    async with proxied(compressed(wire, coding), module) as (client, stream):
        assert (await client.read()).removeprefix(PRIMER) in (b"data: x\n\n", b"")
        assert client.ended == "broken"
    assert stream.outcome == "failed"


@both
@pytest.mark.parametrize("coding", ["gzip", "zstd"])
async def test_an_event_may_be_compressed_by_itself(module: Any, coding: str) -> None:
    events = [b"id: %d\ndata: x\n\n" % n for n in range(5)]
    wire = b"".join(map(CODINGS[coding], events))
    async with proxied(compressed(wire, coding), module) as (client, _):
        assert await client.read() == PRIMER + b"".join(events)


@both
async def test_a_coding_that_nobody_here_knows_is_a_502(module: Any) -> None:
    async with proxied(compressed(b"\x1f\x9d\x90", "compress"), module) as (client, stream):
        assert (client.status, await client.read()) == (502, b"502 Bad Gateway\n")
    assert stream.outcome == "failed"


async def test_a_coding_that_only_httpx_knows_is_left_to_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(content_coding, "_brotli", lambda: None)
    async with proxied(compressed(brotli.compress(b"data: x\n\n"), "br")) as (client, _):
        assert await client.read() == PRIMER + b"data: x\n\n"


@both
async def test_what_was_read_before_is_not_undone_again(module: Any) -> None:
    respond = compressed(gzip.compress(b"data: x\n\n"), "gzip")
    async with upstream(respond) as server, module.AsyncClient() as http:
        response = await http.get(server.url)
        async with connect(Stream(response)) as client:
            assert await client.read() == PRIMER + b"data: x\n\n"


async def test_one_that_was_consumed_elsewhere_is_the_programs_error() -> None:
    respond = compressed(gzip.compress(b"data: x\n\n"), "gzip")
    async with upstream(respond) as server, httpx.AsyncClient() as http:
        response = await http.send(http.build_request("GET", server.url), stream=True)
        async for _ in response.aiter_bytes():
            pass
        with pytest.raises(httpx.StreamConsumed):
            async with connect(Stream(response)) as client:
                await client.read()
        assert response.is_closed
