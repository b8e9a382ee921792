"""Whatever ends a stream, nobody goes on waiting for it, and nothing of it is lost or left."""

import contextvars
import dataclasses
import itertools
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import trio
import trio.testing

from tests.stream.helpers import PRIMER, body_of
from tests.support.raw import send_request
from tests.support.tasks import NothingLeft
from trio_stream import (
    ServerSentEvent,
    Stream,
    StreamLimits,
    open_streams,
    outcome_counts,
    serve,
)
from trio_stream.testing import connect
from trio_stream.transport.asgi import Message, Receive, Scope, Send

Clock = trio.testing.MockClock

ERROR_EVENT = ServerSentEvent("sorry", event="error")


def scope_of(**given: Any) -> dict[str, Any]:
    scope = {"type": "http", "method": "GET", "http_version": "1.1", "path": "/", "headers": []}
    return {**scope, "query_string": b"", "client": ("127.0.0.1", 1), **given}


async def silent() -> Message:
    await trio.sleep_forever()
    raise AssertionError


async def deaf(message: Message) -> None:
    await trio.lowlevel.checkpoint()


def full() -> StreamLimits:
    """Limits that admit nobody more."""
    limits = StreamLimits(total=1)
    limits.admit(scope_of())
    return limits


def no_key(scope: Scope) -> str:
    raise LookupError("no user")


# Answered without a stream.

ANSWERS: dict[str, tuple[dict[str, Any], dict[str, Any], type[Exception] | None, str]] = {
    "a HEAD": ({"method": "HEAD"}, {}, None, "answered"),
    "a refusal": ({}, {"limits": full()}, None, "refused"),
    "a key that raises": ({}, {"limits": StreamLimits(key=no_key)}, LookupError, "failed"),
    "another scope": ({"type": "websocket"}, {}, RuntimeError, "failed"),
}

every_answer = pytest.mark.parametrize("how", ANSWERS)


class Resource:
    """A source, or what a task holds, that notes whether it was closed, and that it never ran."""

    def __init__(self) -> None:
        self.ran = False
        self.closed = 0

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        self.ran = True
        raise StopAsyncIteration

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()
        self.closed += 1


async def answer(stream: Stream, how: str, send: Send = deaf) -> None:
    """Serve a stream in this way; what its call raises must be what is expected."""
    changes, _, error, _ = ANSWERS[how]
    if error is None:
        await stream(scope_of(**changes), silent, send)
    else:
        with pytest.raises(error):
            await stream(scope_of(**changes), silent, send)


@every_answer
async def test_what_is_answered_is_over(how: str, no_task_left: NothingLeft) -> None:
    _, options, _, outcome = ANSWERS[how]
    source, told = Resource(), []

    def tell(stream: Stream) -> None:
        told.append((stream.outcome, source.closed))

    counted = outcome_counts().get(outcome, 0)  # type: ignore[call-overload]
    stream = Stream(source, on_end=tell, **options)
    await answer(stream, how)
    assert stream.outcome == outcome
    assert (source.ran, source.closed) == (False, 1)
    assert told == [(outcome, 1)]
    assert outcome_counts()[stream.outcome] == counted + 1
    assert open_streams() == ()
    assert stream.statistics().outcome == outcome
    with pytest.raises(trio.ClosedResourceError, match=outcome):
        await stream.send("late")
    with pytest.raises(trio.ClosedResourceError, match=outcome):
        stream.start_soon(trio.sleep, 0)
    with pytest.raises(RuntimeError, match="once"):
        await stream(scope_of(), silent, deaf)
    assert len(told) == 1
    await no_task_left()


@every_answer
async def test_what_its_queued_tasks_hold_is_closed(how: str, no_task_left: NothingLeft) -> None:
    held = [Resource(), Resource()]
    steps = []

    async def use(resource: Resource) -> None:
        steps.append("begun")
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await resource.aclose()

    stream = Stream(**ANSWERS[how][1])
    for resource in held:
        stream.start_soon(use, resource)
    await answer(stream, how)
    assert [resource.closed for resource in held] == [1, 1]
    await no_task_left()


