"""Seeing the last bytes of a stream: what is seen was written, and nothing else changes."""

from functools import partial
from typing import Any

import pytest
import trio
import trio.testing

from tests.support.raw import EVENT_SOURCE
from trio_stream import EventSource, Stream, encode, open_broker, open_streams, serve
from trio_stream.testing import connect

Clock = trio.testing.MockClock


async def forever(stream: Stream) -> None:
    await trio.sleep_forever()


async def test_the_last_bytes_are_those_that_the_client_was_sent(autojump_clock: Clock) -> None:
    stream = Stream(forever, ping=None)
    async with connect(stream, headers=EVENT_SOURCE) as client:
        stream.send_nowait("before")
        await client.receive_event()
        (seen,) = open_streams()
        with seen.tapped() as tap, seen.tapped() as same:
            assert tap is same
            assert tap.last == b""
            stream.send_nowait("one")
            stream.send_nowait("two", event="told")
            await client.receive_event()
            await client.receive_event()
            assert tap.last == b"data: one\n\nevent: told\ndata: two\n\n"
            stream.send_nowait("x" * 10_000)
            await client.receive_event()
            assert tap.last == b"x" * 2046 + b"\n\n"
        stream.send_nowait("after")
        assert (await client.receive_event()).data == "after"
        assert b"after" not in tap.last
        with seen.tapped() as fresh:
            assert fresh.last == b""


async def test_a_stream_that_has_ended_can_be_left(autojump_clock: Clock) -> None:
    stream = Stream(forever)
    async with connect(stream, headers=EVENT_SOURCE) as client:
        (seen,) = open_streams()
        with seen.tapped() as tap:
            stream.send_nowait("last")
            stream.close()
            await client.read()
            assert tap.last.endswith(b"data: last\n\n")


@pytest.mark.parametrize("source", ["sent", "fast", "topic", "to all"])
async def test_no_event_is_lost_or_overtaken_where_it_begins_and_ends(source: str) -> None:
    """On Hypercorn, where events go past the writer while nobody looks."""
    count = 3000
    streams: list[Stream] = []

    async def send(stream: Stream) -> None:
        for n in range(count):
            await stream.send(n)

    async def numbers() -> Any:
        for n in range(count):
            yield str(n)

    async def to_all(stream: Stream) -> None:
        for n in range(count):
            while Stream.send_to_all_nowait([stream], encode(n)).full:
                await stream.wait(0.001)
            await trio.lowlevel.checkpoint()

    async with open_broker(history=count) as broker, trio.open_nursery() as nursery:

        async def app(scope: Any, receive: Any, send_: Any) -> None:
            made = {
                "sent": lambda: Stream(send),
                "fast": lambda: Stream(numbers()),
                "topic": lambda: Stream(broker.subscribe("numbers")),
                "to all": lambda: Stream(to_all),
            }
            streams.append(made[source]())
            await streams[-1](scope, receive, send_)

        [url] = await nursery.start(partial(serve, app, bind="127.0.0.1:0"))
        got: list[str] = []
        sizes: set[int] = set()
        with trio.fail_after(60):
            async with EventSource(url) as events:
                nursery.start_soon(publish, broker, count if source == "topic" else 0, streams)
                nursery.start_soon(tap_again_and_again, got, count, sizes)
                while len(got) < count:
                    got.append((await events.receive()).data)
        assert got == [str(n) for n in range(count)]
        assert max(sizes) > 0
        nursery.cancel_scope.cancel()


async def publish(broker: Any, count: int, streams: list[Stream]) -> None:
    while count and not broker.topics():  # until it is subscribed to
        await trio.sleep(0.001)
    for n in range(count):
        await broker.publish("numbers", n)


async def tap_again_and_again(got: list[str], count: int, sizes: set[int]) -> None:
    while len(got) < count:
        for seen in open_streams():
            with seen.tapped() as tap:
                await trio.sleep(0.002)
                sizes.add(len(tap.last))
        await trio.sleep(0.001)
