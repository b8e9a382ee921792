"""Headers wait for a lazy source's first item: who refuses it is a status, and no broken 200."""

import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import httpx
import pytest
import trio
import trio.testing

from tests.stream.helpers import PRIMER
from tests.support.tasks import NothingLeft
from trio_stream import ServerSentEvent, Stream
from trio_stream.testing import connect
from trio_stream.transport.memory import MemoryConnection

Clock = trio.testing.MockClock

#: As a browser's EventSource asks.
EVENT_SOURCE = {"accept": "text/event-stream", "cache-control": "no-cache"}


def refusal() -> Exception:
    request = httpx.Request("POST", "http://example.org/")
    response = httpx.Response(429, headers={"retry-after": "7"}, request=request)
    return httpx.HTTPStatusError("429", request=request, response=response)


async def lazy() -> AsyncIterator[str]:
    await trio.sleep(2)
    raise refusal()
    yield "never"


def blocking() -> Iterator[str]:
    time.sleep(0.02)
    raise refusal()
    yield "never"


async def of_lazy() -> AsyncIterator[str]:
    await trio.sleep(2)
    return lazy()


@asynccontextmanager
async def managed() -> AsyncIterator[Any]:
    await trio.sleep(1)
    yield lazy()


class ReceiveStream(trio.abc.ReceiveStream):
    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await trio.sleep(1)
        raise refusal()

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


async def callback(stream: Stream) -> None:
    await trio.sleep(2)
    raise refusal()


def starts_a_task(stream: Stream) -> None:
    stream.start_soon(callback, stream)


async def returns_lazy(stream: Stream) -> AsyncIterator[str]:
    await trio.sleep(1)
    return lazy()


def generates(stream: Stream) -> AsyncIterator[str]:
    return lazy()


SOURCES: dict[str, Callable[[], Any]] = {
    "an async generator": lazy,
    "a blocking generator": blocking,
    "a coroutine of a generator": of_lazy,
    "a manager of a generator": managed,
    "aclosing": lambda: aclosing(lazy()),
    "a receive stream": ReceiveStream,
    "a callback": lambda: callback,
    "a callback that starts a task": lambda: starts_a_task,
    "a callback that returns a generator": lambda: returns_lazy,
    "a generator function": lambda: generates,
    "a lambda that returns a coroutine": lambda: lambda stream: of_lazy(),
}


@pytest.mark.parametrize("make", SOURCES.values(), ids=SOURCES)
@pytest.mark.parametrize("format", ["sse", "ndjson", "text", "bytes"])
async def test_a_refusal_before_the_first_item_is_a_status(
    make: Callable[[], Any], format: Any, autojump_clock: Clock, no_task_left: NothingLeft
) -> None:
    ended = []
    stream = Stream(make(), format=format, on_end=lambda stream: ended.append(stream.outcome))
    async with connect(stream) as client:
        assert (client.status, client.headers["retry-after"]) == (502, "7")
        assert await client.read() == b"502 Bad Gateway\n"
        assert client.ended == "complete"
    assert ended == ["failed"]
    await no_task_left()


@pytest.mark.parametrize("make", SOURCES.values(), ids=SOURCES)
async def test_an_event_source_is_answered_at_once_and_comes_back(
    make: Callable[[], Any], autojump_clock: Clock
) -> None:
    stream = Stream(make())
    async with connect(stream, headers=EVENT_SOURCE, raise_app_exceptions=False) as client:
        assert client.status == 200
        assert await client.read() == PRIMER
        assert client.ended == "broken"
    assert stream.outcome == "failed"


async def test_unless_its_headers_are_to_wait(autojump_clock: Clock) -> None:
    async with connect(Stream(lazy(), hold_headers=True), headers=EVENT_SOURCE) as client:
        assert client.status == 502


async def test_what_is_awaited_is_a_status_for_an_event_source_too(autojump_clock: Clock) -> None:
    async def refused() -> None:
        await trio.sleep(2)
        raise refusal()

    async with connect(Stream(refused()), headers=EVENT_SOURCE) as client:
        assert client.status == 502


async def test_the_first_item_lets_them_go(autojump_clock: Clock) -> None:
    async def slow() -> AsyncIterator[str]:
        await trio.sleep(3)
        yield "a"
        await trio.sleep(100)
        yield "b"

    began = trio.current_time()
    async with connect(Stream(slow())) as client:
        assert trio.current_time() - began == pytest.approx(3)
        assert await client.receive_chunk() == PRIMER + b"data: a\n\n"


