"""`Stream.wait`: as `trio.sleep`, whoever else waits and however that ends."""

import gc
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from tests.stream.helpers import data_of
from trio_stream import Stream
from trio_stream.testing import connect

Clock = trio.testing.MockClock


@asynccontextmanager
async def open_stream() -> AsyncIterator[Stream]:
    """One that is served, and so watched."""
    stream = Stream()
    async with connect(stream):
        await trio.testing.wait_all_tasks_blocked()
        yield stream


async def test_each_is_woken_at_its_time_in_whatever_order_they_came(
    autojump_clock: Clock,
) -> None:
    woken: list[tuple[float, float]] = []

    async def wait(stream: Stream, seconds: float) -> None:
        await stream.wait(seconds)
        woken.append((seconds, trio.current_time()))

    async with open_stream() as stream, trio.open_nursery() as nursery:
        start = trio.current_time()
        for seconds in (3, 1, 2, 0.5, 1):
            nursery.start_soon(wait, stream, seconds)
        await trio.sleep(0.25)
        nursery.start_soon(wait, stream, 0.125)  # sooner than all that wait
    times = [0.125, 0.5, 1, 1, 2, 3]
    assert [seconds for seconds, _ in woken] == times
    assert [when - start for _, when in woken] == [0.375, *times[1:]]


async def test_those_of_a_millisecond_are_woken_together_and_none_too_early(
    autojump_clock: Clock,
) -> None:
    late: list[float] = []
    turns: set[float] = set()

    async def wait(stream: Stream, seconds: float) -> None:
        due = trio.current_time() + seconds
        await stream.wait(seconds)
        late.append(trio.current_time() - due)
        turns.add(trio.current_time())

    async with open_stream() as stream, trio.open_nursery() as nursery:
        for n in range(100):
            nursery.start_soon(wait, stream, 1 + n * 2**-14)  # 16 of them a millisecond
    assert min(late) >= 0
    assert max(late) <= 0.001
    assert len(turns) < 10


async def test_a_wait_that_is_cancelled_wakes_nobody_and_holds_up_nobody(
    autojump_clock: Clock,
) -> None:
    async with open_stream() as stream:
        start = trio.current_time()
        with trio.move_on_after(1) as scope:
            await stream.wait(10)
        assert scope.cancelled_caught
        assert trio.current_time() == start + 1
        await stream.wait(20)  # past the time of the other
        assert trio.current_time() == start + 21


async def test_what_was_cancelled_is_not_kept_until_its_time(autojump_clock: Clock) -> None:
    def count_kept() -> int:
        return sum(type(found).__qualname__ == "_Wait" for found in gc.get_objects())

    async with open_stream() as stream:
        before = count_kept()
        for _ in range(1000):
            with trio.CancelScope() as scope:
                scope.cancel()
                await stream.wait(10_000)
        assert count_kept() - before <= 100
        await stream.wait(1)


@pytest.mark.parametrize("seconds", [0, 0.5])
async def test_it_is_a_checkpoint_and_cancelled_at_once(seconds: float) -> None:
    async with open_stream() as stream:
        with trio.testing.assert_checkpoints():
            await stream.wait(seconds / 1000)
        with trio.CancelScope() as scope:
            scope.cancel()
            await stream.wait(seconds)
        assert scope.cancelled_caught


async def test_also_where_the_stream_is_not_served_yet_or_no_more(autojump_clock: Clock) -> None:
    stream = Stream(["a"])
    start = trio.current_time()
    await stream.wait(5)
    assert trio.current_time() == start + 5
    assert await data_of(stream) == ["a"]
    await stream.wait(5)
    assert trio.current_time() == start + 10


async def test_who_waits_while_the_last_stream_ends_waits_on(autojump_clock: Clock) -> None:
    waited: list[float] = []

    async def wait(stream: Stream, seconds: float) -> None:
        start = trio.current_time()
        await stream.wait(seconds)
        waited.append(trio.current_time() - start)

    async with trio.open_nursery() as nursery:
        async with open_stream() as stream:
            nursery.start_soon(wait, stream, 10)
            await trio.sleep(1)
            stream.close()
        async with open_stream() as another:  # the next one, whose waits are its own
            await another.wait(2)
            nursery.start_soon(wait, another, 30)
            await trio.sleep(15)
    assert waited == [10, 30]


def test_one_that_is_shielded_outlasts_the_run() -> None:
    clock = trio.testing.MockClock(autojump_threshold=0)
    waited: list[float] = []

    async def linger(stream: Stream) -> None:
        with trio.CancelScope(shield=True):
            start = trio.current_time()
            await stream.wait(3)
            waited.append(trio.current_time() - start)

    async def main() -> None:
        async with open_stream() as stream:
            trio.lowlevel.spawn_system_task(linger, stream)
            await trio.testing.wait_all_tasks_blocked()

    trio.run(main, clock=clock)
    assert waited == [3]


def test_nan_is_no_time() -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match="seconds"):
            await Stream().wait(math.nan)

    trio.run(main)
