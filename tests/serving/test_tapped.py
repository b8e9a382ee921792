"""Seeing the last bytes of a stream: what is seen was written, and nothing else changes."""

from collections.abc import AsyncIterator
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
    looked_at = trio.Event()

    async def send(stream: Stream) -> None:
        await looked_at.wait()
        for n in range(count):
            await stream.send(n)

    async def numbers() -> AsyncIterator[str]:
        await looked_at.wait()
        for n in range(count):
            yield str(n)

    async def to_all(stream: Stream) -> None:
        await looked_at.wait()
        for n in range(count):
            while Stream.send_to_all_nowait([stream], encode(n)).full:
                await stream.wait(0.001)
            await trio.lowlevel.checkpoint()

    async with open_broker(history=count) as broker, trio.open_nursery() as nursery:

        async def app(scope: Any, receive: Any, respond: Any) -> None:
            made = {
                "sent": lambda: send,
                "fast": numbers,
                "to all": lambda: to_all,
                "topic": lambda: broker.subscribe("numbers", after="earliest"),
            }
            await Stream(made[source]())(scope, receive, respond)

        async def publish() -> None:
            await looked_at.wait()
            for n in range(count):
                await broker.publish("numbers", n)

        async def look_again_and_again() -> None:
            while True:
                await trio.lowlevel.checkpoint()
                for seen in open_streams():
                    with seen.tapped() as tap:
                        looked_at.set()
                        while not tap.last:
                            await trio.sleep(0.001)
                    await trio.sleep(0.001)

        [url] = await nursery.start(partial(serve, app, bind="127.0.0.1:0"))
        got = []
        with trio.fail_after(30):
            async with EventSource(url) as events:
                nursery.start_soon(publish)
                nursery.start_soon(look_again_and_again)
                while len(got) < count:
                    got.append((await events.receive()).data)
        assert got == [str(n) for n in range(count)]
        nursery.cancel_scope.cancel()