async def test_so_does_a_send_of_anybodys(autojump_clock: Clock) -> None:
    stream = Stream(lambda stream: stream.wait(5))

    async def send() -> None:
        await trio.sleep(3)
        await stream.send("from outside")

    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        async with connect(stream) as client:
            assert trio.current_time() - began == pytest.approx(3)
            assert [event.data async for event in client.events()] == ["from outside"]


async def test_so_does_what_was_sent_before(autojump_clock: Clock) -> None:
    stream = Stream(lazy())
    stream.send_nowait("first")
    async with connect(stream, raise_app_exceptions=False) as client:
        assert trio.current_time() == pytest.approx(0, abs=0.1)
        assert client.status == 200
        await client.read()
        assert client.ended == "broken"


async def test_so_does_the_end(autojump_clock: Clock) -> None:
    began = trio.current_time()
    async with connect(Stream(lambda stream: stream.wait(3))) as client:
        assert trio.current_time() - began == pytest.approx(3)
        assert (client.status, await client.read(), client.ended) == (200, PRIMER, "complete")


async def quiet() -> AsyncIterator[str]:
    await trio.sleep(100)
    raise KeyError("late")
    yield "never"


@pytest.mark.parametrize(("ping", "held"), [(3, 3), (8, 8), (None, 8)])
@pytest.mark.parametrize("format", ["sse", "ndjson", "text", "bytes"])
async def test_a_quiet_stream_is_open_after_a_ping_at_the_latest(
    ping: float | None, held: float, format: Any, autojump_clock: Clock
) -> None:
    began = trio.current_time()
    stream = Stream(quiet(), ping=ping, format=format)
    async with connect(stream, raise_app_exceptions=False) as client:
        assert trio.current_time() - began == pytest.approx(held, abs=0.1)
        assert client.status == 200
        await client.read()
        assert client.ended == "broken"


async def test_the_ping_that_is_due_goes_with_them(autojump_clock: Clock) -> None:
    async with connect(Stream(quiet(), ping=3), raise_app_exceptions=False) as client:
        assert await client.receive_chunk() == PRIMER + b":\n"


async def test_they_need_not_wait(autojump_clock: Clock) -> None:
    async def awaited() -> AsyncIterator[str]:
        await trio.sleep(3)
        return quiet()

    for source in (quiet(), awaited(), lambda stream: stream.wait(100)):
        began = trio.current_time()
        async with connect(Stream(source, hold_headers=False)) as client:
            assert trio.current_time() - began == pytest.approx(0, abs=0.1)
            assert await client.receive_chunk() == PRIMER


async def test_what_cannot_refuse_does_not_wait(autojump_clock: Clock) -> None:
    send, receive = trio.open_memory_channel[str](0)
    with send:
        for source in (None, receive):
            async with connect(Stream(source)) as client:
                assert await client.receive_chunk() == PRIMER
    assert trio.current_time() == pytest.approx(0, abs=0.1)


async def test_unless_it_is_to(autojump_clock: Clock) -> None:
    stream = Stream(hold_headers=True)
    stream.start_soon(callback, stream)
    async with connect(stream) as client:
        assert client.status == 502


async def test_an_item_that_cannot_be_sent_is_a_status_if_it_is_the_first(
    autojump_clock: Clock,
) -> None:
    async def unsendable() -> AsyncIterator[object]:
        await trio.sleep(1)
        yield object()

    async with connect(Stream(unsendable()), raise_app_exceptions=False) as client:
        assert client.status == 500


async def test_no_error_event_is_sent_where_the_status_tells(autojump_clock: Clock) -> None:
    told = ServerSentEvent("failed", event="error")
    async with connect(Stream(lazy(), error_event=told, error_end="proper")) as client:
        assert (client.status, await client.read()) == (502, b"502 Bad Gateway\n")


async def test_the_client_may_leave_meanwhile(
    autojump_clock: Clock, no_task_left: NothingLeft
) -> None:
    left = []

    async def noted() -> AsyncIterator[str]:
        try:
            await trio.sleep_forever()
            yield "never"
        finally:
            left.append(stream.outcome)

    stream = Stream(noted())
    scope = {"type": "http", "method": "GET", "http_version": "1.1", "headers": []}
    connection = MemoryConnection(scope, b"", socket_buffer=100, shield_sends=False)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(connection.run, stream)
        await trio.sleep(1)
        assert not connection.responding.is_set()
        connection.disconnect()
    assert left == ["disconnected"]
    await no_task_left()
