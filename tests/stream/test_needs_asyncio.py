"""Sources that need asyncio: their failure says what to do; those that can do without are read."""

import asyncio
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from typing import Any

import pytest
import trio
import trio.testing

from tests.stream.helpers import data_of, read_failure, read_to_the_break
from tests.support.tasks import NothingLeft
from trio_stream import Stream
from trio_stream.testing import connect

Clock = trio.testing.MockClock


async def asks_for_the_loop() -> AsyncIterator[int]:
    asyncio.get_running_loop()
    yield 1


class Future:
    """What asyncio's futures are to who awaits them. (A real one needs a loop.)"""

    _asyncio_future_blocking = False

    def __await__(self) -> Generator[Any, None, None]:
        self._asyncio_future_blocking = True
        yield self


async def awaits_a_future() -> AsyncIterator[int]:
    await Future()
    yield 1


async def sleeps() -> AsyncIterator[int]:
    await asyncio.sleep(0)
    yield 1


async def wraps() -> AsyncIterator[int]:
    """As SDKs do, which have errors of their own."""
    try:
        async for number in asks_for_the_loop():
            yield number
    except RuntimeError as error:
        raise ConnectionError("Connection error.") from error


async def groups() -> AsyncIterator[int]:
    async def task() -> None:
        asyncio.get_running_loop()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(task)
    yield 1


KINDS = [asks_for_the_loop, awaits_a_future, sleeps, wraps, groups]


@pytest.mark.parametrize("make", KINDS)
async def test_a_source_that_needs_asyncio_is_told_what_to_do(
    make: Callable[[], Any], no_task_left: NothingLeft, autojump_clock: Clock
) -> None:
    with pytest.raises(BaseException) as caught:  # noqa: PT011
        async with connect(Stream(make())) as client:
            await client.read()
    assert "trio-stream[asyncio]" in caught.value.__notes__[0]
    assert len(caught.value.__notes__) == 1
    await no_task_left()


async def test_a_callback_is_told_too(autojump_clock: Clock) -> None:
    async def callback(stream: Stream) -> None:
        await asyncio.sleep(0)

    with pytest.raises(TypeError) as caught:
        async with connect(Stream(callback)) as client:
            await client.read()
    assert "open_asyncio" in caught.value.__notes__[0]


async def test_an_awaitable_is_told_and_answered_500(autojump_clock: Clock) -> None:
    async def create() -> AsyncIterator[int]:
        asyncio.get_running_loop()
        return asks_for_the_loop()

    with pytest.raises(RuntimeError, match="no running event loop") as caught:
        await read_failure(Stream(create()))
    assert "open_asyncio" in caught.value.__notes__[0]


async def test_other_failures_are_not_told(autojump_clock: Clock) -> None:
    async def fails() -> AsyncIterator[int]:
        raise RuntimeError("its own trouble")
        yield

    with pytest.raises(RuntimeError) as caught:
        async with connect(Stream(fails())) as client:
            await client.read()
    assert not hasattr(caught.value, "__notes__")


class Both:
    """A stream object with both protocols, as litellm's."""

    def __init__(self, count: int = 3, *, needs_asyncio: bool = True) -> None:
        self.left = count
        self.needs_asyncio = needs_asyncio
        self.read_in = ""
        self.closed = 0

    def __iter__(self) -> "Both":
        return self

    def __next__(self) -> int:
        self.read_in = "thread"
        if not self.left:
            raise StopIteration
        self.left -= 1
        return self.left

    def __aiter__(self) -> "Both":
        return self

    async def __anext__(self) -> int:
        if self.needs_asyncio:
            asyncio.get_running_loop()
        self.read_in = "task"
        if not self.left:
            raise StopAsyncIteration
        self.left -= 1
        return self.left

    def close(self) -> None:
        self.closed += 1


@pytest.mark.parametrize(("count", "needs_asyncio"), [(0, False), (3, False), (3, True)])
async def test_one_with_both_protocols_is_read_by_the_one_that_works(
    count: int, needs_asyncio: bool, no_task_left: NothingLeft, autojump_clock: Clock
) -> None:
    both = Both(count, needs_asyncio=needs_asyncio)
    assert await data_of(Stream(both)) == ["2", "1", "0"][3 - count :]
    assert both.read_in == ("thread" if needs_asyncio else "task")
    assert both.closed == 1
    await no_task_left()


async def test_one_that_has_nothing_for_the_thread_may_have_lost_it(autojump_clock: Clock) -> None:
    with pytest.raises(RuntimeError, match="no running event loop") as caught:
        await read_to_the_break(Stream(Both(0)), [])
    assert "open_asyncio" in caught.value.__notes__[0]


async def test_of_litellm_only_the_sync_way_is_tried(autojump_clock: Clock) -> None:
    class Spoiled(Both):
        """As litellm's, which a failed attempt leaves empty."""

        async def __anext__(self) -> int:
            self.left = 0
            return await super().__anext__()

    Spoiled.__module__ = "litellm.litellm_core_utils.streaming_handler"
    assert await data_of(Stream(Spoiled(2))) == ["1", "0"]


async def test_also_where_the_loop_is_asked_for_at_once(autojump_clock: Clock) -> None:
    class AtOnce(Both):
        def __aiter__(self) -> "Both":
            asyncio.get_running_loop()
            raise AssertionError

    assert await data_of(Stream(AtOnce(2))) == ["1", "0"]


async def test_and_where_a_future_of_asyncios_is_awaited(autojump_clock: Clock) -> None:
    class Awaits(Both):
        async def __anext__(self) -> int:
            await Future()
            raise AssertionError

    async def found() -> Both:
        return Awaits(2)

    assert await data_of(Stream(Awaits(2))) == ["1", "0"]
    assert await data_of(Stream(found())) == ["1", "0"]
    assert await data_of(Stream(lambda stream: Awaits(2))) == ["1", "0"]


async def test_it_is_not_begun_anew_in_the_middle(autojump_clock: Clock) -> None:
    class Late(Both):
        async def __anext__(self) -> int:
            if self.left == 1:
                asyncio.get_running_loop()
            self.left -= 1
            return self.left

    late = Late(3)
    with pytest.raises(RuntimeError, match="no running event loop"):
        await read_to_the_break(Stream(late), ["2", "1"])
    assert (late.read_in, late.closed) == ("", 1)


async def test_its_own_failure_is_its_own(autojump_clock: Clock) -> None:
    class Failing(Both):
        async def __anext__(self) -> int:
            raise RuntimeError("its own trouble")

    failing = Failing()
    with pytest.raises(RuntimeError, match="its own trouble"):
        async with connect(Stream(failing)) as client:
            await client.read()
    assert (failing.read_in, failing.closed) == ("", 1)


async def test_one_that_only_makes_iterators_has_those_closed(autojump_clock: Clock) -> None:
    steps = []

    class Makes:
        def __iter__(self) -> Iterator[int]:
            try:
                yield 1
            finally:
                steps.append("sync")

        async def __aiter__(self) -> AsyncIterator[int]:
            try:
                yield 2
                await trio.sleep_forever()
            finally:
                steps.append("async")

    async with connect(Stream(Makes())) as client:
        assert (await client.receive_event()).data == "2"
        client.disconnect()
    assert steps == ["async"]


async def test_one_that_is_never_read_is_closed(autojump_clock: Clock) -> None:
    both = Both()
    async with connect(Stream(both), method="HEAD") as client:
        assert await client.read() == b""
    assert both.closed == 1
