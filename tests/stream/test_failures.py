"""A producer that raises: what the client can tell, what the log says, what comes out."""

import logging
from typing import Any

import pytest
import trio
import trio.testing

from tests.stream.helpers import PRIMER
from tests.support.tasks import NothingLeft
from trio_stream import ServerSentEvent, Stream
from trio_stream.testing import connect
from trio_stream.transport.asgi import Message, Receive, Scope, Send

Clock = trio.testing.MockClock


class SecretError(Exception):
    pass


async def fails(stream: Stream) -> None:
    await stream.send("one")
    await trio.sleep(0)
    await trio.testing.wait_all_tasks_blocked()
    raise SecretError("the password is hunter2")


async def test_what_was_queued_goes_out_then_the_end_is_broken(no_task_left: NothingLeft) -> None:
    stream = Stream(fails)
    async with connect(stream, raise_app_exceptions=False) as client:
        assert await client.read() == PRIMER + b"data: one\n\n"
        assert client.ended == "broken"
    assert stream.outcome == "failed"
    await no_task_left()


async def test_its_own_exception_reaches_the_server_unwrapped() -> None:
    with pytest.raises(SecretError, match="hunter2"):
        async with connect(Stream(fails)) as client:
            await client.read()


async def test_http_2_can_only_end_properly_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        async with connect(Stream(fails), http_version="2", raise_app_exceptions=False) as client:
            await client.read()
            assert client.ended == "complete"
    [record] = caplog.records  # once
    assert record.getMessage().startswith(
        "HTTP/2: a stream that broke off looks as if it were complete."
    )


async def test_http_1_0_has_no_other_end_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        async with connect(Stream(fails), http_version="1.0", raise_app_exceptions=False) as client:
            await client.read()
    [record] = caplog.records
    assert "nginx: proxy_http_version 1.1" in record.getMessage()


async def test_the_exceptions_text_is_never_sent_unasked() -> None:
    async with connect(Stream(fails), raise_app_exceptions=False) as client:
        assert b"hunter2" not in await client.read()


async def test_an_error_event_is_the_last_thing_sent() -> None:
    told = ServerSentEvent("sorry", event="failed")
    stream = Stream(fails, error_event=told, event="token", ids=iter("ab").__next__)
    async with connect(stream, raise_app_exceptions=False) as client:
        events = [event async for event in client.events()]
        assert client.ended == "broken"
    assert [(event.event, event.data, event.id) for event in events] == [
        ("token", "one", "a"),
        ("failed", "sorry", "b"),
    ]


async def test_an_error_event_may_be_made_of_the_exception() -> None:
    def tell(error: BaseException) -> ServerSentEvent:
        return ServerSentEvent({"kind": type(error).__name__}, event="failed")

    async with connect(Stream(fails, error_event=tell), raise_app_exceptions=False) as client:
        assert [event.data async for event in client.events()] == ["one", '{"kind":"SecretError"}']


async def test_none_means_no_error_event() -> None:
    stream = Stream(fails, error_event=lambda error: None)
    async with connect(stream, raise_app_exceptions=False) as client:
        assert [event.data async for event in client.events()] == ["one"]


