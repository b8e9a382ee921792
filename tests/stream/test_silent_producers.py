"""A producer that says nothing: `first_event_timeout` and `idle_timeout`."""

import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio
import trio.testing

from tests.stream.helpers import PRIMER
from trio_stream import ErrorAnswer, Outcome, ServerSentEvent, Stream, encode, outcome_counts
from trio_stream.testing import connect

Clock = trio.testing.MockClock
NOW = {"hold_headers": False}


async def sends_at(stream: Stream, *times: float) -> None:
    """Sends an event at each of these seconds, then sleeps."""
    began = trio.current_time()
    for number, time in enumerate(times):
        await trio.sleep_until(began + time)
        await stream.send(number)
    await trio.sleep_forever()


def sending_at(*times: float, **options: Any) -> Stream:
    return Stream(lambda stream: sends_at(stream, *times), **options)


async def read_to_the_end(stream: Stream) -> tuple[bytes, float, str | None]:
    """The body, when it was over, and how."""
    async with connect(stream) as client:
        began = trio.current_time()
        body = await client.read()
        return body, round(trio.current_time() - began, 2), client.ended


@pytest.mark.parametrize("ping", [None, 3, 1000])
async def test_one_that_does_not_begin_is_late(autojump_clock: Clock, ping: float | None) -> None:
    seen: list[str | None] = []

    async def produce(stream: Stream) -> None:
        try:
            await trio.sleep_forever()
        finally:
            seen.append(stream.outcome)

    stream = Stream(produce, first_event_timeout=10, ping=ping, hold_headers=False)
    body, seconds, ended = await read_to_the_end(stream)
    assert body.replace(b":\n", b"") == PRIMER
    assert seconds == 10
    assert ended != "complete"
    assert stream.outcome is Outcome.LATE
    assert seen == ["late"]
    assert outcome_counts() == {"late": 1}


