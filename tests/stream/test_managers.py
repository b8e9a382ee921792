"""Async context managers: entered in the stream's own task, what they give streamed, then left."""

import logging
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, nullcontext
from typing import Any

import httpx
import httpx2
import pytest
import trio
import trio.testing

from tests.stream.helpers import PRIMER, channel, data_of, numbers, read_failure
from tests.stream.upstream_server import answer, chunk, head, upstream
from tests.support.tasks import NothingLeft
from trio_stream import Stream
from trio_stream.stream.source import managers
from trio_stream.testing import connect

Clock = trio.testing.MockClock


async def forever() -> AsyncIterator[int]:
    yield 1
    await trio.sleep_forever()


async def find() -> list[int]:
    return [1, 2]


class Manager:
    """A manager of ``source`` that notes the tasks in which it was entered and left."""

    def __init__(self, source: Any) -> None:
        self.source = source
        self.entered_in: object = None
        self.left_in: object = None
        self.error: BaseException | None = None
        self.left = 0

    async def __aenter__(self) -> Any:
        await trio.lowlevel.checkpoint()
        self.entered_in = trio.lowlevel.current_task()
        return self.source

    async def __aexit__(self, kind: object, error: BaseException | None, tb: object) -> None:
        self.error = error
        self.left_in = trio.lowlevel.current_task()
        await trio.sleep(0.01)
        self.left += 1


SOURCES: list[Callable[[], Any]] = [numbers, channel, find, lambda: [1, 2], lambda: iter([1, 2])]


@pytest.mark.parametrize("make", SOURCES, ids=["async", "channel", "awaitable", "list", "blocking"])
async def test_managers_of_all_sources(
    make: Callable[[], Any], autojump_clock: Clock, no_task_left: NothingLeft
) -> None:
    manager = Manager(make())
    assert await data_of(Stream(manager)) == ["1", "2"]
    assert manager.left == 1
    assert manager.entered_in is manager.left_in is not None
    await no_task_left()


async def test_one_that_is_callable_is_not_called(autojump_clock: Clock) -> None:
    """What `@asynccontextmanager` makes can decorate a function, too."""
    steps = []

    @asynccontextmanager
    async def opened() -> AsyncIterator[AsyncIterator[int]]:
        steps.append("entered")
        try:
            yield numbers()
        finally:
            await trio.sleep(1)
            steps.append("left")

    manager = opened()
    assert callable(manager)
    assert await data_of(Stream(manager)) == ["1", "2"]
    assert steps == ["entered", "left"]


async def test_one_that_is_awaitable_too_is_entered(autojump_clock: Clock) -> None:
    class Both(Manager):
        def __await__(self) -> Generator[Any, Any, Any]:
            raise AssertionError
            yield

    both = Both([1])
    assert await data_of(Stream(both)) == ["1"]
    assert both.left == 1
    both = Both([1])
    assert await data_of(Stream(lambda stream: both)) == ["1"]
    assert both.left == 1


async def test_one_that_is_a_manager_both_ways_is_entered_asynchronously(
    autojump_clock: Clock,
) -> None:
    class Both(Manager):
        def __enter__(self) -> Any:
            raise AssertionError

        def __exit__(self, *_: object) -> None:
            raise AssertionError

    assert await data_of(Stream(Both([1]))) == ["1"]


async def test_one_that_is_iterable_itself_is_read(autojump_clock: Clock) -> None:
    class Answer(Manager):
        closed = 0

        async def __aiter__(self) -> AsyncIterator[int]:
            yield 1

        async def aclose(self) -> None:
            self.closed += 1

    source = Answer(None)
    assert await data_of(Stream(source)) == ["1"]
    assert (source.entered_in, source.closed) == (None, 1)


async def test_managers_in_managers_and_awaitables(autojump_clock: Clock) -> None:
    inner = Manager([1])

    async def found() -> Manager:
        return inner

    assert await data_of(Stream(nullcontext(found()))) == ["1"]
    assert inner.left == 1


async def test_the_client_leaves_it_is_left_and_may_await(
    autojump_clock: Clock, no_task_left: NothingLeft
) -> None:
    manager = Manager(forever())
    stream = Stream(manager)
    async with connect(stream) as client:
        await client.receive_event()
        client.disconnect()
    assert (stream.outcome, manager.left) == ("disconnected", 1)
    assert isinstance(manager.error, trio.Cancelled)
    assert manager.entered_in is manager.left_in
    await no_task_left()


