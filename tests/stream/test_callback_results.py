"""What a callback returns: nothing, or a source, which is streamed."""

import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import trio
import trio.testing

from tests.stream.helpers import (
    PRIMER,
    blocking_numbers,
    channel,
    data_of,
    numbers,
    read_failure,
)
from tests.stream.upstream_server import answer, chunk, head, upstream
from tests.support.tasks import NothingLeft
from trio_stream import ServerSentEvent, Stream
from trio_stream.testing import connect

Clock = trio.testing.MockClock


class Answer:
    """An SDK's stream object: no generator, and closed by its `close` alone."""

    def __init__(self, count: float = 2) -> None:
        self.count = count
        self.sent = 0
        self.closed = 0

    def __aiter__(self) -> "Answer":
        return self

    async def __anext__(self) -> int:
        await trio.lowlevel.checkpoint()
        if self.sent >= self.count:
            raise StopAsyncIteration
        self.sent += 1
        return self.sent

    async def close(self) -> None:
        await trio.lowlevel.checkpoint()
        self.closed += 1


class Second:
    """A blocking iterator that can be closed without awaiting."""

    closed = False

    def __iter__(self) -> "Second":
        return self

    def __next__(self) -> int:
        raise AssertionError("it was run")

    def close(self) -> None:
        self.closed = True


@asynccontextmanager
async def manager() -> AsyncIterator[Answer]:
    yield Answer()


async def awaitable() -> Answer:
    await trio.lowlevel.checkpoint()
    return Answer()


def response() -> httpx.Response:
    request = httpx.Request("GET", "http://example.org/")
    return httpx.Response(200, json=1, request=request)


SOURCES: list[Callable[[], Any]] = [
    Answer,
    numbers,
    blocking_numbers,
    manager,
    awaitable,
    channel,
    lambda: [1, 2],
]


@pytest.mark.parametrize("how", ["sync", "async"])
@pytest.mark.parametrize("make", SOURCES, ids=lambda make: make.__name__)
async def test_a_source_is_streamed(
    how: str, make: Callable[[], Any], autojump_clock: Clock, no_task_left: NothingLeft
) -> None:
    async def callback(stream: Stream) -> Any:
        await stream.send("first")
        return make()

    stream = Stream(callback) if how == "async" else Stream(lambda stream: make())
    assert (await data_of(stream))[-2:] == ["1", "2"]
    await no_task_left()


async def test_a_response_is_streamed() -> None:
    assert await data_of(Stream(lambda stream: response())) == ["1"]


async def test_what_was_sent_before_comes_first() -> None:
    async def callback(stream: Stream) -> list[str]:
        await stream.send("a")
        return ["b"]

    assert await data_of(Stream(callback)) == ["a", "b"]


@pytest.mark.parametrize("how", ["ends", "client leaves"])
async def test_it_is_closed(how: str, autojump_clock: Clock, no_task_left: NothingLeft) -> None:
    source = Answer(2 if how == "ends" else float("inf"))
    async with connect(Stream(lambda stream: source)) as client:
        await client.receive_event()
        if how == "ends":
            await client.read()
        else:
            client.disconnect()
    assert source.closed == 1
    await no_task_left()


async def test_none_is_nothing_more(autojump_clock: Clock) -> None:
    async def nothing() -> None:
        await trio.lowlevel.checkpoint()

    async def later() -> Awaitable[None]:
        return nothing()

    assert await data_of(Stream(lambda stream: None)) == []
    assert await data_of(Stream(lambda stream: nothing())) == []
    assert await data_of(Stream(lambda stream: later())) == []


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (5, "cannot stream a int"),
        (True, "cannot stream a bool"),
        (object(), "cannot stream a object"),
        ("text", "a character at a time"),
        ({"a": 1}, "a dict is one event"),
        (ServerSentEvent("x"), "a ServerSentEvent is one event"),
        (len, "cannot stream a builtin_function_or_method"),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("how", ["sync", "async"])
async def test_anything_else_is_a_type_error(how: str, result: Any, message: str) -> None:
    async def callback(stream: Stream) -> Any:
        return result

    stream = Stream(callback) if how == "async" else Stream(lambda stream: result)
    with pytest.raises(TypeError, match="a callback returns None or a source.*" + message):
        await read_failure(stream)
    assert stream.outcome == "failed"


async def test_a_second_stream_is_a_type_error_and_its_source_is_closed() -> None:
    source = Second()

    async def answer_with_a_second() -> None:
        stream = Stream(lambda stream: Stream(source))
        with pytest.raises(TypeError, match="hand over its own source"):
            await read_failure(stream)
        assert stream.outcome == "failed"

    await answer_with_a_second()
    gc.collect()  # the error's traceback held it
    assert source.closed


async def test_after_events_it_breaks_the_stream_off() -> None:
    async def callback(stream: Stream) -> int:
        await stream.send("a")
        return 5

    stream = Stream(callback)
    async with connect(stream, raise_app_exceptions=False) as client:
        assert await client.read() == PRIMER + b"data: a\n\n"
        assert client.ended == "broken"
    assert stream.outcome == "failed"


async def test_in_an_entered_stream() -> None:
    async def value_of(stream: Stream) -> bytes:
        async with stream:
            return b"".join([chunk async for chunk in stream.value])

    assert await value_of(Stream(lambda stream: manager())) == b"data: 1\n\ndata: 2\n\n"
    with pytest.raises(TypeError, match="a callback returns None or a source"):
        await value_of(Stream(lambda stream: 5))


async def test_headers_that_have_not_gone_out_wait_for_it(autojump_clock: Clock) -> None:
    @asynccontextmanager
    async def refused() -> AsyncIterator[Any]:
        await trio.sleep(1)
        raise httpx.ConnectError("no")
        yield

    async with connect(Stream(lambda stream: refused())) as client:
        assert client.status == 502

    @asynccontextmanager
    async def slow() -> AsyncIterator[list[int]]:
        await trio.sleep(100)
        yield [1]

    began = trio.current_time()
    async with connect(Stream(lambda stream: slow(), ping=8)) as client:
        assert trio.current_time() - began == pytest.approx(8, abs=0.1)
        assert [event.data async for event in client.events()] == ["1"]


async def test_a_real_request(no_task_left: NothingLeft) -> None:
    respond = answer("text/event-stream", b"data: one\n\n", b"data: two\n\n")
    with trio.fail_after(30):
        async with upstream(respond) as server, httpx.AsyncClient() as http:
            request = http.build_request("GET", server.url)
            stream = Stream(lambda stream: http.send(request, stream=True))
            assert await data_of(stream) == ["one", "two"]
        await no_task_left()


async def test_a_real_request_is_aborted_when_the_client_leaves() -> None:
    async def respond(stream: trio.SocketStream) -> None:
        await stream.send_all(head("text/event-stream") + chunk(b"data: one\n\n"))
        await trio.sleep_forever()

    with trio.fail_after(30):
        async with upstream(respond) as server, httpx.AsyncClient() as http:
            request = http.build_request("GET", server.url)
            async with connect(Stream(lambda stream: http.send(request, stream=True))) as client:
                assert (await client.receive_event()).data == "one"
                client.disconnect()
                await server.hung_up.wait()