@every_answer
async def test_a_task_that_fails_then_is_raised_as_it_is(how: str) -> None:
    changes, options, *_ = ANSWERS[how]

    async def fail() -> None:
        raise KeyError("mine")

    stream = Stream(**options)
    stream.start_soon(fail)
    with pytest.raises(KeyError, match="mine"):
        await stream(scope_of(**changes), silent, deaf)


@pytest.mark.parametrize("how", ["a HEAD", "a refusal"])
async def test_who_sends_meanwhile_is_told_at_once(how: str, no_task_left: NothingLeft) -> None:
    """Also while the answer still waits for its client."""
    answering, go_on = trio.Event(), trio.Event()
    told = []

    async def slow(message: Message) -> None:
        answering.set()
        await go_on.wait()

    async def hold(stream: Stream) -> None:
        await answering.wait()
        try:
            for n in itertools.count():
                await stream.send(n)
        except trio.ClosedResourceError:
            told.append("closed")

    stream = Stream(buffer=1, **ANSWERS[how][1])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hold, stream)
        nursery.start_soon(answer, stream, how, slow)
        await trio.testing.wait_all_tasks_blocked()
        assert told == ["closed"]
        go_on.set()
    await no_task_left()


@pytest.mark.parametrize("how", ["a HEAD", "a refusal"])
async def test_one_whose_answer_is_cancelled_is_over_too(
    how: str, autojump_clock: Clock, no_task_left: NothingLeft
) -> None:
    async def stuck(message: Message) -> None:
        await trio.sleep_forever()

    source, told = Resource(), []
    stream = Stream(source, on_end=told.append, **ANSWERS[how][1])
    with trio.move_on_after(1) as scope:
        await answer(stream, how, stuck)
    assert scope.cancelled_caught
    assert source.closed == len(told) == 1
    await no_task_left()


async def test_a_place_is_given_back_whatever_happens(no_task_left: NothingLeft) -> None:
    limits = StreamLimits(total=1)
    for changes in ({"method": "HEAD"}, {}):
        await Stream([], limits=limits)(scope_of(**changes), silent, deaf)
        assert limits.statistics().open == 0
    assert limits.statistics().refused == 0


# The error event.


@pytest.mark.parametrize("events", [1, 2, 300])
async def test_it_goes_out_right_behind_an_event(events: int) -> None:
    """However many there are, and whoever's turn it is when the producer fails."""

    async def callback(stream: Stream) -> None:
        for n in range(events):
            stream.send_nowait(n)
        raise KeyError("mine")

    async def source() -> AsyncIterator[int]:
        for n in range(events):
            yield n
        raise KeyError("mine")

    end = b"event: error\ndata: sorry\n\n"
    for stream in (
        Stream(callback, error_event=ERROR_EVENT, buffer=500),
        Stream(source(), error_event=ERROR_EVENT),
    ):
        body = await broken_body(stream)
        assert body.startswith(PRIMER + b"data: 0\n\n")
        assert body.endswith(b"data: %d\n\n" % (events - 1) + end)


async def test_it_goes_out_where_ids_has_failed() -> None:
    async def callback(stream: Stream) -> None:
        await stream.send("one")
        await stream.send("two")

    numbers = iter([1])
    stream = Stream(callback, ids=lambda: next(numbers), error_event=ERROR_EVENT)
    body = await broken_body(stream, StopIteration)
    assert body == PRIMER + b"id: 1\ndata: one\n\nevent: error\ndata: sorry\n\n"


async def broken_body(stream: Stream, error: type[BaseException] = KeyError) -> bytes:
    async with connect(stream, raise_app_exceptions=False) as client:
        body = await client.read()
        assert client.ended == "broken"
    assert stream.outcome == "failed"
    return body


