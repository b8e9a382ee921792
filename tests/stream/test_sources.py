"""What may be a source, and what is told to whoever hands over something else."""

import itertools
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import trio
import trio.testing

from tests.stream.helpers import data_of, events_of
from tests.support.tasks import NothingLeft
from trio_stream import EncodedEvent, ServerSentEvent, Stream, encode
from trio_stream.stream.source import open_source
from trio_stream.testing import connect


@pytest.mark.parametrize("source", ["text", b"bytes", bytearray(b"x"), memoryview(b"x")])
def test_text_and_bytes_are_one_value(source: Any) -> None:
    with pytest.raises(TypeError, match=r"hand over \[value\], a list, to send it as one event"):
        Stream(source)


@pytest.mark.parametrize(
    "source", [{"a": 1}, OrderedDict(), ServerSentEvent("x"), EncodedEvent(b"x")]
)
def test_mappings_and_events_are_one_event(source: Any) -> None:
    with pytest.raises(TypeError, match=r"is one event, not a source.*hand over \[value\]"):
        Stream(source)


@pytest.mark.parametrize("source", [5, 1.5, object(), True])
def test_what_nothing_can_be_taken_from_is_refused(source: Any) -> None:
    with pytest.raises(TypeError, match=r"cannot stream a \w+: hand over a callback"):
        Stream(source)


def test_the_end_that_is_sent_into_is_refused() -> None:
    send, receive = trio.open_memory_channel[int](1)
    ours, _ = trio.testing.memory_stream_one_way_pair()
    for wrong in (send, (send, receive), ours):
        with pytest.raises(TypeError, match=r"an end that is sent into .* hand over the other"):
            Stream(wrong)
    both, _ = trio.testing.memory_stream_pair()
    assert isinstance(both, trio.abc.SendStream)
    open_source(both)
    open_source(receive)


def test_a_stream_is_no_source() -> None:
    with pytest.raises(TypeError, match="hand over its own source"):
        Stream(Stream())


async def test_an_async_callback() -> None:
    async def callback(stream: Stream) -> None:
        await stream.send("a")

    assert await data_of(Stream(callback)) == ["a"]


async def test_a_sync_callback_that_starts_tasks() -> None:
    async def task(stream: Stream, value: str) -> None:
        await stream.send(value)

    def callback(stream: Stream) -> None:
        stream.send_nowait("first")
        stream.start_soon(task, stream, "second")

    assert await data_of(Stream(callback)) == ["first", "second"]


async def test_a_callable_object() -> None:
    class Callback:
        async def __call__(self, stream: Stream) -> None:
            await stream.send("a")

    assert await data_of(Stream(Callback())) == ["a"]


async def test_a_callback_that_is_an_async_generator() -> None:
    async def callback(stream: Stream) -> AsyncIterator[str]:
        yield "a"
        await stream.send("b")
        yield "c"

    assert await data_of(Stream(callback)) == ["a", "b", "c"]


async def test_a_callback_that_is_a_generator() -> None:
    def callback(stream: Stream) -> Iterator[str]:
        yield "a"
        yield "b"

    assert await data_of(Stream(callback)) == ["a", "b"]


@pytest.mark.parametrize("source", [["0", "1"], ("0", "1"), range(2)])
async def test_lists_tuples_and_ranges_need_no_thread(
    source: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trio.to_thread, "run_sync", None)
    assert await data_of(Stream(source)) == ["0", "1"]


async def test_an_empty_source_is_an_empty_stream() -> None:
    assert await data_of(Stream([])) == []


async def test_none_is_a_value_like_any_other() -> None:
    assert await data_of(Stream([None, 0, False, "", []])) == ["null", "0", "false", "", "[]"]


async def test_each_value_may_be_an_event() -> None:
    source = [ServerSentEvent("a", event="x", id="1"), encode("b", event="y"), "c"]
    events = await events_of(Stream(source))
    assert [(event.data, event.event, event.id) for event in events] == [
        ("a", "x", "1"),
        ("b", "y", "1"),
        ("c", "message", "1"),
    ]


