"""Before a stream is served, and streams that never are."""

import gc
import sys
import warnings
import weakref
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
import trio
import trio.testing

from tests.stream.helpers import data_of
from tests.support.tasks import NothingLeft
from trio_stream import Stream
from trio_stream.testing import connect

WEBSOCKET = {"type": "websocket"}


async def numbers() -> AsyncIterator[int]:
    yield 1


async def test_sends_are_queued() -> None:
    stream = Stream()
    await stream.send("a")
    stream.send_nowait("b")
    stream.close()
    assert await data_of(stream) == ["a", "b"]
    assert stream.outcome == "closed"


@pytest.mark.parametrize("options", [{"buffer": 2}, {"buffer_bytes": 20}], ids=["events", "bytes"])
async def test_a_full_buffer_is_an_error_and_no_deadlock(options: dict[str, Any]) -> None:
    stream = Stream(**options)
    await stream.send("a")
    await stream.send("b")
    with pytest.raises(RuntimeError, match=r"not served yet") as caught:
        await stream.send("c")
    assert "buffer=" in str(caught.value)
    assert "stream.start_soon(producer, stream)" in str(caught.value)
    with pytest.raises(trio.WouldBlock):
        stream.send_nowait("c")
    stream.close()
    assert await data_of(stream) == ["a", "b"]


async def test_start_soon_is_queued() -> None:
    async def task(stream: Stream) -> None:
        await stream.send("from the task")

    stream = Stream()
    stream.start_soon(task, stream)
    assert stream.statistics().events == 0
    assert await data_of(stream) == ["from the task"]


async def test_start_and_nursery_say_what_to_use_instead() -> None:
    stream = Stream()
    with pytest.raises(RuntimeError, match=r"use stream\.start_soon, which waits"):
        _ = stream.nursery
    with pytest.raises(RuntimeError, match=r"use stream\.start_soon, which waits"):
        await stream.start(trio.sleep, 1)


async def test_closed_before_it_is_served_its_source_never_goes_on() -> None:
    ran = []

    async def callback(stream: Stream) -> None:
        ran.append("began")
        await trio.sleep_forever()

    stream = Stream(callback)
    stream.close()
    assert await data_of(stream) == []
    assert stream.outcome == "closed"


def test_scope_and_last_event_id_are_not_known() -> None:
    stream = Stream()
    assert stream.scope is None
    assert stream.last_event_id is None


# Never run: the source is closed all the same.


class Source:
    """An async iterator that can only be closed by awaiting."""

    def __init__(self) -> None:
        self.closed = 0

    def __aiter__(self) -> "Source":
        return self

    async def __anext__(self) -> int:
        raise AssertionError("it was run")

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()
        self.closed += 1


class Answer:
    """An SDK's stream object, closed by its `close` alone, which must be awaited."""

    def __aiter__(self) -> "Answer":
        return self

    async def __anext__(self) -> int:
        raise AssertionError("it was run")

    async def close(self) -> None:
        raise AssertionError("it was not awaited")


async def refuse(stream: Stream, how: str) -> None:
    """Have the stream answer a request that does not run its source."""
    if how == "HEAD":
        async with connect(stream, method="HEAD") as client:
            assert await client.read() == b""
    else:
        with pytest.raises(RuntimeError):
            async with connect(stream, scope=WEBSOCKET):
                pass


@pytest.mark.parametrize("how", ["HEAD", "websocket"])
async def test_an_async_iterator_is_closed(how: str, no_task_left: NothingLeft) -> None:
    source = Source()
    await refuse(Stream(source), how)
    assert source.closed == 1
    await no_task_left()


@pytest.mark.parametrize("how", ["HEAD", "websocket"])
async def test_an_async_generator_is_closed(how: str, no_task_left: NothingLeft) -> None:
    generator = numbers()
    await refuse(Stream(generator), how)
    with pytest.raises(StopAsyncIteration):
        await anext(generator)
    await no_task_left()


@pytest.mark.parametrize("how", ["HEAD", "websocket"])
async def test_a_generator_is_closed(how: str) -> None:
    def rows() -> Iterator[int]:
        yield 1

    generator = rows()
    await refuse(Stream(generator), how)
    with pytest.raises(StopIteration):
        next(generator)


@pytest.mark.parametrize("how", ["HEAD", "websocket"])
async def test_a_coroutine_is_closed(how: str) -> None:
    """A coroutine that is never awaited is a RuntimeWarning, which would be an error here."""

    async def find() -> list[int]:
        raise AssertionError("it was run")

    await refuse(Stream(find()), how)
    gc.collect()


