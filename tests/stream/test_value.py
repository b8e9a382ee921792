"""`Stream.value`: a stream's bytes without a server."""

import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import trio
import trio.testing

from tests.stream.helpers import Generator
from tests.support.tasks import NothingLeft
from trio_stream import Outcome, Stream, StreamLimits, open_broker
from trio_stream.testing import connect

Clock = trio.testing.MockClock

#: More turns of Trio's than any producer here needs to end, once it is cancelled.
TURNS = 12


async def test_all_its_bytes_can_be_read(no_task_left: NothingLeft) -> None:
    async with Stream(["a", "b"]) as stream:
        body = b"".join([chunk async for chunk in stream.value])
    assert body == b"data: a\n\ndata: b\n\n"
    assert stream.outcome == "completed"
    await no_task_left()


async def test_a_retry_that_was_set_goes_first() -> None:
    async with Stream(["a"], retry=500) as stream:
        assert await anext(stream.value) == b"retry: 500\ndata: a\n\n"


async def test_a_changed_retry_goes_before_the_next_event() -> None:
    async with Stream(retry=500) as stream:
        await stream.send("a")
        assert await anext(stream.value) == b"retry: 500\ndata: a\n\n"
        stream.retry = 700
        await stream.send("b")
        assert await anext(stream.value) == b"retry: 700\ndata: b\n\n"


async def test_what_was_sent_before_is_there() -> None:
    stream = Stream()
    stream.send_nowait("early")
    async with stream:
        assert await anext(stream.value) == b"data: early\n\n"
        await stream.send("late")
        assert await anext(stream.value) == b"data: late\n\n"
        stream.close()
        with pytest.raises(StopAsyncIteration):
            await anext(stream.value)


async def test_leaving_the_block_closes_it(no_task_left: NothingLeft) -> None:
    producer = Generator()
    async with Stream(producer()) as stream:
        await anext(stream.value)
    assert producer.closed
    assert stream.outcome == "closed"
    await no_task_left()


async def test_pull_only_it_has_no_ping_and_no_stall(autojump_clock: Clock) -> None:
    async with Stream(Generator()(), ping=1, stall_timeout=1, buffer=5) as stream:
        await trio.sleep(1000)
        assert stream.outcome is None
        assert b":" not in (await anext(stream.value)).replace(b"data:", b"")


async def test_the_producer_is_held_back_until_it_is_read() -> None:
    producer = Generator()
    async with Stream(producer(), buffer=5):
        await trio.testing.wait_all_tasks_blocked()
        assert producer.produced == 6


async def test_a_failure_is_raised_after_the_last_chunk(no_task_left: NothingLeft) -> None:
    async def callback(stream: Stream) -> None:
        await stream.send("one")
        raise KeyError("mine")

    async with Stream(callback) as stream:
        assert await anext(stream.value) == b"data: one\n\n"
        with pytest.raises(KeyError, match="mine"):
            await anext(stream.value)
    assert stream.outcome == "failed"
    await no_task_left()


async def test_a_failure_nobody_read_is_raised_by_the_block() -> None:
    async def callback(stream: Stream) -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        async with Stream(callback):
            await trio.testing.wait_all_tasks_blocked()


async def test_an_exception_of_the_block_goes_on_as_it_is(no_task_left: NothingLeft) -> None:
    with pytest.raises(KeyError, match="mine"):
        async with Stream(Generator()()):
            raise KeyError("mine")
    await no_task_left()


async def test_also_when_the_block_is_cancelled(no_task_left: NothingLeft) -> None:
    async def fail_while_cancelled() -> None:
        with trio.CancelScope() as scope:
            async with Stream(Generator()()) as stream:
                await anext(stream.value)
                scope.cancel()
                raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await fail_while_cancelled()
    await no_task_left()


async def test_cancelled_it_ends(autojump_clock: Clock, no_task_left: NothingLeft) -> None:
    producer = Generator(1, pause=float("inf"))
    with trio.move_on_after(5) as scope:
        async with Stream(producer()) as stream:
            async for _ in stream.value:
                pass
    assert scope.cancelled_caught
    assert producer.closed_in is not None
    await no_task_left()


async def waits() -> AsyncIterator[str]:
    yield "one"
    await trio.sleep_forever()


async def sends(stream: Stream) -> None:
    while True:
        await stream.send("one")


async def forwards(stream: Stream) -> None:
    """Is cancelled, and then inside Trio's `checkpoint_if_cancelled`, which many functions call."""
    await stream.send("one")
    sender, receiver = trio.open_memory_channel[str](1)
    async with sender, receiver:
        try:
            await receiver.receive()
        finally:
            await sender.send("two")


async def forwards_in_a_task(stream: Stream) -> None:
    stream.start_soon(forwards, stream)


async def cancel_and_leave(turns: int, source: Any) -> Stream:
    """Read a stream in a scope that is cancelled, and leave it that many turns later."""
    with trio.CancelScope() as scope:
        async with Stream(source) as stream:
            await anext(stream.value)
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
            for _ in range(turns):
                await trio.lowlevel.cancel_shielded_checkpoint()
            await trio.lowlevel.checkpoint()
    assert scope.cancelled_caught
    return stream


@pytest.mark.parametrize("turns", range(TURNS))
@pytest.mark.parametrize("source", [waits, sends, forwards, forwards_in_a_task])
async def test_it_can_be_left_at_any_turn_of_its_producers_end(
    source: Callable[..., Any], turns: int, no_task_left: NothingLeft
) -> None:
    """Trio's checkpoints fail if a cancellation is taken back from a task about to receive it."""
    stream = await cancel_and_leave(turns, source() if source is waits else source)
    assert stream.outcome == "closed"
    await no_task_left()