async def test_an_id_of_the_users_data_is_data() -> None:
    async def callback(stream: Stream) -> None:
        await stream.send(ServerSentEvent("own", id="own"))
        await stream.send({"id": 7})
        await stream.send("given", id="given")

    body = await body_of(Stream(callback, ids=lambda: "made"))
    assert body == PRIMER + (
        b'id: own\ndata: own\n\nid: made\ndata: {"id":7}\n\nid: given\ndata: given\n\n'
    )
    row = dataclasses.make_dataclass("Row", ["id"])(7)
    assert await body_of(Stream([row], ids=lambda: "made")) == (
        PRIMER + b'id: made\ndata: {"id":7}\n\n'
    )


async def test_a_task_that_fails_at_its_first_step_is_a_500() -> None:
    async def fail() -> None:
        raise KeyError("mine")

    async def fail_later() -> None:
        await trio.lowlevel.checkpoint()
        raise KeyError("mine")

    for task in (fail, fail_later):

        async def callback(stream: Stream, task: Any = task) -> None:
            stream.start_soon(task)
            await trio.sleep_forever()

        held = Stream()
        held.start_soon(task)
        for stream in (Stream(callback), held):
            async with connect(stream, raise_app_exceptions=False) as client:
                await client.read()
                assert client.status == 500 or task is fail_later
            assert stream.outcome == "failed"


# Failures when nobody is there to be told.


