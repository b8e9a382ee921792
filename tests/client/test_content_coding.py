"""Compressed streams: each event as it comes, and never more memory than a piece."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from collections.abc import Callable

import brotli
import pytest
from trio.testing import MockClock

from tests.client.scripted import Exchange, ScriptedServer, no_content, over_memory
from trio_stream import (
    ConnectionLostError,
    EventSource,
    EventTooLargeError,
    ReconnectPolicy,
    RemoteProtocolError,
)
from trio_stream.codec import content_coding
from trio_stream.codec.content_coding import CodingError, accepted_codings, open_coding

zstd = content_coding.zstd_module()

Compress = Callable[[bytes], bytes]


def gzip_in_steps() -> Compress:
    step = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    return lambda data: step.compress(data) + step.flush(zlib.Z_SYNC_FLUSH)


def deflate_in_steps() -> Compress:
    step = zlib.compressobj()
    return lambda data: step.compress(data) + step.flush(zlib.Z_SYNC_FLUSH)


def brotli_in_steps() -> Compress:
    step = brotli.Compressor()
    return lambda data: step.process(data) + step.flush()


def zstd_in_steps() -> Compress:
    step = zstd.ZstdCompressor()
    return lambda data: step.compress(data) + step.flush(step.FLUSH_BLOCK)


def both_in_steps() -> Compress:
    inner, outer = gzip_in_steps(), brotli_in_steps()
    return lambda data: outer(inner(data))


CODINGS = [
    ("gzip", gzip_in_steps),
    ("x-gzip", gzip_in_steps),
    ("GZip", gzip_in_steps),
    ("deflate", deflate_in_steps),
    ("br", brotli_in_steps),
    ("zstd", zstd_in_steps),
    ("gzip, br", both_in_steps),
]
every_coding = pytest.mark.parametrize(("name", "compress"), CODINGS, ids=[c[0] for c in CODINGS])


@every_coding
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_gives_back_what_was_compressed_however_it_is_cut(
    name: str, compress: Callable[[], Compress], size: int
) -> None:
    text = b"".join(b"id: %d\ndata: %d\n\n" % (n, n * n) for n in range(500))
    wire = compress()(text)
    undo = open_coding(name).undo
    cuts = [wire[i : i + size] for i in range(0, len(wire), size)]
    assert b"".join(piece for cut in cuts for piece in undo(cut)) == text


@every_coding
async def test_an_event_is_there_as_soon_as_it_has_been_flushed(
    autojump_clock: MockClock, name: str, compress: Callable[[], Compress]
) -> None:
    async def flushing(exchange: Exchange) -> None:
        await exchange.head(content_type="text/event-stream", content_encoding=name)
        step = compress()
        await exchange.send(step(b"data: a\n\ndata: half "))
        await exchange.until_closed()

    async with (
        over_memory(ScriptedServer(flushing)) as client,
        EventSource("http://example.org/", client=client) as source,
    ):
        assert (await source.receive()).data == "a"


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_frames_of_zstd_may_follow_each_other(size: int) -> None:
    text = bytes(range(256))
    wire = zstd.compress(text[:100]) + zstd.compress(b"") + zstd.compress(text[100:])
    undo = open_coding("zstd").undo
    cuts = [wire[i : i + size] for i in range(0, len(wire), size)]
    assert b"".join(piece for cut in cuts for piece in undo(cut)) == text


def bare_deflate(data: bytes) -> bytes:
    step = zlib.compressobj(wbits=-15)
    return step.compress(data) + step.flush()


MEMBERS: list[tuple[str, Compress]] = [
    ("gzip", gzip.compress),
    ("gzip", lambda data: gzip.compress(data) + bytes(5)),  # padded, as on a tape
    ("deflate", zlib.compress),
    ("deflate", bare_deflate),
    ("deflate", gzip.compress),
    ("zstd", zstd.compress),
    ("zstd", lambda data: zstd.compress(data) + SKIPPABLE),
]
SKIPPABLE = b"\x50\x2a\x4d\x18\x03\0\0\0abc"
every_kind_of_member = pytest.mark.parametrize(
    ("name", "compress"),
    MEMBERS,
    ids=["gzip", "padded gzip", "zlib", "bare", "gzip as deflate", "zstd", "zstd, skipped"],
)


@every_kind_of_member
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_one_may_follow_another(name: str, compress: Compress, size: int) -> None:
    texts = [b"id: %d\ndata: %d\n\n" % (n, n * n) for n in range(50)]
    wire = b"".join(map(compress, [*texts, b"", b"data: last\n\n"]))
    coding = open_coding(name)
    cuts = [wire[i : i + size] for i in range(0, len(wire), size)]
    given = b"".join(piece for cut in cuts for piece in coding.undo(cut))
    assert given == b"".join(texts) + b"data: last\n\n"
    coding.end()


def test_streams_of_brotli_may_follow_each_other_from_piece_to_piece() -> None:
    coding = open_coding("br")
    pieces = [b"".join(coding.undo(brotli.compress(text))) for text in (b"a", b"", b"b")]
    coding.end()
    assert pieces == [b"a", b"", b"b"]


@pytest.mark.parametrize(
    ("name", "compress"),
    [*MEMBERS, ("br", brotli.compress), ("gzip, br", lambda d: brotli.compress(gzip.compress(d)))],
)
def test_what_is_cut_off_is_told_and_what_came_before_given(name: str, compress: Compress) -> None:
    text = b"data: whole\n\n"
    wire = compress(text)
    cut = len(wire.rstrip(b"\0").removesuffix(SKIPPABLE)) - 1
    coding = open_coding(name)
    assert text.startswith(b"".join(coding.undo(wire[:cut])))
    with pytest.raises(CodingError, match="the body ends before"):
        coding.end()
    coding = open_coding(name)
    assert b"".join(coding.undo(wire)) == text
    coding.end()


@pytest.mark.parametrize(
    "wire", [b"", gzip_in_steps()(b"data: a\n\n")], ids=["an empty body", "a flush"]
)
def test_an_end_at_which_nothing_is_missing_is_none_too_early(wire: bytes) -> None:
    coding = open_coding("gzip")
    list(coding.undo(wire))
    coding.end()


async def test_a_body_that_is_cut_off_is_a_failed_attempt(autojump_clock: MockClock) -> None:
    async def cut(exchange: Exchange) -> None:
        await exchange.head(content_type="text/event-stream", content_encoding="gzip")
        await exchange.send(gzip.compress(b"data: a\n\n")[:-3])

    async with over_memory(ScriptedServer(cut)) as client:
        source = EventSource("http://example.org/", client=client, reconnect=False)
        async with source:
            assert (await source.receive()).data == "a"
            with pytest.raises(ConnectionLostError, match="before its compressed data do"):
                await source.receive()


def test_a_window_of_zstd_is_at_most_what_the_standard_asks_for() -> None:
    # A frame's header may ask for a window of 128 MiB, which is memory from its first byte on.
    options = {zstd.CompressionParameter.window_log: 27}
    step = zstd.ZstdCompressor(options=options)
    wire = step.compress(b"data: a\n\n") + step.flush(step.FLUSH_BLOCK)
    with pytest.raises(CodingError):
        list(open_coding("zstd").undo(wire))


async def test_offers_what_it_can_undo(autojump_clock: MockClock) -> None:
    server = ScriptedServer(no_content)
    async with over_memory(server) as client, EventSource("http://example.org/", client=client):
        assert server.requests[0].headers["accept-encoding"] == "gzip, deflate, br, zstd"


def test_without_brotli_it_is_not_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content_coding, "_brotli", lambda: None)
    assert accepted_codings() == "gzip, deflate, zstd"
    monkeypatch.setattr(content_coding, "zstd_module", lambda: None)
    assert accepted_codings() == "gzip, deflate"
    with pytest.raises(RemoteProtocolError, match="Content-Encoding: br"):
        open_coding("br")


@pytest.mark.parametrize("name", ["zstd", "compress", "gzip, gzip, gzip"])
async def test_a_coding_that_was_not_asked_for_is_an_error(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(content_coding, "zstd_module", lambda: None)

    async def coded(exchange: Exchange) -> None:
        await exchange.head(content_type="text/event-stream", content_encoding=name)

    async with over_memory(ScriptedServer(coded)) as client:
        with pytest.raises(RemoteProtocolError, match="what can be undone here is"):
            async with EventSource("http://example.org/", client=client):
                pass


@pytest.mark.parametrize("name", ["", "identity", "none", "utf-8", "chunked"])
def test_words_that_are_no_coding_change_nothing(name: str) -> None:
    assert list(open_coding(name).undo(b"data: a\n\n")) == [b"data: a\n\n"]


@pytest.mark.parametrize("name", ["gzip", "deflate", "br", "zstd"])
def test_bytes_that_are_not_in_the_coding_are_told_as_such(name: str) -> None:
    with pytest.raises(CodingError):
        list(open_coding(name).undo(b"data: this was never compressed at all\n\n" * 10))


async def test_a_stream_that_is_not_in_its_coding_is_a_failed_attempt(
    autojump_clock: MockClock,
) -> None:
    async def liar(exchange: Exchange) -> None:
        await exchange.head(content_type="text/event-stream", content_encoding="gzip")
        await exchange.send(b"data: a\n\n")

    server = ScriptedServer(liar, no_content)
    policy = ReconnectPolicy(backoff=0)
    async with (
        over_memory(server) as client,
        EventSource("http://example.org/", client=client, policy=policy) as source,
    ):
        assert [event async for event in source] == []
    assert server.waits == [3]


def gzip_bomb() -> bytes:
    return gzip.compress(b"x" * 2**28)


def brotli_bomb() -> bytes:
    step = brotli.Compressor(quality=9)
    return b"".join(step.process(b"x" * 2**24) for _ in range(16)) + step.finish()


@pytest.mark.parametrize(("name", "bomb"), [("gzip", gzip_bomb), ("br", brotli_bomb)])
async def test_a_bomb_takes_no_more_memory_than_an_event_may(
    autojump_clock: MockClock, name: str, bomb: Callable[[], bytes]
) -> None:
    wire = bomb()  # 256 MiB, once it is undone

    async def script(exchange: Exchange) -> None:
        await exchange.head(content_type="text/event-stream", content_encoding=name)
        await exchange.send(wire)

    async with over_memory(ScriptedServer(script)) as client:
        tracemalloc.start()
        try:
            with pytest.raises(EventTooLargeError):
                async with EventSource(
                    "http://example.org/", client=client, max_event_bytes=2**20
                ) as source:
                    await source.receive()
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 8 * 2**20
