"""Pings: so many seconds of silence, and what counts as silence."""

import itertools

import pytest
import trio
import trio.testing

from tests.stream.helpers import PRIMER
from trio_stream import Stream
from trio_stream.testing import connect

Clock = trio.testing.MockClock


async def every(stream: Stream, seconds: float, count: int = 10) -> None:
    for number in range(count):
        await stream.wait(seconds)
        await stream.send(number)


async def test_silence_is_pinged_every_eight_seconds(autojump_clock: Clock) -> None:
    stream = Stream()
    async with connect(stream) as client:
        assert await client.receive_chunk() == PRIMER
        began = trio.current_time()
        times = []
        for _ in range(4):
            assert (await client.receive_chunk()).startswith(b":")
            times.append(trio.current_time() - began)
    assert times == [pytest.approx(8 * (n + 1), abs=0.1) for n in range(4)]


async def test_an_event_is_no_silence(autojump_clock: Clock) -> None:
    async with connect(Stream(lambda stream: every(stream, 9), ping=10)) as client:
        assert len([event async for event in client.events()]) == 10
        assert client.comments == []


async def test_silence_is_counted_from_the_last_byte(autojump_clock: Clock) -> None:
    stream = Stream(lambda stream: every(stream, 14, 3), ping=10, hold_headers=False)
    async with connect(stream) as client:
        began = trio.current_time()
        seen = []
        async for chunk in client.chunks():
            seen.append((chunk[:1], round(trio.current_time() - began)))
        assert seen == [
            (b"r", 0),
            (b":", 10),
            (b"d", 14),
            (b":", 24),
            (b"d", 28),
            (b":", 38),
            (b"d", 42),
        ]


async def test_none_turns_them_off(autojump_clock: Clock) -> None:
    async with connect(Stream(lambda stream: every(stream, 1000), ping=None)) as client:
        await client.read()
        assert client.comments == []


async def test_json_lines_are_pinged_with_an_empty_line_if_asked(autojump_clock: Clock) -> None:
    stream = Stream(lambda stream: every(stream, 25, 1), ping=10, format="ndjson")
    async with connect(stream) as client:
        assert await client.read() == b"\n\n0\n"


async def test_but_not_unasked(autojump_clock: Clock) -> None:
    stream = Stream(lambda stream: every(stream, 1000, 1), format="ndjson")
    async with connect(stream) as client:
        assert await client.read() == b"0\n"


@pytest.mark.parametrize("format", ["text", "bytes"])
async def test_text_and_bytes_know_no_ping(autojump_clock: Clock, format: str) -> None:
    async def callback(stream: Stream) -> None:
        await stream.wait(1000)
        await stream.send(b"x")

    async with connect(Stream(callback, ping=10, format=format)) as client:  # type: ignore[arg-type]
        assert await client.read() == b"x"


async def test_a_client_that_takes_nothing_is_not_pinged_meanwhile(autojump_clock: Clock) -> None:
    stream = Stream(ping=10, stall_timeout=None)
    async with connect(stream) as client:
        await client.receive_chunk()
        client.stall()
        await stream.send("waits")
        await trio.sleep(1000)
        assert stream.statistics().queued == 0
        client.resume()
        stream.close()
        assert await client.read() == b"data: waits\n\n"


async def test_pings_do_not_gather_for_a_client_that_takes_nothing(autojump_clock: Clock) -> None:
    stream = Stream(ping=10, stall_timeout=None)
    async with connect(stream) as client:
        await client.receive_chunk()
        client.stall()
        await trio.sleep(1000)
        client.resume()
        stream.close()
        assert len(await client.read()) <= 4  # the one that is stuck


async def test_many_streams_are_pinged_in_time(autojump_clock: Clock) -> None:
    streams = [Stream(ping=5 + number % 7) for number in range(50)]
    async with trio.open_nursery() as nursery:
        counts = {}

        async def count(number: int) -> None:
            async with connect(streams[number]) as client:
                with trio.move_on_after(100):
                    async for _ in client.events():
                        pass
                counts[number] = len(client.comments)

        for number in range(50):
            nursery.start_soon(count, number)
    for number in range(50):
        assert counts[number] == pytest.approx(100 / (5 + number % 7), abs=1)


async def test_streams_that_come_and_go_leave_no_clock_behind(autojump_clock: Clock) -> None:
    """The test environment looks for system tasks that were left."""
    for _ in itertools.repeat(None, 5):
        async with connect(Stream(ping=1)) as client:
            await client.receive_chunk()
            await trio.sleep(3)
        await trio.sleep(10)


@pytest.mark.parametrize("begun", [8.266739050102567, 0.1, 1e6 / 3, 1e9 / 7])
async def test_a_ping_is_due_on_time_whatever_the_clock_says(
    autojump_clock: Clock, begun: float
) -> None:
    await trio.sleep(begun)
    async with connect(Stream(ping=8)) as client:
        await client.receive_chunk()
        with trio.fail_after(8.5):
            assert await client.receive_chunk() == b":\n"
