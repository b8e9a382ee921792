"""`Stream(compress=)`: what its client reads is the same, whatever the way and the end."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import trio
import trio.testing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.codec.test_compressor import whole
from tests.support.direct_wire import DirectWire, serve_by
from trio_stream import ErrorAnswer, Stream, encode
from trio_stream.testing import Client, connect
from trio_stream.transport.compressed import CompressedTransport
from trio_stream.transport.memory import MemoryConnection

Clock = trio.testing.MockClock

CODINGS = ("gzip", "zstd")
CHROMIUM = {"accept-encoding": "gzip, deflate, br, zstd"}


async def raw_body(stream: Stream, coding: str, **kinds: Any) -> bytes:
    """The body as it is on the wire."""
    client: Client
    async with connect(stream, headers={"accept-encoding": coding}, **kinds) as client:
        connection: MemoryConnection = client._connection
        body = b""
        while chunk := await connection.read():
            body += chunk
        return body


async def three(stream: Stream) -> None:
    stream.send_nowait("one")
    await stream.wait(1)
    await stream.send({"two": 2})
    await stream.wait(100)  # pings, and rests
    await stream.send("three")


@pytest.mark.parametrize("coding", CODINGS)
async def test_the_body_is_the_same_and_properly_ended(autojump_clock: Clock, coding: str) -> None:
    async with connect(Stream(three)) as client:
        assert "content-encoding" not in client.headers
        assert "vary" not in client.headers
        plain = await client.read()
    async with connect(
        Stream(three, compress="auto"), headers={"accept-encoding": coding}
    ) as client:
        assert client.headers["content-encoding"] == coding
        assert client.headers["vary"] == "accept-encoding"
        assert "no-transform" in client.headers["cache-control"]
        assert await client.read() == plain
    body = await raw_body(Stream(three, compress="auto"), coding)
    assert whole(coding, body) == plain


async def test_it_is_asked_for_and_accepted_or_not_at_all(autojump_clock: Clock) -> None:
    async with connect(Stream(three), headers=CHROMIUM) as client:
        assert "content-encoding" not in client.headers
    async with connect(Stream(three, compress=("zstd", "gzip")), headers=CHROMIUM) as client:
        assert client.headers["content-encoding"] == "zstd"
    async with connect(
        Stream(three, compress=["gzip"]), headers={"accept-encoding": "br"}
    ) as client:
        assert "content-encoding" not in client.headers
        assert client.headers["vary"] == "accept-encoding"
    async with connect(Stream(three, compress="auto")) as client:
        assert "content-encoding" not in client.headers


@pytest.mark.parametrize("format", ["sse", "ndjson", "text"])
async def test_every_format_but_bytes(autojump_clock: Clock, format: Any) -> None:
    async with connect(Stream(["a", "b"], format=format)) as client:
        plain = await client.read()
    async with connect(
        Stream(["a", "b"], format=format, compress="auto"), headers=CHROMIUM
    ) as client:
        assert client.headers["content-encoding"] == "gzip"
        assert await client.read() == plain


async def test_bytes_only_by_name(autojump_clock: Clock) -> None:
    async with connect(Stream([b"a"], format="bytes", compress="auto"), headers=CHROMIUM) as client:
        assert "content-encoding" not in client.headers
    async with connect(
        Stream([b"a"], format="bytes", compress=("zstd",)), headers=CHROMIUM
    ) as client:
        assert client.headers["content-encoding"] == "zstd"
        assert await client.read() == b"a"


async def test_a_head_and_an_error_are_not_compressed(autojump_clock: Clock) -> None:
    async with connect(Stream(three, compress="auto"), method="HEAD", headers=CHROMIUM) as client:
        assert "content-encoding" not in client.headers
        assert await client.read() == b""

    async def refuse() -> AsyncIterator[str]:
        raise ExceptionGroup("", [RuntimeError("no")])

    async with connect(
        Stream(refuse(), compress="auto"), headers=CHROMIUM, raise_app_exceptions=False
    ) as client:
        assert client.status == 500
        assert "content-encoding" not in client.headers


async def test_an_error_answer_that_says_what_it_varies_by_is_not_compressed(
    autojump_clock: Clock,
) -> None:
    async def refuse() -> AsyncIterator[str]:
        raise ExceptionGroup("", [RuntimeError("no")])

    busy = ErrorAnswer(503, "busy", headers={"Vary": "accept-encoding"})
    stream = Stream(refuse(), compress="auto", error_answer=busy)
    async with connect(stream, headers=CHROMIUM, raise_app_exceptions=False) as client:
        assert client.status == 503
        assert client.headers["vary"] == "accept-encoding"
        assert "content-encoding" not in client.headers
        assert await client.read() == b"busy"


async def test_an_upstreams_no_content_has_no_coding_either(autojump_clock: Clock) -> None:
    def no_content(request: httpx.Request) -> httpx.Response:
        return httpx.Response(204)

    async with httpx.AsyncClient(transport=httpx.MockTransport(no_content)) as http:
        stream = Stream(http.stream("GET", "http://upstream"), compress="auto")
        async with connect(stream, headers=CHROMIUM) as client:
            assert (client.status, await client.read()) == (204, b"")
            assert "content-encoding" not in client.headers


@pytest.mark.parametrize("coding", CODINGS)
async def test_what_fails_is_broken_off_in_its_coding_too(
    autojump_clock: Clock, coding: str
) -> None:
    async def fail(stream: Stream) -> None:
        await stream.send("one")
        raise RuntimeError("no")

    async with connect(
        Stream(fail, compress="auto"),
        headers={"accept-encoding": coding},
        raise_app_exceptions=False,
    ) as client:
        assert (await client.receive_event()).data == "one"
        await client.read()
        assert client.ended == "broken"


@pytest.mark.parametrize("coding", CODINGS)
async def test_each_event_is_read_before_the_next_is_sent(coding: str) -> None:
    stream = Stream(compress="auto")
    async with connect(stream, headers={"accept-encoding": coding}) as client:
        for number in range(20):
            await stream.send(str(number))
            assert (await client.receive_event()).data == str(number)
        stream.close()
        await client.read()
        assert client.ended == "complete"


async def test_of_a_silent_stream_nothing_is_held(autojump_clock: Clock) -> None:
    stream = Stream(compress=("gzip",), ping=8)
    async with connect(stream, headers=CHROMIUM) as client:
        await stream.send("text")
        await client.receive_event()
        transport: Any = stream._state.transport
        assert transport._compressor._step is not None
        await trio.sleep(8.5)
        assert transport._compressor._step is None
        await stream.send("more")
        assert (await client.receive_event()).data == "more"


@pytest.mark.parametrize("coding", CODINGS)
async def test_what_goes_straight_out_after_a_silence_is_not_held(
    autojump_clock: Clock, coding: str
) -> None:
    stream = Stream(compress="auto", ping=None)
    wire = DirectWire()
    async with trio.open_nursery() as nursery:
        state = stream._state
        nursery.start_soon(serve_by, CompressedTransport(wire, coding), stream)
        await trio.testing.wait_all_tasks_blocked()
        held = []
        for seconds in (1, 1, 6, 1):
            await trio.sleep(seconds)
            await stream.send("text")
            transport: Any = state.transport
            held.append(transport._compressor._step is not None)
        assert held == [True, True, False, True]
        stream.close()
    await trio.testing.wait_all_tasks_blocked()  # until its clock has ended, too
    assert transport._compressor._step is None  # nor for who keeps a stream that has ended
    body, _ = wire.body
    assert whole(coding, body).count(b"data: text") == 4


SECRET = "a4c1f08e5b7d"


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("way", ["queued", "direct", "many"])
async def test_a_secrets_size_tells_nothing(autojump_clock: Clock, coding: str, way: str) -> None:
    """What is sent beside it is as long whether it guesses right or not."""

    async def sizes(secret: str, *, compress: bool) -> tuple[int, bytes]:
        stream = Stream(compress="auto")
        wire = DirectWire()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve_by, CompressedTransport(wire, coding), stream)
            if way == "direct":
                await trio.testing.wait_all_tasks_blocked()
            stream.send_nowait("something")
            event = encode(f"csrf={secret}", compress=compress)
            if way == "many":
                stream.send_many_nowait([event])
            else:
                stream.send_nowait(event)
            stream.send_nowait(f"csrf={SECRET}")
            stream.send_nowait(event)
            await trio.testing.wait_all_tasks_blocked()
            stream.close()
        await trio.testing.wait_all_tasks_blocked()  # until its clock has ended, too
        body, complete = wire.body
        assert complete
        expected = b"retry: 3000\ndata: something\n\n" + b"".join(
            f"data: csrf={text}\n\n".encode() for text in (secret, SECRET, secret)
        )
        assert whole(coding, body) == expected
        return len(body), body

    wrong = SECRET[::-1]
    right_size, _ = await sizes(SECRET, compress=True)
    wrong_size, _ = await sizes(wrong, compress=True)
    assert right_size < wrong_size
    right_size, body = await sizes(SECRET, compress=False)
    wrong_size, _ = await sizes(wrong, compress=False)
    assert right_size == wrong_size
    assert body.count(f"data: csrf={SECRET}\n\n".encode()) >= 2


@pytest.mark.parametrize(
    ("accepted", "coding"), [("gzip, zstd", "gzip"), ("zstd, gzip;q=0.5", "gzip"), ("zstd", None)]
)
async def test_without_a_module_there_is_no_zstd(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch, accepted: str, coding: str | None
) -> None:
    monkeypatch.setattr("trio_stream.codec.compressor.zstd_module", lambda: None)
    headers = {"accept-encoding": accepted}
    async with connect(Stream(three, compress="auto"), headers=headers) as client:
        assert client.headers.get("content-encoding") == coding
        assert (await client.receive_event()).data == "one"


async def test_nonsense_is_refused_at_the_door(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TypeError, match="leave it out of headers"):
        Stream(compress="auto", headers={"content-encoding": "gzip"})
    with pytest.raises(ValueError, match="'br'"):
        Stream(compress=("br",))  # type: ignore[arg-type]
    monkeypatch.setattr("trio_stream.codec.compressor.zstd_module", lambda: None)
    with pytest.raises(ImportError, match="trio-stream\\[zstd\\]"):
        Stream(compress=("zstd",))
    Stream(compress="auto")


ITEMS = st.lists(
    st.text(max_size=50) | st.floats(0, 20) | st.dictionaries(st.sampled_from("ab"), st.integers())
)


@pytest.mark.parametrize("coding", CODINGS)
@given(items=ITEMS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
def test_any_course_decodes_to_what_is_sent_uncompressed(coding: str, items: list[Any]) -> None:
    async def produce(stream: Stream) -> None:
        for item in items:
            if isinstance(item, float):
                await stream.wait(item)
            else:
                event = encode(item, compress=len(item) % 2 == 0)
                await stream.send(item if isinstance(item, dict) else event)

    async def run() -> None:
        # Which of a ping and an event is first that are due at one moment is nobody's promise: so
        # pings are due when no item is.
        async with connect(Stream(produce, ping=math.tau)) as client:
            plain = await client.read()
        compressed = Stream(produce, ping=math.tau, compress="auto")
        assert whole(coding, await raw_body(compressed, coding)) == plain

    trio.run(run, clock=trio.testing.MockClock(autojump_threshold=0))