class Cleanup:
    """A generator whose `finally` raises, or a callback's."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    async def generator(self) -> AsyncIterator[str]:
        try:
            yield "one"
            await trio.sleep_forever()
        finally:
            raise self.error

    async def callback(self, stream: Stream) -> None:
        try:
            await stream.send("one")
            await trio.sleep_forever()
        finally:
            raise self.error

    async def task(self, stream: Stream) -> None:
        stream.start_soon(self.callback, stream)

    def thread(self, left: threading.Event) -> Iterator[str]:
        try:
            yield "one"
            assert left.wait(20)
            yield "two"
        finally:
            raise self.error


SOURCES: dict[str, Callable[[Cleanup], Any]] = {
    "generator": lambda cleanup: cleanup.generator(),
    "callback": lambda cleanup: cleanup.callback,
    "task": lambda cleanup: cleanup.task,
}
every_source = pytest.mark.parametrize("source", SOURCES)
ERRORS = [KeyError("mine"), KeyboardInterrupt(), SystemExit(3)]
every_error = pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)


@every_source
@every_error
async def test_a_cleanup_that_fails_when_the_client_has_left(
    source: str, error: BaseException, no_task_left: NothingLeft
) -> None:
    stream = Stream(SOURCES[source](Cleanup(error)))
    with pytest.raises(type(error)) as caught:
        async with connect(stream) as client:
            await client.receive_event()
    assert caught.value is error
    assert stream.outcome == "disconnected"
    await no_task_left()


async def test_a_cleanup_in_a_thread_that_fails_when_the_client_has_left(
    autojump_clock: Clock, no_task_left: NothingLeft
) -> None:
    left = threading.Event()
    error = KeyError("mine")
    stream = Stream(Cleanup(error).thread(left))

    async def leave() -> None:
        async with connect(stream) as client:
            await client.receive_event()
            client.disconnect()
            left.set()

    with pytest.raises(KeyError, match="mine"):
        await leave()
    assert stream.outcome == "disconnected"
    await no_task_left()


async def test_an_abandoned_thread_that_fails_is_logged(
    autojump_clock: Clock, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trio_stream.stream.source.blocking.CLOSE_TIMEOUT", 0.01)
    left, logged = threading.Event(), threading.Event()

    class Hears(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.levelno == logging.ERROR:
                logged.set()

    handler = Hears()
    logging.getLogger().addHandler(handler)  # behind the one whose text is looked at
    try:
        async with connect(Stream(Cleanup(KeyError("mine")).thread(left))) as client:
            await client.receive_event()
        assert "was abandoned" in caplog.text
        left.set()
        assert await trio.to_thread.run_sync(logged.wait, 20)
    finally:
        left.set()
        logging.getLogger().removeHandler(handler)
    assert "the abandoned thread of" in caplog.text
    assert "KeyError: 'mine'" in caplog.text


@every_source
@every_error
async def test_a_failure_while_the_call_is_cancelled(
    source: str,
    error: BaseException,
    autojump_clock: Clock,
    caplog: pytest.LogCaptureFixture,
    no_task_left: NothingLeft,
) -> None:
    """An error is logged, because `Cancelled` has to be raised; what ends the program does so."""
    stream = Stream(SOURCES[source](Cleanup(error)))

    async def serve() -> None:
        with trio.move_on_after(1):
            await stream(scope_of(), silent, deaf)

    if isinstance(error, Exception):
        await serve()
        assert "KeyError: 'mine'" in caplog.text
    else:
        with pytest.raises(type(error)) as caught:
            await serve()
        assert caught.value is error
    assert stream.outcome == "shutdown"


async def test_what_ends_the_program_does_so_also_beside_an_error(
    autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    async def producer(stream: Stream) -> None:
        stream.start_soon(Cleanup(KeyError("mine")).callback, stream)
        await Cleanup(KeyboardInterrupt()).callback(stream)

    async def serve() -> None:
        with trio.move_on_after(1):
            await Stream(producer)(scope_of(), silent, deaf)

    with pytest.raises(BaseExceptionGroup) as caught:
        await serve()
    assert caught.value.subgroup(KeyboardInterrupt) is not None

    async def enter() -> None:
        async with Stream(producer) as stream:
            await anext(stream.value)
            raise ValueError("the block")

    with pytest.raises(BaseExceptionGroup) as caught:
        await enter()
    assert caught.value.subgroup(KeyboardInterrupt) is not None


@every_source
async def test_a_failure_of_one_whose_block_is_left_by_an_exception_is_logged(
    source: str, caplog: pytest.LogCaptureFixture, no_task_left: NothingLeft
) -> None:
    async def enter() -> None:
        async with Stream(SOURCES[source](Cleanup(KeyError("mine")))) as stream:
            await anext(stream.value)
            raise ValueError("the block")

    with pytest.raises(ValueError, match="the block"):
        await enter()
    assert "KeyError: 'mine'" in caplog.text
    await no_task_left()


@every_source
async def test_and_of_one_whose_block_is_cancelled(
    source: str,
    autojump_clock: Clock,
    caplog: pytest.LogCaptureFixture,
    no_task_left: NothingLeft,
) -> None:
    with trio.move_on_after(1) as scope:
        async with Stream(SOURCES[source](Cleanup(KeyError("mine")))) as stream:
            await anext(stream.value)
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert "KeyError: 'mine'" in caplog.text
    await no_task_left()


# What ends the program, out of functions that the user has given.


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)])
@pytest.mark.parametrize("option", ["on_end", "error_event", "ids"])
@pytest.mark.parametrize("how", ["served", "entered"])
async def test_a_function_that_ends_the_program(
    how: str, option: str, error: BaseException, no_task_left: NothingLeft
) -> None:
    def give(*_: Any) -> Any:
        raise error

    async def producer(stream: Stream) -> None:
        await stream.send("one", id=None if option == "ids" else "1")
        await trio.testing.wait_all_tasks_blocked()
        raise KeyError("mine")

    options: dict[str, Any] = {option: give}
    stream = Stream(producer, **options)

    async def use() -> None:
        if how == "served":
            await stream(scope_of(), silent, deaf)
        else:
            async with stream:
                async for _ in stream.value:
                    pass

    with pytest.raises(type(error)) as caught:
        await use()
    assert caught.value is error
    assert open_streams() == ()
    await no_task_left()


async def test_an_on_end_that_fails_is_logged_and_called_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls = []

    def fail(stream: Stream) -> None:
        calls.append(stream.outcome)
        raise KeyError("mine")

    await body_of(Stream(["a"], on_end=fail))
    async with Stream(["a"], on_end=fail) as stream:
        async for _ in stream.value:
            pass
    await answer(Stream(on_end=fail), "a HEAD")
    assert calls == ["completed", "completed", "answered"]
    assert caplog.text.count("on_end= raised") == 3


# Causes and contexts.


async def fails_chained(stream: Stream) -> None:
    try:
        raise OSError("context")
    except OSError:
        raise KeyError("mine") from LookupError("cause")


async def only_a_context(stream: Stream) -> None:
    try:
        raise OSError("context")
    except OSError:
        raise KeyError("mine")  # noqa: B904 - what is tested


@pytest.mark.parametrize("how", ["served", "entered", "read"])
@pytest.mark.parametrize("producer", [fails_chained, only_a_context])
async def test_what_a_failure_came_of_stays(
    how: str, producer: Any, no_task_left: NothingLeft
) -> None:
    stream = Stream(producer)

    async def use() -> None:
        if how == "served":
            await stream(scope_of(), silent, deaf)
            return
        async with stream:
            await trio.testing.wait_all_tasks_blocked()
            if how == "read":
                await anext(stream.value)

    with pytest.raises(KeyError) as caught:
        await use()
    error = caught.value
    if producer is fails_chained:
        assert repr(error.__cause__) == "LookupError('cause')"
    else:
        assert error.__cause__ is None
        assert not error.__suppress_context__
    assert repr(error.__context__) == "OSError('context')"


# Around the end.

request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="nobody's")


@pytest.mark.parametrize("transport", ["portable", "direct"])
@pytest.mark.parametrize("cause", ["completed", "closed elsewhere", "expired", "shutdown"])
async def test_the_last_message_is_sent_in_the_requests_context(cause: str, transport: str) -> None:
    seen: list[str] = []
    streams: list[Stream] = []
    began, stop = trio.Event(), trio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            for step in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{step}.complete"})
            return
        request_id.set("mine")
        if transport == "portable":
            scope["extensions"].clear()

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.body" and not message.get("more_body"):
                seen.append(request_id.get())
            await send(message)

        async def producer(stream: Stream) -> None:
            await stream.send("one")
            began.set()
            if cause != "completed":
                await trio.sleep_forever()

        duration = 0.5 if cause == "expired" else None
        stream = Stream(producer, max_duration=duration, farewell="proper")
        streams.append(stream)
        await stream(scope, receive, noting)

    async def server(task_status: trio.TaskStatus[list[str]]) -> None:
        await serve(
            app,
            bind="127.0.0.1:0",
            errorlog=None,
            graceful_timeout=5,
            shutdown_trigger=stop.wait,
            task_status=task_status,
        )

    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            binds = await nursery.start(server)
            async with await trio.open_tcp_stream(
                "127.0.0.1", int(binds[0].rpartition(":")[2])
            ) as client:
                await send_request(client, "/", "connection: close")
                await began.wait()
                if cause == "closed elsewhere":
                    streams[0].close()
                if cause == "shutdown":
                    stop.set()
                async for _ in client:
                    pass
            stop.set()
    assert seen == ["mine"]


def test_statistics_can_be_read_after_the_run() -> None:
    async def main() -> Stream:
        stream = Stream(["a", "b"])
        await body_of(stream)
        return stream

    stream = trio.run(main, clock=trio.testing.MockClock(rate=1))
    statistics = stream.statistics()
    assert (statistics.events, statistics.outcome) == (2, "completed")
    assert 0 <= statistics.seconds_open < 60


async def test_and_from_a_thread_while_it_runs(autojump_clock: Clock) -> None:
    async def wait(stream: Stream) -> None:
        await stream.send("one")
        await trio.sleep_forever()

    stream = Stream(wait)
    async with connect(stream) as client:
        await client.receive_event()
        await trio.sleep(7)
        autojump_clock.autojump_threshold = float("inf")
        statistics = await trio.to_thread.run_sync(stream.statistics)
        autojump_clock.autojump_threshold = 0
    assert statistics.events == 1
    assert statistics.seconds_open == pytest.approx(7)


async def test_who_holds_on_is_named_once(
    autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    async def stays() -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep(100)

    async def producer(stream: Stream) -> None:
        stream.start_soon(stays)
        await stream.send("one")
        await trio.sleep_forever()

    stream = Stream(producer, ping=1, stall_timeout=3)
    async with connect(stream, exit_timeout=200) as client:
        await client.receive_event()
        stream.close()
    assert caplog.text.count("does not let itself be cancelled") == 1