async def test_the_client_leaves_while_it_is_entered(
    autojump_clock: Clock, no_task_left: NothingLeft
) -> None:
    cancelled = []

    @asynccontextmanager
    async def slow() -> AsyncIterator[list[int]]:
        try:
            await trio.sleep_forever()
        finally:
            cancelled.append(stream.outcome)
        yield []

    stream = Stream(slow(), ping=5)
    async with connect(stream) as client:
        client.disconnect()
    assert cancelled == ["disconnected"]
    await no_task_left()


async def test_a_nursery_in_it_ends_with_it(
    autojump_clock: Clock, no_task_left: NothingLeft
) -> None:
    ended = []

    async def feed(send: trio.MemorySendChannel[int]) -> None:
        try:
            async with send:
                await send.send(1)
                await trio.sleep_forever()
        finally:
            ended.append(trio.current_time())

    @asynccontextmanager
    async def fed() -> AsyncIterator[trio.MemoryReceiveChannel[int]]:
        send, receive = trio.open_memory_channel[int](0)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(feed, send)
            yield receive

    began = trio.current_time()
    stream = Stream(fed())
    async with connect(stream) as client:
        await client.receive_event()
        client.disconnect()
    assert stream.outcome == "disconnected"
    assert ended == [pytest.approx(began, abs=0.1)]
    await no_task_left()


async def test_one_that_is_not_left_in_time_is_cancelled_and_logged(
    autojump_clock: Clock, caplog: pytest.LogCaptureFixture, no_task_left: NothingLeft
) -> None:
    @asynccontextmanager
    async def stuck() -> AsyncIterator[Any]:
        try:
            yield forever()
        finally:
            await trio.sleep_forever()

    began = trio.current_time()
    stream = Stream(stuck())
    async with connect(stream) as client:
        await client.receive_event()
        client.disconnect()
    assert stream.outcome == "disconnected"
    assert trio.current_time() - began == pytest.approx(managers.CLOSE_TIMEOUT, abs=0.1)
    [record] = [record for record in caplog.records if record.module == "managers"]
    assert record.levelno == logging.WARNING
    assert "took more than 5 s and was cancelled" in record.getMessage()
    await no_task_left()


async def test_a_failure_is_not_lost_where_leaving_takes_too_long(
    autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    async def failing() -> AsyncIterator[int]:
        yield 1
        raise KeyError("in the source")

    @asynccontextmanager
    async def stuck() -> AsyncIterator[Any]:
        try:
            yield failing()
        finally:
            await trio.sleep_forever()

    stream = Stream(stuck())
    with pytest.raises(KeyError, match="in the source"):
        async with connect(stream) as client:
            await client.read()
    assert stream.outcome == "failed"
    assert "leaving the context manager" in caplog.text


async def test_a_failure_goes_through_it(autojump_clock: Clock) -> None:
    async def failing() -> AsyncIterator[int]:
        yield 1
        raise KeyError("in the source")

    manager = Manager(failing())
    stream = Stream(manager)
    with pytest.raises(KeyError, match="in the source"):
        async with connect(stream) as client:
            assert [event.data async for event in client.events()] == ["1"]
    assert stream.outcome == "failed"
    assert isinstance(manager.error, KeyError)
    assert manager.left == 1


async def test_the_headers_wait_for_its_entry_and_what_it_gives(autojump_clock: Clock) -> None:
    @asynccontextmanager
    async def slow(given: Any) -> AsyncIterator[Any]:
        await trio.sleep(3)
        yield given

    async def silent() -> AsyncIterator[int]:
        await trio.sleep(100)
        yield 1

    send, channel = trio.open_memory_channel[int](0)
    with send:
        # A generator may be refused yet, at its first item; a channel cannot be.
        for given, seconds in ((silent(), 8), (channel, 3)):
            began = trio.current_time()
            async with connect(Stream(slow(given), ping=8)) as client:
                assert trio.current_time() - began == pytest.approx(seconds, abs=0.1)
                assert client.status == 200


async def test_one_whose_entry_fails_is_an_error_status(
    autojump_clock: Clock, caplog: pytest.LogCaptureFixture, no_task_left: NothingLeft
) -> None:
    @asynccontextmanager
    async def refused(error: Exception) -> AsyncIterator[Any]:
        await trio.sleep(0.1)
        raise error
        yield

    async with connect(Stream(refused(httpx.ConnectError("no")))) as client:
        assert client.status == 502
    assert "answered 502, because the stream's upstream failed: ConnectError" in caplog.text
    stream = Stream(refused(KeyError("ours")))
    with pytest.raises(KeyError, match="ours"):
        await read_failure(stream)
    assert stream.outcome == "failed"
    await no_task_left()


async def test_one_whose_exit_fails_breaks_the_stream_off(
    autojump_clock: Clock, no_task_left: NothingLeft
) -> None:
    @asynccontextmanager
    async def failing() -> AsyncIterator[list[int]]:
        yield [1]
        raise KeyError("at the end")

    stream = Stream(failing())
    async with connect(stream, raise_app_exceptions=False) as client:
        assert await client.read() == PRIMER + b"data: 1\n\n"
        assert client.ended == "broken"
    assert stream.outcome == "failed"
    with pytest.raises(KeyError, match="at the end"):
        async with connect(Stream(failing())) as client:
            await client.read()
    await no_task_left()


async def test_one_whose_exit_fails_after_the_client_has_left(
    autojump_clock: Clock, no_task_left: NothingLeft
) -> None:
    @asynccontextmanager
    async def failing() -> AsyncIterator[Any]:
        try:
            yield forever()
        finally:
            raise KeyError("at the end")

    stream = Stream(failing())
    with pytest.raises(KeyError, match="at the end"):
        async with connect(stream) as client:
            await client.receive_event()
    assert stream.outcome == "disconnected"
    await no_task_left()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, "gave None: what it gives is streamed"),
        (5, "cannot stream a int: hand over"),
        ("text", r"hand over \[value\]"),
        (Stream(["a"]), "hand over its own source"),
    ],
    ids=["None", "number", "text", "Stream"],
)
async def test_one_that_gives_no_source(given: Any, message: str, autojump_clock: Clock) -> None:
    manager = Manager(given)
    stream = Stream(manager)
    with pytest.raises(TypeError, match=message):
        await read_failure(stream)
    assert stream.outcome == "failed"
    assert manager.left == 1


