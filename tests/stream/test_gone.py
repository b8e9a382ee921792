"""Who says that a client has left, and who only seems to: errors of `send`, HEADs, refusals."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
import trio.testing

from tests.support.tasks import NothingLeft
from trio_stream import Stream, StreamLimits
from trio_stream.transport.asgi import Message, Receive, Send

Clock = trio.testing.MockClock


def scope_of(spec_version: str | None = "2.1", method: str = "GET") -> dict[str, Any]:
    scope: dict[str, Any] = {"type": "http", "method": method, "http_version": "1.1"}
    scope |= {"path": "/", "query_string": b"", "headers": [], "client": ("127.0.0.1", 1)}
    if spec_version is not None:
        scope["asgi"] = {"version": "3.0", "spec_version": spec_version}
    return scope


async def silent() -> Message:
    await trio.sleep_forever()
    raise AssertionError


def leaving(seconds: float) -> Receive:
    async def receive() -> Message:
        await trio.sleep(seconds)
        return {"type": "http.disconnect"}

    return receive


def failing(error: BaseException, at: str = "http.response.start") -> Send:
    async def send(message: Message) -> None:
        await trio.lowlevel.checkpoint()
        if message["type"] == at:
            raise error

    return send


async def settled() -> None:
    """The registry's task ends with its last stream."""
    await trio.testing.wait_all_tasks_blocked()


async def words(stream: Stream) -> None:
    await stream.send("one")
    await trio.sleep_forever()


OTHERS = [
    ConnectionRefusedError(111, "the session store is down"),
    BrokenPipeError(32, "the session store has gone"),
    FileNotFoundError(2, "no such template"),
    trio.BrokenResourceError("a middleware's channel"),
    trio.ClosedResourceError("a middleware's channel"),
]


@pytest.mark.parametrize("at", ["http.response.start", "http.response.body"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("error", OTHERS, ids=lambda error: type(error).__name__)
async def test_where_the_server_does_not_raise_an_error_is_a_middlewares(
    error: Exception, method: str, at: str, autojump_clock: Clock, no_task_left: NothingLeft
) -> None:
    """Hypercorn's own `send` says nothing after the client has left."""
    stream = Stream(words)
    with pytest.raises(type(error)) as caught:
        await stream(scope_of(method=method), silent, failing(error, at))
    assert caught.value is error
    if method == "GET":
        assert stream.outcome == "failed"
    await settled()
    await no_task_left()


@pytest.mark.parametrize("spec_version", ["2.4", "3.0", None])
@pytest.mark.parametrize("error", OTHERS, ids=lambda error: type(error).__name__)
async def test_what_receive_says_decides_where_the_server_may_raise(
    error: Exception, spec_version: str | None, autojump_clock: Clock
) -> None:
    """ASGI 2.4: "send() should raise OSError" after the client has left."""
    stream = Stream(words)
    await stream(scope_of(spec_version), leaving(0.5), failing(error))
    assert stream.outcome == "disconnected"
    await settled()


class ClientDisconnectedError(OSError):
    """As a server may have one of its own."""


@pytest.mark.parametrize(
    "error",
    [BrokenPipeError(32, "x"), ConnectionResetError(104, "x"), ClientDisconnectedError()],
    ids=lambda error: type(error).__name__,
)
async def test_an_error_that_is_a_servers_word_by_itself_is_believed_and_logged(
    error: Exception, autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    stream = Stream(words)
    await stream(scope_of("2.4"), silent, failing(error))
    assert stream.outcome == "disconnected"
    [record] = caplog.records
    expected = f"{type(error).__name__} of send() taken for the client's leaving"
    assert (record.levelno, record.getMessage()) == (logging.WARNING, expected)
    await settled()


async def test_another_error_is_not_believed_there_either(autojump_clock: Clock) -> None:
    stream = Stream(words)
    with pytest.raises(ConnectionRefusedError):
        await stream(scope_of("2.4"), silent, failing(OTHERS[0]))
    assert stream.outcome == "failed"
    await settled()


async def test_a_failure_that_cannot_be_told_is_raised_and_the_other_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail(stream: Stream) -> None:
        raise ZeroDivisionError("the producer's own")

    with pytest.raises(ZeroDivisionError):
        await Stream(fail)(scope_of(), silent, failing(OTHERS[0]))
    assert "the client of a failed stream could not be told" in caplog.text
    assert "ConnectionRefusedError" in caplog.text
    await settled()


Answer = Callable[[Receive, Send], Awaitable[Stream]]


async def answer_head(receive: Receive, send: Send) -> Stream:
    stream = Stream(["a"])
    await stream(scope_of(method="HEAD"), receive, send)
    return stream


async def refuse(receive: Receive, send: Send) -> Stream:
    limits = StreamLimits(total=1)
    stream = Stream(["a"], limits=limits)
    assert limits.admit(scope_of()) is not None
    await stream(scope_of(), receive, send)
    return stream


@pytest.mark.parametrize("answer", [answer_head, refuse])
async def test_who_leaves_before_an_answer_has_left_and_nothing_is_raised(
    answer: Answer, autojump_clock: Clock, no_task_left: NothingLeft
) -> None:
    async def stuck(message: Message) -> None:
        await trio.sleep_forever()

    stream = await answer(leaving(1), stuck)
    assert stream.outcome == "disconnected"
    await settled()
    await no_task_left()


@pytest.mark.parametrize("answer", [answer_head, refuse])
@pytest.mark.parametrize("where", ["send", "receive"])
async def test_an_answer_that_fails_fails_with_that_and_no_group(
    answer: Answer, where: str, no_task_left: NothingLeft
) -> None:
    error = KeyError("a middleware's")

    async def receive() -> Message:
        raise error

    async def stuck(message: Message) -> None:
        await trio.sleep_forever()

    ways = {"send": (silent, failing(error)), "receive": (receive, stuck)}
    with pytest.raises(KeyError) as caught:
        await answer(*ways[where])
    assert caught.value is error
    await settled()
    await no_task_left()


@pytest.mark.parametrize("answer", [answer_head, refuse])
async def test_an_answer_that_is_cancelled_is_cancelled(
    answer: Answer, autojump_clock: Clock, no_task_left: NothingLeft
) -> None:
    async def stuck(message: Message) -> None:
        await trio.sleep_forever()

    with trio.move_on_after(1) as scope:
        await answer(silent, stuck)
    assert scope.cancelled_caught
    await settled()
    await no_task_left()
