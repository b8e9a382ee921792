"""Which cause counts when there are several, and when `outcome` can be read."""

import pytest
import trio
import trio.testing

from tests.stream.helpers import Generator, until_ended
from tests.support.tasks import NothingLeft
from trio_stream import Stream
from trio_stream.testing import connect

Clock = trio.testing.MockClock


async def test_the_first_cause_wins() -> None:
    async def close_then_fail(stream: Stream) -> None:
        stream.close()
        raise KeyError("too late to matter")

    stream = Stream(close_then_fail)
    async with connect(stream, raise_app_exceptions=False) as client:
        await client.read()
        assert client.ended == "complete"
    assert stream.outcome == "closed"


async def test_a_failure_after_another_end_is_raised_all_the_same() -> None:
    async def close_then_fail(stream: Stream) -> None:
        stream.close()
        raise KeyError("for the log")

    with pytest.raises(KeyError, match="for the log"):
        async with connect(Stream(close_then_fail)) as client:
            await client.read()


async def test_a_disconnect_replaces_an_end_whose_bytes_did_not_get_out() -> None:
    async def send_and_close(stream: Stream) -> None:
        await go.wait()
        await stream.send("x" * 100_000)
        stream.close()

    go = trio.Event()
    stream = Stream(send_and_close, hold_headers=False)
    async with connect(stream) as client:
        client.stall()
        go.set()
        await trio.testing.wait_all_tasks_blocked()
        assert stream.outcome == "closed"
        client.disconnect()
        await trio.testing.wait_all_tasks_blocked()
        assert stream.outcome == "disconnected"


async def test_a_stall_replaces_an_end_whose_bytes_did_not_get_out(
    autojump_clock: Clock, no_task_left: NothingLeft
) -> None:
    async def send_and_end(stream: Stream) -> None:
        await go.wait()
        await stream.send("x")

    go = trio.Event()
    stream = Stream(send_and_end, stall_timeout=60)
    async with connect(stream) as client:
        client.stall()
        go.set()
        await trio.testing.wait_all_tasks_blocked()
        assert stream.outcome == "completed"
        await trio.sleep(61)
        assert stream.outcome == "stalled"
    await no_task_left()


async def test_a_disconnect_after_the_last_byte_changes_nothing() -> None:
    stream = Stream(["a"])
    async with connect(stream) as client:
        await client.read()
        client.disconnect()
        await trio.testing.wait_all_tasks_blocked()
    assert stream.outcome == "completed"


async def test_the_end_of_the_response_is_no_disconnect_for_a_slow_task(
    autojump_clock: Clock,
) -> None:
    """A server says `http.disconnect` after the last message too."""
    seen = []

    async def close_and_tidy(stream: Stream) -> None:
        stream.close()
        with trio.CancelScope(shield=True):
            await trio.sleep(2)
        seen.append(stream.outcome)

    stream = Stream(close_and_tidy)
    async with connect(stream) as client:
        await client.read()
        assert client.ended == "complete"
        await trio.sleep(3)
    assert seen == ["closed"]
    assert stream.outcome == "closed"


async def test_while_it_runs_there_is_no_outcome() -> None:
    seen = []

    async def callback(stream: Stream) -> None:
        seen.append(stream.outcome)

    stream = Stream(callback)
    assert stream.outcome is None
    async with connect(stream) as client:
        await client.read()
    assert seen == [None]


@pytest.mark.parametrize("cause", ["disconnected", "closed", "expired", "stalled", "shutdown"])
async def test_a_finally_can_read_the_outcome(autojump_clock: Clock, cause: str) -> None:
    seen = []

    async def callback(stream: Stream) -> None:
        try:
            while True:
                await stream.send("x" * 10_000)
        finally:
            seen.append(stream.outcome)

    stream = Stream(callback, max_duration=60 if cause == "expired" else None, stall_timeout=120)
    async with connect(stream) as client:
        client.stall()
        await trio.sleep(0.1)
        if cause == "disconnected":
            client.disconnect()
        elif cause == "closed":
            stream.close()
        elif cause == "shutdown":
            client.cancel_app()
        await until_ended(stream)
        await trio.testing.wait_all_tasks_blocked()
        assert seen == [cause]


async def test_a_stalled_client_that_leaves_has_disconnected(autojump_clock: Clock) -> None:
    producer = Generator()
    stream = Stream(producer(), stall_timeout=60)
    async with connect(stream) as client:
        client.stall()
        await trio.sleep(50)
        client.disconnect()
        await trio.sleep(2)
        assert stream.outcome == "disconnected"
        assert producer.closed


async def test_one_that_has_stalled_may_leave_as_it_likes(autojump_clock: Clock) -> None:
    """Cutting a stalled client off is reported as a disconnect, by servers that can."""

    async def slow_to_end(stream: Stream) -> None:
        try:
            while True:
                await stream.send("x" * 10_000)
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(3)

    stream = Stream(slow_to_end, stall_timeout=60)
    async with connect(stream) as client:
        client.stall()
        await until_ended(stream)
        client.disconnect()
        await trio.sleep(10)
    assert stream.outcome == "stalled"


async def test_one_that_vanished_is_found_by_the_second_ping(autojump_clock: Clock) -> None:
    producer = Generator(1, pause=float("inf"))
    stream = Stream(producer(), ping=10)
    async with connect(stream) as client:
        await client.receive_event()
        client.vanish()
        await trio.sleep(25)
        assert stream.outcome == "disconnected"
        assert producer.closed_in is producer.task


async def test_a_server_that_says_so_ends_the_stream() -> None:
    """ASGI 2.4 servers raise OSError from `send` after a disconnect."""

    async def receive() -> dict[str, object]:
        await trio.sleep_forever()
        raise AssertionError

    async def send(message: object) -> None:
        raise BrokenPipeError

    stream = Stream(Generator()())
    scope = {"type": "http", "method": "GET", "headers": [], "http_version": "1.1"}
    await stream(scope, receive, send)
    await trio.testing.wait_all_tasks_blocked()  # the registry's task ends with its last stream
    assert stream.outcome == "disconnected"