async def test_an_error_event_that_raises_is_logged_and_the_failure_stays(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def tell(error: BaseException) -> ServerSentEvent:
        raise ZeroDivisionError("in error_event")

    with pytest.raises(SecretError):
        async with connect(Stream(fails, error_event=tell)) as client:
            assert [event.data async for event in client.events()] == ["one"]
    assert "error_event= failed, so the client is told nothing" in caplog.text
    assert "ZeroDivisionError: in error_event" in caplog.text


@pytest.mark.parametrize("bad", [ServerSentEvent(object()), "not an event"])
async def test_an_error_event_that_cannot_be_sent_is_logged_and_the_failure_stays(
    bad: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(SecretError):
        async with connect(Stream(fails, error_event=lambda error: bad)) as client:
            assert [event.data async for event in client.events()] == ["one"]
    assert "so the client is told nothing" in caplog.text


async def test_a_task_that_fails_fails_the_stream() -> None:
    async def task() -> None:
        raise SecretError("in a task")

    async def callback(stream: Stream) -> None:
        await stream.send("one")
        stream.start_soon(task)
        await trio.sleep_forever()

    stream = Stream(callback)
    with pytest.raises(SecretError, match="in a task"):
        async with connect(stream) as client:
            assert [event.data async for event in client.events()] == ["one"]
    assert stream.outcome == "failed"


async def test_a_group_that_the_user_raised_stays_a_group() -> None:
    async def callback(stream: Stream) -> None:
        await stream.send("one")
        raise ExceptionGroup("mine", [SecretError("a")])

    with pytest.raises(ExceptionGroup, match="mine") as caught:
        async with connect(Stream(callback)) as client:
            await client.read()
    assert [type(error) for error in caught.value.exceptions] == [SecretError]


async def test_several_failures_stay_a_group() -> None:
    async def task() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise SecretError("second")

    async def callback(stream: Stream) -> None:
        stream.start_soon(task)
        await trio.testing.wait_all_tasks_blocked()
        raise SecretError("first")

    with pytest.raises(ExceptionGroup) as caught:
        async with connect(Stream(callback)) as client:
            await client.read()
    assert sorted(str(error) for error in caught.value.exceptions) == ["first", "second"]


async def test_the_streams_own_end_escaping_a_task_is_no_failure(
    autojump_clock: Clock, no_task_left: NothingLeft, caplog: pytest.LogCaptureFixture
) -> None:
    async def stubborn(stream: Stream) -> None:
        with trio.CancelScope(shield=True):
            while True:
                await stream.send("x")
                await trio.sleep(1)

    async def callback(stream: Stream) -> None:
        stream.start_soon(stubborn, stream)
        await trio.sleep(2.5)
        stream.close()

    stream = Stream(callback)
    async with connect(stream) as client:
        await client.read()
        assert client.ended == "complete"
    assert stream.outcome == "closed"
    assert caplog.records == []
    await no_task_left()


async def test_also_when_the_client_left() -> None:
    async def stubborn(stream: Stream) -> None:
        with trio.CancelScope(shield=True):
            while True:
                await stream.send("x" * 10_000)

    stream = Stream(stubborn)
    async with connect(stream) as client:
        await client.receive_event()
    assert stream.outcome == "disconnected"


async def test_another_streams_end_is_a_failure() -> None:
    other = Stream()
    other.close()

    async def callback(stream: Stream) -> None:
        await stream.send("one")
        await other.send("two")

    with pytest.raises(trio.ClosedResourceError):
        async with connect(Stream(callback)) as client:
            await client.read()


async def test_before_the_first_byte_it_is_a_500(caplog: pytest.LogCaptureFixture) -> None:
    async def find() -> list[str]:
        await trio.sleep(0)
        raise SecretError("the password is hunter2")

    stream = Stream(find())
    async with connect(stream, raise_app_exceptions=False) as client:
        assert client.status == 500
        assert client.headers["content-type"] == "text/plain; charset=utf-8"
        assert client.headers["cache-control"] == "no-store"
        assert await client.read() == b"500 Internal Server Error\n"
        assert client.ended == "complete"
    assert stream.outcome == "failed"
    assert caplog.records == []  # the server's own log has it


async def test_and_reaches_the_server_all_the_same() -> None:
    async def find() -> list[str]:
        raise SecretError("at once")

    with pytest.raises(SecretError, match="at once"):
        async with connect(Stream(find())) as client:
            await client.read()


async def test_a_callback_that_fails_at_once_is_a_500() -> None:
    async def callback(stream: Stream) -> None:
        raise SecretError("at once")

    async with connect(Stream(callback), raise_app_exceptions=False) as client:
        assert client.status == 500


async def test_a_failure_while_being_cancelled_is_raised() -> None:
    async def callback(stream: Stream) -> None:
        try:
            await stream.send("one")
            await trio.sleep_forever()
        finally:
            raise SecretError("in finally")

    stream = Stream(callback)
    with pytest.raises(SecretError, match="in finally"):
        async with connect(stream) as client:
            await client.receive_event()
    assert stream.outcome == "disconnected"


async def test_a_keyboard_interrupt_is_not_kept() -> None:
    async def callback(stream: Stream) -> None:
        await stream.send("one")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        async with connect(Stream(callback), raise_app_exceptions=False) as client:
            await client.read()


@pytest.mark.parametrize("fault", [KeyError("a middleware's"), RuntimeError("out of order")])
async def test_a_send_that_raises_ends_the_stream_and_reaches_the_server(
    fault: Exception, no_task_left: NothingLeft, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "trio_stream")
    closed = []

    async def callback(stream: Stream) -> None:
        try:
            await stream.send("one")
            await trio.sleep_forever()
        finally:
            closed.append(stream.outcome)

    stream = Stream(callback)

    async def broken_middleware(scope: Scope, receive: Receive, send: Send) -> None:
        async def failing_send(message: Message) -> None:
            if message["type"] == "http.response.body":
                raise fault
            await send(message)

        await stream(scope, receive, failing_send)

    with pytest.raises(type(fault)) as caught:
        async with connect(broken_middleware) as client:
            await client.read()
    assert caught.value is fault
    assert stream.outcome == "failed"
    assert closed == ["failed"]
    await no_task_left()


async def test_a_receive_that_fails_fails_the_stream(no_task_left: NothingLeft) -> None:
    """The server's, or a middleware's: without it nobody would hear of the client's leaving."""
    sent = []

    async def receive() -> Message:
        await trio.testing.wait_all_tasks_blocked()
        raise KeyError("in receive")

    async def send(message: Message) -> None:
        sent.append(message)

    async def forever(stream: Stream) -> None:
        await stream.send("one")
        await trio.sleep_forever()

    stream = Stream(forever)
    scope = {"type": "http", "method": "GET", "headers": [], "http_version": "1.1"}
    with pytest.raises(KeyError, match="in receive"):
        await stream(scope, receive, send)
    assert stream.outcome == "failed"
    assert sent[-1]["body"] == PRIMER + b"data: one\n\n"
    assert sent[-1]["more_body"] is True  # broken off, so that the client can tell
    await no_task_left()
