"""`send_many`: several events in one write, or none of them."""

import math
from typing import Any

import pytest
import trio
import trio.testing

from tests.stream.helpers import PRIMER, body_of, until_ended
from tests.support.hypercorn_here import HypercornHere
from tests.support.raw import AS_EVENT_SOURCE, read_to_end, read_until, send_request
from trio_stream import ServerSentEvent, Stream, encode, open_broker
from trio_stream.testing import connect

Clock = trio.testing.MockClock
VALUES = ["a", {"n": 1}, ServerSentEvent("b", event="own", id=7), encode("c"), b"d"]
BYTES = (
    b"event: tick\ndata: a\n\n"
    b'event: tick\ndata: {"n":1}\n\n'
    b"id: 7\nevent: own\ndata: b\n\n"
    b"data: c\n\n"
    b"event: tick\ndata: d\n\n"
)


async def send_many(stream: Stream, values: Any, nowait: bool, **options: Any) -> None:
    if nowait:
        stream.send_many_nowait(values, **options)
    else:
        await stream.send_many(values, **options)


@pytest.mark.parametrize("nowait", [False, True])
async def test_each_is_as_send_would_have_it(autojump_clock: Clock, nowait: bool) -> None:
    async def produce(stream: Stream) -> None:
        await stream.send("first")
        await stream.wait(1)
        await send_many(stream, iter(VALUES), nowait, event="tick")

    stream = Stream(produce)
    async with connect(stream) as client:
        assert await client.receive_chunk() == PRIMER + b"data: first\n\n"
        assert await client.receive_chunk() == BYTES  # in one write
        assert await client.read() == b""
    assert stream.statistics().events == 6


async def test_names_ids_and_retry_of_the_streams_own() -> None:
    async def produce(stream: Stream) -> None:
        await stream.send_many("ab"[n] for n in range(2))
        stream.event = lambda item: f"n{item}"
        await stream.send_many([1, 2])

    numbers = iter(range(10))
    body = await body_of(Stream(produce, event="e", ids=numbers.__next__))
    assert body == PRIMER + (
        b"id: 0\nevent: e\ndata: a\n\nid: 1\nevent: e\ndata: b\n\n"
        b"id: 2\nevent: n1\ndata: 1\n\nid: 3\nevent: n2\ndata: 2\n\n"
    )


async def test_of_other_formats() -> None:
    async def produce(stream: Stream) -> None:
        await stream.send_many([1, 2])

    assert await body_of(Stream(produce, format="ndjson")) == b"1\n2\n"


@pytest.mark.parametrize("nowait", [False, True])
async def test_one_that_cannot_be_sent_holds_back_all(nowait: bool) -> None:
    async def produce(stream: Stream) -> None:
        with pytest.raises(ValueError, match="NaN"):
            await send_many(stream, ["a", math.nan], nowait)
        with pytest.raises(TypeError, match="values are several, and this is one str"):
            await send_many(stream, "abc", nowait)
        with pytest.raises(TypeError, match="values are several, and this is one dict"):
            await send_many(stream, {"a": 1}, nowait)
        await send_many(stream, [], nowait)

    stream = Stream(produce)
    assert await body_of(stream) == PRIMER
    assert stream.statistics().events == 0


async def test_without_room_for_all_there_is_none_for_one(autojump_clock: Clock) -> None:
    stream = Stream(buffer_bytes=100)
    stream.send_nowait("x" * 60)
    with pytest.raises(trio.WouldBlock):
        stream.send_many_nowait(["a", "b", "c", "d"])
    stream.send_many_nowait(["a", "b"])
    with pytest.raises(RuntimeError, match="not served yet"):
        await stream.send_many(["y" * 80])
    assert stream.statistics().events == 3
    async with connect(stream) as client:
        stream.close()
        assert await client.read() == PRIMER + encode("x" * 60).data + b"data: a\n\ndata: b\n\n"


async def test_it_waits_for_room_and_cancelled_has_sent_none(autojump_clock: Clock) -> None:
    stream = Stream(buffer=1, ping=None)
    async with connect(stream, socket_buffer=1) as client:
        with trio.move_on_after(1):
            while True:  # until nothing more gets in
                await stream.send("x")
        sent = stream.statistics().events
        with trio.move_on_after(1) as scope:
            await stream.send_many(["a", "b"])
        assert scope.cancelled_caught
        assert stream.statistics().events == sent
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.send_many, ["c", "d"])
            await trio.testing.wait_all_tasks_blocked()
            for _ in range(sent):
                assert (await client.receive_event()).data == "x"
            assert [(await client.receive_event()).data for _ in range(2)] == ["c", "d"]
        assert stream.statistics().events == sent + 2
        stream.close()
        await client.read()


async def test_after_the_end_it_raises_as_send_does(autojump_clock: Clock) -> None:
    stream = Stream()
    async with connect(stream) as client:
        stream.close()
        with pytest.raises(trio.ClosedResourceError):
            await stream.send_many(["a"])
        await client.read()
    stream = Stream()
    async with connect(stream):
        pass
    await until_ended(stream)
    with pytest.raises(trio.BrokenResourceError):
        stream.send_many_nowait(["a"])


async def test_over_a_socket_it_is_one_chunk(autojump_clock: Clock) -> None:
    async def produce(stream: Stream) -> None:
        await stream.wait(1)
        await stream.send_many(["a", "b", "c"])
        await stream.wait(1)

    here = HypercornHere(Stream(produce))
    async with here.client, trio.open_nursery() as nursery:
        nursery.start_soon(here.run)
        await send_request(here.client, "/", *AS_EVENT_SOURCE, "connection: close")
        await read_until(here.client, b"retry: ")
        body = b"data: a\n\ndata: b\n\ndata: c\n\n"
        assert await here.client.receive_some() == b"%x\r\n%b\r\n" % (len(body), body)
        await read_to_end(here.client)


async def test_what_is_published_together_is_one_chunk_too(autojump_clock: Clock) -> None:
    async with open_broker() as broker:
        here = HypercornHere(Stream(broker.subscribe("t")))
        async with here.client, trio.open_nursery() as nursery:
            nursery.start_soon(here.run)
            await send_request(here.client, "/", *AS_EVENT_SOURCE, "connection: close")
            await read_until(here.client, b"retry: ")
            await trio.testing.wait_all_tasks_blocked()
            ids = await broker.publish_many("t", ["a", "b", "c"])
            pairs = zip(ids, ["a", "b", "c"], strict=True)
            body = "".join(f"id: {id}\ndata: {data}\n\n" for id, data in pairs).encode()
            assert await here.client.receive_some() == b"%x\r\n%b\r\n" % (len(body), body)
            nursery.cancel_scope.cancel()
