"""`send` and `send_nowait`: checkpoints, cancellation, and what comes after the end."""

from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing

from tests.stream.helpers import data_of
from tests.support.tasks import NothingLeft
from trio_stream import Stream
from trio_stream.testing import connect
from trio_stream.testing.client import Client

Clock = trio.testing.MockClock


async def fill(stream: Stream, client: Client) -> None:
    """Make the next event wait: the writer is busy, and the buffer (of one) is full."""
    await trio.testing.wait_all_tasks_blocked()
    client.stall()
    await stream.send("being written")
    await trio.testing.wait_all_tasks_blocked()
    await stream.send("queued")


async def test_events_come_in_the_order_of_sending() -> None:
    async def callback(stream: Stream) -> None:
        for number in range(1000):
            await stream.send(number)

    assert await data_of(Stream(callback)) == [str(number) for number in range(1000)]


async def test_send_nowait_and_send_share_one_queue() -> None:
    async def callback(stream: Stream) -> None:
        for number in range(0, 100, 2):
            stream.send_nowait(number)
            await stream.send(number + 1)

    assert await data_of(Stream(callback)) == [str(number) for number in range(100)]


async def test_an_event_is_on_its_way_before_the_next_is_made(autojump_clock: Clock) -> None:
    async def callback(stream: Stream) -> None:
        for number in range(3):
            await stream.send(number)
            await stream.wait(100)

    began = trio.current_time()
    async with connect(Stream(callback, ping=None)) as client:
        times = [round(trio.current_time() - began) async for _ in client.events()]
    assert times == [0, 100, 200]


async def test_wait_is_in_seconds(autojump_clock: Clock) -> None:
    began = trio.current_time()
    await Stream().wait(7)
    assert trio.current_time() - began == pytest.approx(7)


async def test_send_is_a_checkpoint() -> None:
    stream = Stream()
    with trio.testing.assert_checkpoints():
        await stream.send("a")


async def test_send_nowait_is_none() -> None:
    stream = Stream()
    with trio.testing.assert_no_checkpoints():
        stream.send_nowait("a")


async def test_cancelled_before_it_is_not_accepted() -> None:
    stream = Stream()
    with trio.CancelScope() as scope:
        scope.cancel()
        await stream.send("a")
    assert scope.cancelled_caught
    assert stream.statistics().events == 0


async def test_cancelled_at_any_time_it_was_accepted_or_raised() -> None:
    """The checkpoint after an event has been taken is shielded."""
    seen = set()
    for _ in range(50):
        stream = Stream()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.send, "a")
            nursery.start_soon(trio.lowlevel.checkpoint)
            await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        seen.add(stream.statistics().events)
    assert seen <= {0, 1}


async def test_a_send_that_returned_was_accepted_though_cancelled_meanwhile() -> None:
    stream = Stream()
    returned = False

    async def send(scope: trio.CancelScope) -> None:
        nonlocal returned
        with scope:
            await stream.send("a")
            returned = True

    for _ in range(50):
        stream, returned, scope = Stream(), False, trio.CancelScope()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send, scope)
            await trio.lowlevel.checkpoint()
            scope.cancel()
        assert returned is bool(stream.statistics().events)


async def test_cancelled_while_waiting_it_is_not_accepted(autojump_clock: Clock) -> None:
    stream = Stream(buffer=1)
    async with connect(stream) as client:
        await fill(stream, client)
        with trio.move_on_after(1) as scope:
            await stream.send("never accepted")
        assert scope.cancelled_caught
        assert stream.statistics().events == 2
        client.resume()
        await stream.send("last")
        stream.close()
        assert [e.data async for e in client.events()] == ["being written", "queued", "last"]


async def test_those_behind_a_cancelled_sender_move_up(autojump_clock: Clock) -> None:
    stream = Stream(buffer=10, buffer_bytes=100)
    async with connect(stream) as client, trio.open_nursery() as nursery:
        await trio.testing.wait_all_tasks_blocked()
        client.stall()
        await stream.send("x")
        await trio.testing.wait_all_tasks_blocked()
        await stream.send("x" * 50)
        with trio.move_on_after(1):
            nursery.start_soon(stream.send, "small")
            await stream.send("x" * 80)
        await trio.testing.wait_all_tasks_blocked()
        assert stream.statistics().queued == 2
        nursery.cancel_scope.cancel()


async def test_a_waiting_send_in_any_task_is_woken_by_close(no_task_left: NothingLeft) -> None:
    stream = Stream(buffer=1)
    raised = []

    async def sender() -> None:
        with pytest.raises(trio.ClosedResourceError) as caught:
            await stream.send("waits")
        raised.append(caught.value)

    async with connect(stream) as client:
        await fill(stream, client)
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(sender)
            await trio.testing.wait_all_tasks_blocked()
            assert raised == []
            stream.close()
    assert len({id(error) for error in raised}) == 3  # each its own, so that tracebacks stay apart
    await no_task_left()


async def test_and_by_the_clients_leaving(no_task_left: NothingLeft) -> None:
    stream = Stream(buffer=1)
    ends = []

    async def sender() -> None:
        try:
            await stream.send("waits")
            ends.append("accepted")
        except trio.BrokenResourceError:
            ends.append("broken")

    async with connect(stream) as client:
        await fill(stream, client)
        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(sender)
            await trio.testing.wait_all_tasks_blocked()
            client.disconnect()
    # A server's `send` returns silently when the client has gone, so one more may be let in.
    assert len(ends) == 10
    assert ends.count("broken") >= 9
    await no_task_left()


async def test_a_waiting_send_is_woken_by_a_stall(autojump_clock: Clock) -> None:
    stream = Stream(buffer=1, stall_timeout=60)
    async with connect(stream) as client:
        await fill(stream, client)
        with pytest.raises(trio.BrokenResourceError, match=r"the client is gone \(stalled\)"):
            await stream.send("waits")
        assert stream.statistics().queued == 0  # nobody will take it, so it needs no memory


async def send(stream: Stream) -> None:
    await stream.send("x")


async def send_nowait(stream: Stream) -> None:
    stream.send_nowait("x")


either = pytest.mark.parametrize("send", [send, send_nowait])


@either
async def test_after_the_client_has_left_it_is_broken(
    send: Callable[[Stream], Awaitable[None]],
) -> None:
    stream = Stream()
    async with connect(stream):
        pass
    with pytest.raises(trio.BrokenResourceError, match=r"the client is gone \(disconnected\)"):
        await send(stream)


@either
async def test_after_any_other_end_it_is_closed(send: Callable[[Stream], Awaitable[None]]) -> None:
    stream = Stream(["a"])
    async with connect(stream) as client:
        await client.read()
    with pytest.raises(trio.ClosedResourceError, match=r"the stream has ended \(completed\)"):
        await send(stream)


async def test_after_close_before_being_served_it_is_closed() -> None:
    stream = Stream()
    stream.close()
    with pytest.raises(trio.ClosedResourceError):
        await stream.send("x")


async def test_an_event_that_cannot_be_sent_leaves_the_stream_as_it_was() -> None:
    async def callback(stream: Stream) -> None:
        with pytest.raises(TypeError):
            await stream.send(object())
        with pytest.raises(ValueError, match="an event name cannot hold"):
            await stream.send("x", event="a\nb")
        await stream.send("fine")

    assert await data_of(Stream(callback)) == ["fine"]