async def test_one_that_gives_itself(autojump_clock: Clock) -> None:
    """A client, for example, that was handed over in place of what it opens."""
    http = httpx.AsyncClient()
    with pytest.raises(TypeError, match=r"AsyncClient was entered.*gave itself"):
        await read_failure(Stream(http))
    assert http.is_closed


async def test_head_does_not_enter_it() -> None:
    manager = Manager([1])
    async with connect(Stream(manager), method="HEAD") as client:
        assert client.status == 200
    assert (manager.entered_in, manager.left) == (None, 0)


@contextmanager
def rows() -> Iterator[list[int]]:
    yield [1]


@pytest.mark.parametrize(
    "make",
    [rows, lambda: closing(iter(())), lambda: httpx.Client().stream("GET", "http://127.0.0.1/")],
    ids=["contextmanager", "closing", "httpx"],
)
def test_one_that_is_not_async_is_refused_with_the_words_to_use(make: Callable[[], Any]) -> None:
    with pytest.raises(
        TypeError, match=r"context manager that is not async.*with manager as source: yield from"
    ):
        Stream(make())


async def test_the_words_to_use_work(autojump_clock: Clock) -> None:
    def values() -> Iterator[int]:
        with rows() as source:
            yield from source

    assert await data_of(Stream(values())) == ["1"]


both = pytest.mark.parametrize("module", [httpx, httpx2], ids=["httpx", "httpx2"])


@both
async def test_a_request_by_httpx_itself(module: Any, no_task_left: NothingLeft) -> None:
    respond = answer("text/event-stream", b"event: tick\ndata: one\n\n", b"data: two\n\n")
    with trio.fail_after(30):
        async with upstream(respond) as server, module.AsyncClient() as http:
            stream = Stream(http.stream("POST", server.url, content=b"question"))
            assert await data_of(stream) == ["one", "two"]
        assert server.requests[0].startswith(b"POST / ")
        await no_task_left()


@both
async def test_a_request_that_is_refused(module: Any) -> None:
    async def respond(stream: trio.SocketStream) -> None:
        await stream.send_all(head("text/plain", "retry-after: 7", status="429 Too Many Requests"))
        await stream.send_all(b"0\r\n\r\n")

    with trio.fail_after(30):
        async with (
            upstream(respond) as server,
            module.AsyncClient() as http,
            connect(Stream(http.stream("GET", server.url))) as client,
        ):
            assert client.status == 502
            assert client.headers["retry-after"] == "7"


@both
@pytest.mark.parametrize("as_callback", [False, True], ids=["source", "callback"])
async def test_a_request_is_aborted_when_the_client_leaves(module: Any, as_callback: bool) -> None:
    async def respond(stream: trio.SocketStream) -> None:
        await stream.send_all(head("text/event-stream") + chunk(b"data: one\n\n"))
        await trio.sleep_forever()

    with trio.fail_after(30):
        async with upstream(respond) as server, module.AsyncClient() as http:
            manager = http.stream("GET", server.url)
            stream = Stream((lambda stream: manager) if as_callback else manager)
            async with connect(stream) as client:
                assert (await client.receive_event()).data == "one"
                client.disconnect()
                await server.hung_up.wait()
            assert stream.outcome == "disconnected"
