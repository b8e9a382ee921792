"""The stream's own nursery, and when a stream is over."""

import pytest
import trio
import trio.testing

from tests.stream.helpers import PRIMER, data_of
from tests.support.tasks import NothingLeft
from trio_stream import Stream
from trio_stream.testing import connect

Clock = trio.testing.MockClock


async def send_later(stream: Stream, seconds: float, value: str) -> None:
    await trio.sleep(seconds)
    await stream.send(value)


async def test_a_value_based_stream_is_over_when_it_is_closed(autojump_clock: Clock) -> None:
    stream = Stream()
    async with connect(stream) as client:
        await stream.send("a")
        await trio.sleep(1000)
        assert stream.outcome is None
        stream.close()
        assert [event.data async for event in client.events()] == ["a"]
        assert client.ended == "complete"
    assert stream.outcome == "closed"


async def test_or_when_the_last_task_started_in_it_has_ended(autojump_clock: Clock) -> None:
    stream = Stream()
    stream.start_soon(send_later, stream, 10, "second")
    stream.start_soon(send_later, stream, 5, "first")
    assert await data_of(stream) == ["first", "second"]
    assert stream.outcome == "completed"


async def test_a_task_started_while_it_is_served_counts_too(autojump_clock: Clock) -> None:
    stream = Stream()
    async with connect(stream) as client:
        await trio.sleep(10)
        stream.start_soon(send_later, stream, 5, "a")
        assert [event.data async for event in client.events()] == ["a"]
    assert stream.outcome == "completed"


async def test_also_one_started_in_its_nursery_directly(autojump_clock: Clock) -> None:
    stream = Stream()
    async with connect(stream) as client:
        await trio.sleep(10)
        stream.nursery.start_soon(send_later, stream, 5, "a")
        assert [event.data async for event in client.events()] == ["a"]
    assert stream.outcome == "completed"


async def test_and_one_that_a_task_of_its_own_starts(autojump_clock: Clock) -> None:
    async def grow(stream: Stream, left: int) -> None:
        await trio.sleep(1)
        await stream.send(left)
        if left:
            stream.start_soon(grow, stream, left - 1)

    stream = Stream()
    stream.start_soon(grow, stream, 3)
    assert await data_of(stream) == ["3", "2", "1", "0"]


async def test_start_waits_until_the_task_is_ready(autojump_clock: Clock) -> None:
    async def serve(task_status: trio.TaskStatus[str]) -> None:
        await trio.sleep(5)
        task_status.started("ready")
        await trio.sleep_forever()

    async def callback(stream: Stream) -> None:
        await stream.send(await stream.start(serve))
        stream.close()

    assert await data_of(Stream(callback)) == ["ready"]


async def test_start_passes_arguments_and_name() -> None:
    async def task(value: int, *, task_status: trio.TaskStatus[tuple[int, str]]) -> None:
        task_status.started((value, trio.lowlevel.current_task().name))

    async def callback(stream: Stream) -> None:
        assert await stream.start(task, 7, name="seven") == (7, "seven")

    await data_of(Stream(callback))


async def test_start_soon_passes_arguments_and_name(autojump_clock: Clock) -> None:
    names = []

    async def task(value: int) -> None:
        names.append((value, trio.lowlevel.current_task().name))

    stream = Stream()
    stream.start_soon(task, 1, name="before")
    stream.start_soon(task, 2, name="before too")
    await data_of(stream)
    assert sorted(names) == [(1, "before"), (2, "before too")]


async def test_a_task_ends_with_the_stream_always(no_task_left: NothingLeft) -> None:
    ended = []

    async def task() -> None:
        try:
            await trio.sleep_forever()
        finally:
            ended.append(stream.outcome)

    stream = Stream()
    for _ in range(3):
        stream.start_soon(task)
    async with connect(stream):
        await trio.testing.wait_all_tasks_blocked()
    assert ended == ["disconnected"] * 3
    await no_task_left()


async def test_a_task_that_outlives_the_callback_keeps_the_stream_open(
    autojump_clock: Clock,
) -> None:
    async def callback(stream: Stream) -> None:
        stream.start_soon(send_later, stream, 100, "late")

    began = trio.current_time()
    assert await data_of(Stream(callback)) == ["late"]
    assert trio.current_time() - began == pytest.approx(100)


async def test_a_task_that_does_not_let_itself_be_cancelled_is_named_in_the_log(
    autojump_clock: Clock, caplog: pytest.LogCaptureFixture, no_task_left: NothingLeft
) -> None:
    async def stubborn() -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep(30)

    stream = Stream()
    stream.start_soon(stubborn, name="the stubborn task")
    async with connect(stream, exit_timeout=100):
        await trio.testing.wait_all_tasks_blocked()
        # Others are not held up.
        began = trio.current_time()
    assert trio.current_time() - began == pytest.approx(30)
    [message] = [record.getMessage() for record in caplog.records]
    assert message.startswith("a stream that ended (disconnected) 6 s ago is still held open")
    assert "the stubborn task" in message
    await no_task_left()


async def test_what_had_no_turn_as_the_process_was_stopped_is_not_named(
    autojump_clock: Clock, caplog: pytest.LogCaptureFixture, no_task_left: NothingLeft
) -> None:
    async def takes_its_turns() -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                for _ in range(20):
                    await trio.lowlevel.checkpoint()

    stream = Stream()
    stream.start_soon(takes_its_turns)
    async with connect(stream) as client:
        await trio.testing.wait_all_tasks_blocked()
        stream.close()
        autojump_clock.jump(1000)
        assert await client.read() == PRIMER
    assert caplog.records == []
    await no_task_left()


async def test_other_streams_go_on_meanwhile(autojump_clock: Clock) -> None:
    async def stubborn() -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep(30)

    stuck = Stream()
    stuck.start_soon(stubborn)
    async with connect(stuck) as client:
        await trio.testing.wait_all_tasks_blocked()
        client.disconnect()
        began = trio.current_time()
        assert await data_of(Stream(["a"])) == ["a"]
        assert trio.current_time() - began < 1


async def test_a_slow_client_of_an_ended_stream_is_not_a_stubborn_task(
    autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    async with connect(Stream(["x" * 100])) as client:
        client.drip(10, seconds=1)
        await client.read()
    assert caplog.records == []


async def test_a_task_cannot_be_started_after_the_end() -> None:
    stream = Stream(["a"])
    async with connect(stream) as client:
        await client.read()
    with pytest.raises(trio.ClosedResourceError):
        stream.start_soon(trio.sleep, 1)
    gone = Stream()
    async with connect(gone):
        pass
    with pytest.raises(trio.BrokenResourceError):
        gone.start_soon(trio.sleep, 1)


async def test_nothing_is_waited_for_either_once_it_has_ended() -> None:
    async def ready(task_status: trio.TaskStatus[None]) -> None:
        task_status.started()

    stream = Stream()
    async with stream:
        stream.close()
    with pytest.raises(trio.ClosedResourceError, match="has ended"):
        await stream.start(ready)

    left = Stream()
    async with connect(left) as client:
        client.disconnect()
        await trio.testing.wait_all_tasks_blocked()
    with pytest.raises(trio.BrokenResourceError):
        await left.start(ready)


async def test_what_is_no_function_is_not_started() -> None:
    stream = Stream()
    with pytest.raises(TypeError, match="async_fn must be a callable"):
        await stream.start(5)  # type: ignore[arg-type]
