"""`ping_event`: a ping that a page can see."""

import itertools
import logging
from typing import Any

import pytest
import trio
import trio.testing

from tests.stream.helpers import PRIMER
from trio_stream import ServerSentEvent, Stream
from trio_stream.testing import connect

Clock = trio.testing.MockClock


async def pings_of(stream: Stream, count: int = 2) -> list[bytes]:
    async with connect(stream) as client:
        assert await client.receive_chunk() == PRIMER
        return [await client.receive_chunk() for _ in range(count)]


@pytest.mark.parametrize(
    ("event", "bytes"),
    [
        (ServerSentEvent({"a": 1}), b'event: ping\ndata: {"a":1}\n\n'),
        (ServerSentEvent("", event="silence"), b"event: silence\ndata: \n\n"),
        (ServerSentEvent("x", retry=5), b"event: ping\nretry: 5\ndata: x\n\n"),
        (ServerSentEvent("x", event="message"), b"data: x\n\n"),
    ],
)
async def test_it_is_sent_in_silence(
    autojump_clock: Clock, event: ServerSentEvent, bytes: bytes
) -> None:
    began = trio.current_time()
    assert await pings_of(Stream(ping_event=event, ping=10)) == [bytes] * 2
    assert trio.current_time() - began == pytest.approx(20, abs=0.1)


async def test_it_is_no_event_of_the_producers(autojump_clock: Clock) -> None:
    stream = Stream(event="tick", ids=itertools.count(1).__next__, ping_event=ServerSentEvent("x"))
    assert await pings_of(stream, 1) == [b"event: ping\ndata: x\n\n"]
    assert stream.statistics().events == 0


async def test_a_function_makes_each(autojump_clock: Clock) -> None:
    def make(given: Stream) -> ServerSentEvent | None:
        assert given is stream
        number = next(numbers)
        return ServerSentEvent(number, event="at") if number % 2 else None

    numbers = itertools.count(1)
    stream = Stream(ping_event=make)
    assert await pings_of(stream, 3) == [
        b"event: at\ndata: 1\n\n",
        b":\n",
        b"event: at\ndata: 3\n\n",
    ]


@pytest.mark.parametrize("result", ["x", ServerSentEvent(), ServerSentEvent("x", id=1), None])
async def test_a_ping_that_fails_is_a_comment(
    autojump_clock: Clock, caplog: pytest.LogCaptureFixture, result: Any
) -> None:
    def make(stream: Stream) -> Any:
        return result if result is not None else 1 / 0

    assert await pings_of(Stream(ping_event=make)) == [b":\n"] * 2
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.getMessage() for record in errors] == [
        "ping_event= failed, so the ping is a comment"
    ]  # once in a minute, of however many streams


async def test_one_that_ends_the_program_ends_it_by_its_call(autojump_clock: Clock) -> None:
    def make(stream: Stream) -> ServerSentEvent:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await pings_of(Stream(ping_event=make))


def test_what_it_cannot_be() -> None:
    event = ServerSentEvent("x")
    with pytest.raises(ValueError, match="ping_event= needs seconds as ping="):
        Stream(ping=None, ping_event=event)
    for format in ("ndjson", "text", "bytes"):
        with pytest.raises(TypeError, match="ping_event= needs format='sse'"):
            Stream(format=format, ping_event=event)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no place to go on from"):
        Stream(ping_event=ServerSentEvent("x", id="1"))
