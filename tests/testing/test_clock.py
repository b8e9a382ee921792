"""Worker threads take real time, under an autojump clock too."""

import time
from collections.abc import Iterator
from math import inf

import pytest
import trio
import trio.testing

from trio_stream import Stream
from trio_stream.testing import connect, real_time


def slow_values() -> Iterator[int]:
    for value in range(3):
        time.sleep(0.1)
        yield value


async def test_a_blocking_source_is_not_jumped_over(autojump_clock: trio.testing.MockClock) -> None:
    began = trio.current_time()
    async with connect(Stream(slow_values(), ping=3600, max_duration=7200)) as client:
        assert [event.data async for event in client.events()] == ["0", "1", "2"]
        assert client.comments == []
        assert client.ended == "complete"
    assert trio.current_time() - began < 3000


async def test_its_wait_for_room_is_jumped_over(autojump_clock: trio.testing.MockClock) -> None:
    def endless() -> Iterator[str]:
        while True:
            yield "x" * 1000

    stream = Stream(endless(), stall_timeout=600)
    began, began_really = trio.current_time(), time.perf_counter()
    async with connect(stream) as client:
        client.stall()
        while stream.outcome is None:
            await trio.sleep(60)
    assert stream.outcome == "stalled"
    assert 600 <= trio.current_time() - began < 700
    assert time.perf_counter() - began_really < 60


async def test_a_thread_of_ones_own_is_held_by_hand(autojump_clock: trio.testing.MockClock) -> None:
    with trio.fail_after(3600), real_time():
        await trio.to_thread.run_sync(time.sleep, 0.1)


async def test_without_it_the_clock_jumps(autojump_clock: trio.testing.MockClock) -> None:
    with pytest.raises(trio.TooSlowError), trio.fail_after(30):
        await trio.to_thread.run_sync(time.sleep, 0.1, abandon_on_cancel=True)


async def test_the_clock_goes_as_before_when_the_last_has_left(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def hold(release: trio.Event) -> None:
        with real_time(), real_time():
            await release.wait()

    first, second = trio.Event(), trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hold, first)
        nursery.start_soon(hold, second)
        await trio.testing.wait_all_tasks_blocked()
        assert (autojump_clock.rate, autojump_clock.autojump_threshold) == (1.0, inf)
        first.set()
        await trio.testing.wait_all_tasks_blocked()
        assert (autojump_clock.rate, autojump_clock.autojump_threshold) == (1.0, inf)
        second.set()
    assert (autojump_clock.rate, autojump_clock.autojump_threshold) == (0.0, 0.0)


async def test_a_real_clock_is_left_alone() -> None:
    with real_time():
        await trio.lowlevel.checkpoint()