async def test_an_async_iterable_that_is_no_generator() -> None:
    class Countdown:
        def __init__(self, count: int) -> None:
            self.count = count

        def __aiter__(self) -> "Countdown":
            return self

        async def __anext__(self) -> int:
            if not self.count:
                raise StopAsyncIteration
            self.count -= 1
            return self.count

    assert await data_of(Stream(Countdown(3))) == ["2", "1", "0"]


async def test_an_object_that_is_iterable_both_ways_is_iterated_asynchronously() -> None:
    class Both:
        def __iter__(self) -> Iterator[str]:
            raise AssertionError

        async def __aiter__(self) -> AsyncIterator[str]:
            yield "a"

    assert await data_of(Stream(Both())) == ["a"]


async def test_a_memory_channel(no_task_left: NothingLeft) -> None:
    send, receive = trio.open_memory_channel[str](10)
    for letter in "abc":
        send.send_nowait(letter)
    async with connect(Stream(receive, hold_headers=False)) as client:
        assert [(await client.receive_event()).data for _ in range(3)] == ["a", "b", "c"]
        await send.send("d")
        assert (await client.receive_event()).data == "d"
        send.close()
        assert await client.read() == b""
        assert client.ended == "complete"
    await no_task_left()


async def test_a_memory_channel_is_closed_when_the_client_leaves() -> None:
    send, receive = trio.open_memory_channel[str](0)
    async with connect(Stream(receive, hold_headers=False)):
        pass
    with pytest.raises(trio.BrokenResourceError):
        await send.send("x")


async def test_a_channel_that_is_not_read_on_holds_its_senders_back() -> None:
    send, receive = trio.open_memory_channel[int](0)
    async with connect(Stream(receive, buffer=3), socket_buffer=1) as client:
        for sent in itertools.count():
            with trio.move_on_after(0.05) as scope:
                await send.send(sent)
            if scope.cancelled_caught:
                break
        assert sent <= 3 + 3 + 1
        client.disconnect()
        send.close()


async def test_a_receive_channel_of_another_kind() -> None:
    class Letters(trio.abc.ReceiveChannel[str]):
        def __init__(self) -> None:
            self.letters = iter("ab")
            self.closed = False

        async def receive(self) -> str:
            await trio.lowlevel.checkpoint()
            for letter in self.letters:
                return letter
            raise trio.EndOfChannel

        async def aclose(self) -> None:
            self.closed = True

    source = Letters()
    assert await data_of(Stream(source)) == ["a", "b"]
    assert source.closed


async def test_a_receive_stream_chunk_by_chunk() -> None:
    send, receive = trio.testing.memory_stream_one_way_pair()
    async with connect(Stream(receive, hold_headers=False)) as client:
        await send.send_all("café".encode()[:-1])
        assert (await client.receive_event()).data == "caf"
        await send.send_all("é".encode()[-1:])
        assert (await client.receive_event()).data == "é"
        await send.send_all(b"cut \xc3")
        await send.aclose()
        assert [event.data async for event in client.events()] == ["cut ", "\ufffd"]


async def test_a_receive_stream_as_bytes() -> None:
    send, receive = trio.testing.memory_stream_one_way_pair()
    async with connect(Stream(receive, format="bytes", hold_headers=False)) as client:
        await send.send_all(b"\x00\xff")
        assert await client.receive_chunk() == b"\x00\xff"
        await send.aclose()
        assert client.headers["content-type"] == "application/octet-stream"
        assert await client.read() == b""


async def test_a_receive_stream_is_closed_when_the_client_leaves() -> None:
    _, receive = trio.testing.memory_stream_one_way_pair()
    async with connect(Stream(receive, hold_headers=False)):
        pass
    with pytest.raises(trio.ClosedResourceError):
        await receive.receive_some()


async def test_the_output_of_a_process(no_task_left: NothingLeft) -> None:
    process = await trio.lowlevel.open_process(["printf", "one\\ntwo"], stdout=-1)
    assert process.stdout is not None
    assert "".join(await data_of(Stream(process.stdout))) == "one\ntwo"
    await process.wait()