@pytest.mark.parametrize("how", ["HEAD", "websocket"])
async def test_a_memory_channel_is_closed(how: str) -> None:
    send, receive = trio.open_memory_channel[int](0)
    await refuse(Stream(receive), how)
    with pytest.raises(trio.BrokenResourceError):
        await send.send(1)


@pytest.mark.parametrize("how", ["HEAD", "websocket"])
async def test_a_receive_stream_is_closed(how: str) -> None:
    _, receive = trio.testing.memory_stream_one_way_pair()
    await refuse(Stream(receive), how)
    with pytest.raises(trio.ClosedResourceError):
        await receive.receive_some()


@pytest.mark.parametrize("how", ["HEAD", "websocket"])
async def test_a_response_is_closed(how: str) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"x"

    transport = httpx.MockTransport(lambda request: httpx.Response(200, content=body()))
    async with httpx.AsyncClient(transport=transport) as http:
        request = http.build_request("GET", "http://example.org/")
        response = await http.send(request, stream=True)
        await refuse(Stream(response), how)
        assert response.is_closed


async def test_a_second_serving_leaves_the_first_alone() -> None:
    stream = Stream()
    async with connect(stream) as first:
        with pytest.raises(RuntimeError, match="served or entered once: make one for each request"):
            async with connect(stream):
                pytest.fail("served twice")
        await stream.send("a")
        assert (await first.receive_event()).data == "a"


@pytest.mark.parametrize("kind", ["websocket", "lifespan"])
async def test_another_scope_is_a_clear_error(kind: str) -> None:
    with pytest.raises(RuntimeError, match=f"answers HTTP requests, not a {kind} scope"):
        async with connect(Stream(["a"]), scope={"type": kind}):
            pytest.fail("entered")


def test_outside_trio_it_says_how_to_start_the_server() -> None:
    async def never(*_: object) -> Any:
        raise AssertionError

    call = Stream(["a"])({"type": "http", "method": "GET", "headers": []}, never, never)
    with pytest.raises(RuntimeError, match="hypercorn --worker-class trio"):
        call.send(None)


async def test_never_served_what_can_be_closed_without_awaiting_is() -> None:
    def rows() -> Iterator[int]:
        yield 1

    async def find() -> list[int]:
        raise AssertionError

    send, receive = trio.open_memory_channel[int](0)
    generator = rows()
    for source in (receive, generator, find(), numbers(), ["a"], lambda stream: None):
        Stream(source)
    del source
    gc.collect()
    with pytest.raises(trio.BrokenResourceError):
        send.send_nowait(1)
    with pytest.raises(StopIteration):
        next(generator)


async def test_never_served_what_has_a_close_that_does_not_wait_is_closed() -> None:
    class Messages(Answer):
        closed = False

        def close(self) -> None:  # type: ignore[override]
            self.closed = True

    messages = Messages()
    Stream(messages)
    assert messages.closed


@pytest.mark.parametrize("used", ["not at all", "sent to", "closed"])
def test_never_served_it_goes_at_once_and_not_when_garbage_is_collected(used: str) -> None:
    def rows() -> Iterator[int]:
        yield 1

    generator = rows()
    gc.disable()
    try:
        stream = Stream(generator)
        if used == "sent to":
            stream.send_nowait("a")
        elif used == "closed":
            stream.close()
        gone = weakref.ref(stream)
        del stream
        assert gone() is None
        with pytest.raises(StopIteration):
            next(generator)
    finally:
        gc.enable()


@pytest.mark.parametrize(
    "kind",
    [
        "iterator",
        "SDK's stream",
        "receive stream",
        "response",
        pytest.param(
            "started generator",
            marks=pytest.mark.skipif(
                sys.version_info < (3, 12),
                reason="Python 3.11 does not tell whether it has started",
            ),
        ),
    ],
)
async def test_never_served_what_cannot_be_closed_so_is_a_resource_warning(kind: str) -> None:
    source: Any = Source()
    if kind == "receive stream":
        source = trio.testing.memory_stream_one_way_pair()[1]
    elif kind == "SDK's stream":
        source = Answer()
    elif kind == "started generator":
        source = numbers()
        await anext(source)
    elif kind == "response":

        async def body() -> AsyncIterator[bytes]:
            yield b"x"

        request = httpx.Request("GET", "http://example.org/")
        source = httpx.Response(200, content=body(), request=request)
    stream = Stream(source)
    with pytest.warns(ResourceWarning, match=r"never served.*serve it, or enter it with"):
        del stream
    if hasattr(source, "aclose"):
        await source.aclose()


async def test_refused_at_construction_there_is_no_second_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match="ping must be"):
            Stream(Source(), ping=0)
        gc.collect()