async def test_before_the_headers_are_out_it_is_a_504(
    autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    stream = sending_at(first_event_timeout=5)
    async with connect(stream) as client:
        assert client.status == 504
        assert b"504" in await client.read()
    assert stream.outcome == "late"
    [record] = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "answered 504" in record.getMessage()


async def test_or_what_the_user_answers(autojump_clock: Clock) -> None:
    found: list[BaseException] = []

    def answer(error: BaseException) -> ErrorAnswer:
        found.append(error)
        return ErrorAnswer(503, {"error": "busy"})

    async with connect(sending_at(first_event_timeout=5, error_answer=answer)) as client:
        assert client.status == 503
        assert await client.read() == b'{"error":"busy"}'
    assert isinstance(found[0], trio.TooSlowError)


async def test_who_has_begun_may_take_his_time(autojump_clock: Clock) -> None:
    stream = sending_at(4.9, 500, first_event_timeout=5, max_duration=1000)
    await read_to_the_end(stream)
    assert stream.outcome == "expired"
    assert stream.statistics().events == 2


@pytest.mark.parametrize("ping", [None, 3, 1000])
async def test_one_that_falls_silent_is_idle(autojump_clock: Clock, ping: float | None) -> None:
    stream = sending_at(4, 13, 22, idle_timeout=10, ping=ping, **NOW)
    body, seconds, ended = await read_to_the_end(stream)
    assert body.count(b"data: ") == 3
    assert seconds == 32  # to the second: pings are no events
    assert ended != "complete"
    assert stream.outcome is Outcome.IDLE


async def test_also_before_its_first_event_unless_that_has_a_time_of_its_own(
    autojump_clock: Clock,
) -> None:
    _, seconds, _ = await read_to_the_end(stream := sending_at(idle_timeout=10, **NOW))
    assert (seconds, stream.outcome) == (10, "idle")
    stream = sending_at(29, idle_timeout=10, first_event_timeout=30, **NOW)
    _, seconds, _ = await read_to_the_end(stream)
    assert (seconds, stream.outcome) == (39, "idle")


@pytest.mark.parametrize("outcome", ["late", "idle"])
async def test_its_client_is_told_as_of_any_failure(
    autojump_clock: Clock, caplog: pytest.LogCaptureFixture, outcome: str
) -> None:
    def tell(error: BaseException) -> ServerSentEvent:
        assert isinstance(error, trio.TooSlowError)
        return ServerSentEvent(str(error), event="error")

    times = [1] if outcome == "idle" else []
    stream = sending_at(
        *times, first_event_timeout=5, idle_timeout=7, error_event=tell, error_end="proper", **NOW
    )
    body, _, ended = await read_to_the_end(stream)
    limit = "first_event_timeout=5" if outcome == "late" else "idle_timeout=7"
    words = f"event: error\ndata: the stream's producer sent nothing for {limit} s\n\n"
    assert body.endswith(words.encode())
    assert ended == "complete"
    assert stream.outcome == outcome
    [record] = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert limit in record.getMessage()


async def test_what_it_fails_with_when_it_is_cancelled_is_not_lost(autojump_clock: Clock) -> None:
    async def produce(stream: Stream) -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise ZeroDivisionError

    stream = Stream(produce, idle_timeout=5, hold_headers=False)
    with pytest.raises(ZeroDivisionError):
        async with connect(stream) as client:
            await client.read()
    assert stream.outcome == "idle"


async def test_a_slow_client_is_no_silence(autojump_clock: Clock) -> None:
    """What waits is the producer's word; and who waits for room has one."""

    async def produce(stream: Stream) -> None:
        for _ in range(6):
            await stream.send("x" * 1000)

    stream = Stream(produce, idle_timeout=5, buffer=1, stall_timeout=None, ping=None)
    async with connect(stream, socket_buffer=1) as client:
        for _ in range(6):
            await trio.sleep(50)
            await client.receive_event()
        await client.read()
    assert stream.outcome == "completed"


async def test_what_a_topic_or_many_were_sent_counts(autojump_clock: Clock) -> None:
    stream = Stream(None, idle_timeout=10, ping=None)
    async with connect(stream) as client, trio.open_nursery() as nursery:
        nursery.start_soon(client.read)
        began = trio.current_time()
        for _ in range(5):
            await trio.sleep(9)
            assert not Stream.send_to_all_nowait([stream], encode("x")).ended
        while stream.outcome is None:
            await trio.sleep(1)
        assert trio.current_time() - began == pytest.approx(55, abs=1.1)
    assert stream.outcome == "idle"


async def test_a_source_is_closed(autojump_clock: Clock) -> None:
    closed = trio.Event()

    async def generate() -> AsyncIterator[int]:
        try:
            yield 1
            await trio.sleep_forever()
        finally:
            closed.set()

    stream = Stream(generate(), idle_timeout=5)
    async with connect(stream) as client:
        await client.read()
    assert closed.is_set()
    assert stream.outcome == "idle"


async def enter(stream: Stream, received: list[bytes]) -> None:
    async with stream:
        async for chunk in stream.value:
            received.append(chunk)


@pytest.mark.parametrize(
    ("options", "outcome", "least"),
    [
        ({"first_event_timeout": 10}, "late", 10),
        ({"idle_timeout": 10}, "idle", 10),
        ({"idle_timeout": 10, "first_event_timeout": 100}, "late", 100),
    ],
)
async def test_of_an_entered_stream_too(
    autojump_clock: Clock, options: dict[str, float], outcome: str, least: float
) -> None:
    began = trio.current_time()
    stream = sending_at(**options)
    with pytest.raises(trio.TooSlowError):  # it would look complete, else
        await enter(stream, [])
    assert stream.outcome == outcome
    assert least <= trio.current_time() - began <= least * 1.1


async def test_an_entered_one_goes_on_as_long_as_it_sends(autojump_clock: Clock) -> None:
    received: list[bytes] = []
    with pytest.raises(trio.TooSlowError):
        await enter(sending_at(9, 18, 27, idle_timeout=10), received)
    assert received == [b"data: 0\n\n", b"data: 1\n\n", b"data: 2\n\n"]


async def test_none_of_it_is_looked_for_unasked(autojump_clock: Clock) -> None:
    stream = sending_at(5000, ping=None, max_duration=10_000)
    await read_to_the_end(stream)
    assert stream.outcome == "expired"