@pytest.mark.parametrize("turns", range(TURNS))
async def test_also_when_its_source_is_a_topic(turns: int, no_task_left: NothingLeft) -> None:
    async with open_broker() as broker:
        await broker.publish("news", "one")
        stream = await cancel_and_leave(turns, broker.subscribe("news", after="earliest"))
        assert stream.outcome == "closed"
    await no_task_left()


async def test_reading_is_a_checkpoint() -> None:
    async with Stream(["a"]) as stream:
        await trio.testing.wait_all_tasks_blocked()
        with trio.testing.assert_checkpoints():
            await anext(stream.value)
        with trio.testing.assert_checkpoints(), pytest.raises(StopAsyncIteration):
            await anext(stream.value)


async def test_statistics_count_what_was_read() -> None:
    async with Stream(["a", "b"]) as stream:
        size = sum([len(chunk) async for chunk in stream.value])
        assert stream.statistics().bytes == size
        assert stream.statistics().events == 2


def test_it_must_have_been_entered() -> None:
    with pytest.raises(RuntimeError, match="enter the stream first: async with"):
        _ = Stream(["a"]).value


async def test_an_entered_stream_cannot_be_served() -> None:
    async with Stream(["a"]) as stream:
        with pytest.raises(RuntimeError, match="served or entered once"):
            async with connect(stream):
                pytest.fail("served")


@pytest.mark.parametrize(
    "options",
    [
        {"authorize": lambda scope: 403},
        {"authorize": lambda scope: True, "recheck": 5},
        {"limits": StreamLimits(total=1)},
        {"limits": StreamLimits(per_principal=1), "principal": "ann"},
    ],
)
async def test_nobody_could_be_asked_for_one(options: Any) -> None:
    stream = Stream(["x"], **options)
    with pytest.raises(TypeError, match=f"{next(iter(options))}= asks .* before you enter it"):
        async with stream:
            raise AssertionError("never entered")
    stream.close()


async def test_its_client_is_told_its_id() -> None:
    async with Stream(["a"], tell_id="event", retry=500) as stream:
        body = b"".join([chunk async for chunk in stream.value])
    told = f'retry: 500\nevent: stream\ndata: {{"id":"{stream.id}"}}\n\ndata: a\n\n'
    assert body == told.encode()


async def test_one_of_somebody_who_is_refused_ends_at_once() -> None:
    async with open_broker() as broker:
        await broker.disconnect("ann", refuse_for=60)
        producer = Generator()
        async with Stream(producer(), principal="ann") as stream:
            assert [chunk async for chunk in stream.value] == []
    assert (stream.outcome, producer.closed) == ("revoked", True)


async def test_nor_entered_again() -> None:
    stream = Stream(["a"])
    async with stream:
        pass
    with pytest.raises(RuntimeError, match="served or entered once"):
        await stream.__aenter__()


@pytest.mark.parametrize("expires", ["max_duration", "expires_at"])
async def test_its_time_ends_it(
    expires: str, autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while nobody reads, and what was sent before can be read after."""
    monkeypatch.setattr(time, "time", lambda: 1e9 + trio.current_time())
    times = {"max_duration": 10.0, "expires_at": time.time() + 10}
    async with Stream(**{expires: times[expires]}) as stream:
        await stream.send("in time")
        while stream.outcome is None:
            await trio.sleep(1)
        assert stream.outcome is Outcome.EXPIRED
        assert 9 <= trio.current_time() <= 12
        assert [chunk async for chunk in stream.value] == [b"data: in time\n\n"]


async def test_neither_stalls_nor_pings_it(autojump_clock: Clock) -> None:
    """Pull only: nobody is there who could be slow."""
    async with Stream(ping=1, stall_timeout=1) as stream:
        await stream.send("waits")
        await trio.sleep(1000)
        assert stream.outcome is None


async def test_a_second_reader_is_refused(autojump_clock: Clock) -> None:
    async with Stream() as stream, trio.open_nursery() as nursery:

        async def read(into: list[bytes]) -> None:
            into += [chunk async for chunk in stream.value]

        first: list[bytes] = []
        nursery.start_soon(read, first)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(trio.BusyResourceError, match="another task"):
            await anext(stream.value)
        await stream.send("to the first")
        stream.close()
    assert first == [b"data: to the first\n\n"]


async def test_a_read_that_is_cancelled_loses_nothing(autojump_clock: Clock) -> None:
    async with Stream(retry=7000) as stream:
        with trio.move_on_after(1):
            await anext(stream.value)
        await stream.send("hello")
        assert await anext(stream.value) == b"retry: 7000\ndata: hello\n\n"


@pytest.mark.parametrize("data", ["x", "x" * 100_000])
async def test_more_senders_than_there_is_room_for(
    data: str, autojump_clock: Clock, no_task_left: NothingLeft
) -> None:
    async def producer(stream: Stream) -> None:
        for _ in range(20):
            stream.start_soon(stream.send, data)

    with trio.fail_after(5):
        async with Stream(producer, buffer=1) as stream:
            chunks = [chunk async for chunk in stream.value]
    assert b"".join(chunks) == f"data: {data}\n\n".encode() * 20
    assert all(chunks)
    await no_task_left()
