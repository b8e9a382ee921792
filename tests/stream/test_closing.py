"""Generators are closed promptly, in the stream's own task, and can await while they close."""

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from tests.stream.helpers import Generator, data_of
from tests.support.tasks import NothingLeft
from trio_stream import Stream
from trio_stream.testing import connect

Clock = trio.testing.MockClock


async def test_left_at_its_yield_its_finally_can_await(
    autojump_clock: Clock, no_task_left: NothingLeft
) -> None:
    producer = Generator()
    async with connect(Stream(producer())) as client:
        await client.receive_event()
    assert producer.closed
    await no_task_left()


async def test_in_the_task_that_ran_it() -> None:
    producer = Generator()
    async with connect(Stream(producer())) as client:
        await client.receive_event()
    assert producer.task is not None
    assert producer.closed_in is producer.task


async def test_exhausted_it_is_closed_too(autojump_clock: Clock) -> None:
    producer = Generator(3)
    assert await data_of(Stream(producer())) == ["1", "2", "3"]
    assert producer.closed


async def test_left_inside_an_await_it_needs_a_shield_of_its_own(autojump_clock: Clock) -> None:
    seen = []

    async def generator() -> AsyncIterator[int]:
        try:
            yield 1
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + 5):
                await trio.sleep(1)
                seen.append("shielded")
            await trio.sleep(1)
            seen.append("not reached")

    async with connect(Stream(generator())) as client:
        await client.receive_event()
    assert seen == ["shielded"]


async def test_it_gets_five_seconds_and_a_line_in_the_log(
    autojump_clock: Clock, caplog: pytest.LogCaptureFixture, no_task_left: NothingLeft
) -> None:
    cancelled_after = []

    async def slow_to_close() -> AsyncIterator[int]:
        try:
            while True:
                yield 1
        finally:
            began = trio.current_time()
            try:
                await trio.sleep_forever()
            finally:
                cancelled_after.append(trio.current_time() - began)

    async with connect(Stream(slow_to_close())) as client:
        await client.receive_event()
    assert cancelled_after == [pytest.approx(5)]
    [message] = [r.getMessage() for r in caplog.records if r.getMessage().startswith("closing")]
    assert "slow_to_close" in message
    assert "took more than 5 s and was cancelled" in message
    await no_task_left()


async def test_context_managers_inside_it_are_left(autojump_clock: Clock) -> None:
    steps = []

    @asynccontextmanager
    async def database() -> AsyncIterator[None]:
        steps.append("open")
        try:
            yield
        finally:
            await trio.sleep(1)
            steps.append("closed")

    async def rows() -> AsyncIterator[int]:
        async with database():
            while True:
                yield 1

    async with connect(Stream(rows())) as client:
        await client.receive_event()
    assert steps == ["open", "closed"]


async def test_the_generator_of_an_async_iterable_is_closed() -> None:
    class Rows:
        closed = False

        async def __aiter__(self) -> AsyncIterator[int]:
            try:
                while True:
                    yield 1
            finally:
                await trio.lowlevel.checkpoint()
                self.closed = True

    rows = Rows()
    async with connect(Stream(rows)) as client:
        await client.receive_event()
    assert rows.closed


async def test_an_iterator_of_a_class_is_closed_by_its_aclose() -> None:
    class Rows:
        closed = 0

        def __aiter__(self) -> "Rows":
            return self

        async def __anext__(self) -> int:
            await trio.lowlevel.checkpoint()
            return 1

        async def aclose(self) -> None:
            await trio.lowlevel.checkpoint()
            self.closed += 1

    rows = Rows()
    async with connect(Stream(rows)) as client:
        await client.receive_event()
    assert rows.closed == 1


async def test_one_that_fails_while_closing_is_a_failure() -> None:
    async def generator() -> AsyncIterator[int]:
        try:
            while True:
                yield 1
        finally:
            raise KeyError("in finally")

    stream = Stream(generator())
    with pytest.raises(KeyError, match="in finally"):
        async with connect(stream) as client:
            await client.receive_event()
    assert stream.outcome == "disconnected"


async def test_one_that_never_awaits_can_be_cancelled(no_task_left: NothingLeft) -> None:
    producer = Generator()
    stream = Stream(producer())
    async with connect(stream) as client:
        for _ in range(1000):
            await client.receive_event()
        client.disconnect()
    assert producer.closed
    await no_task_left()


async def test_and_shares_the_core_with_other_streams() -> None:
    one, two = Stream(Generator()()), Stream(Generator()())
    async with connect(one) as first, connect(two) as second:
        for _ in range(2000):
            await first.receive_event()
            await second.receive_event()


async def test_and_with_tasks_that_have_nothing_to_do_with_it() -> None:
    """Whoever only wants a checkpoint gets it within a few milliseconds of generating."""
    stream = Stream(Generator()(), buffer=10**6, buffer_bytes=10**9)
    async with stream:
        for _ in range(20):
            before = stream.statistics().events
            await trio.lowlevel.checkpoint()
            assert stream.statistics().events - before < 50_000


async def test_a_generator_given_by_a_callback_is_closed_too() -> None:
    producer = Generator()
    async with connect(Stream(lambda stream: producer())) as client:
        await client.receive_event()
    assert producer.closed


async def test_nothing_is_left_to_the_garbage_collector(no_task_left: NothingLeft) -> None:
    """Trio warns of generators that it finds there; the warning would be an error here."""

    async def inner() -> AsyncIterator[int]:
        while True:
            yield 1

    for _ in range(10):
        async with connect(Stream(inner())) as client:
            await client.receive_event()
    gc.collect()
    await no_task_left()
