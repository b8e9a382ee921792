"""`Stream.statistics`."""

import dataclasses

import pytest
import trio
import trio.testing

from tests.stream.helpers import PRIMER
from trio_stream import DroppedInput, Stream
from trio_stream.testing import connect

Clock = trio.testing.MockClock


async def test_before_it_is_served_nothing_has_happened() -> None:
    stream = Stream()
    stream.send_nowait("queued")
    assert dataclasses.asdict(stream.statistics()) == {
        "events": 1,
        "bytes": 0,
        "queued": 1,
        "queued_bytes": 14,
        "waiting_senders": 0,
        "peak_queued": 1,
        "seconds_open": 0.0,
        "outcome": None,
        "dropped": dataclasses.asdict(DroppedInput()),
    }


async def test_all_of_it_at_the_end(autojump_clock: Clock) -> None:
    async def callback(stream: Stream) -> None:
        for _ in range(3):
            stream.send_nowait("abc")
        await stream.wait(5)

    stream = Stream(callback)
    async with connect(stream) as client:
        body = await client.read()
        await trio.sleep(100)
    statistics = stream.statistics()
    assert statistics.events == 3
    assert statistics.bytes == len(body) == len(PRIMER) + 3 * len("data: abc\n\n")
    assert (statistics.queued, statistics.peak_queued) == (0, 3)
    assert statistics.seconds_open == pytest.approx(5)
    assert statistics.outcome == "completed"


async def test_pings_count_as_bytes_and_not_as_events(autojump_clock: Clock) -> None:
    stream = Stream(ping=10)
    async with connect(stream) as client:
        await trio.sleep(35)
        stream.close()
        assert len(await client.read()) == stream.statistics().bytes
    assert stream.statistics().events == 0


async def test_it_is_a_snapshot() -> None:
    stream = Stream()
    before = stream.statistics()
    stream.send_nowait("x")
    assert before.events == 0
    with pytest.raises(dataclasses.FrozenInstanceError):
        before.events = 5  # type: ignore[misc]


async def test_seconds_open_goes_on_while_it_is_open(autojump_clock: Clock) -> None:
    stream = Stream()
    async with connect(stream):
        await trio.sleep(7)
        assert stream.statistics().seconds_open == pytest.approx(7)


def test_its_repr_says_how_it_stands() -> None:
    stream = Stream()
    assert "Stream not served yet" in repr(stream)
    stream.close()
    assert "Stream closed" in repr(stream)
