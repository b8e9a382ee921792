"""What can be said of an event as it is published: once, not to be kept, not for its sender."""

import re
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from tests.broker.test_own_engine import Eager
from tests.support.redis_server import RedisServer, redis_server
from trio_stream import (
    Broker,
    EventSource,
    Stream,
    Subscription,
    open_broker,
    serve,
    stream_app,
)
from trio_stream.testing import connect


@pytest.fixture
async def server() -> AsyncIterator[RedisServer]:
    async with redis_server() as running:
        yield running


class Texts(list[str]):
    """What a subscription's events say."""

    def __init__(self) -> None:
        super().__init__()
        self._changed = trio.Event()

    async def collect(self, events: Subscription) -> None:
        async for event in events:
            self.append(event.data)
            self._changed.set()

    async def until(self, text: str) -> None:
        with trio.fail_after(30):
            while text not in self:
                self._changed = trio.Event()
                await self._changed.wait()


async def test_what_was_published_once_outlives_the_process(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/log.db"
    async with open_broker(url) as broker:
        first = await broker.publish("t", 1, once="order-17")
        # Ids that went to what was known already are no hole in a block.
        async with trio.open_nursery() as nursery:
            for n in range(9):
                once = "order-17" if n % 3 == 1 else None
                nursery.start_soon(lambda n=n, once=once: broker.publish("t", n, once=once))
    async with open_broker(url) as broker:
        assert await broker.publish("t", 2, once="order-17") == first
        assert await broker.find_once("t", "order-17") == first
        events = broker.subscribe("t", after=first)
        assert sorted([(await anext(events)).data for _ in range(6)]) == [
            "0",
            "2",
            "3",
            "5",
            "6",
            "8",
        ]


async def test_two_processes_publish_once(server: RedisServer) -> None:
    async with open_broker(server.url) as one, open_broker(server.url) as two:
        ids: set[str] = set()

        async def publish(broker: Broker) -> None:
            ids.add(await broker.publish("t", "x", once="k"))

        async with trio.open_nursery() as nursery:
            for broker in (one, two) * 10:
                nursery.start_soon(publish, broker)
        assert len(ids) == 1


async def test_what_is_not_kept_reaches_other_processes(server: RedisServer) -> None:
    async with open_broker(server.url) as one, open_broker(server.url) as two:
        texts = Texts()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(texts.collect, two.subscribe("t"))
            async with connect(Stream(two.subscribe("t"))) as client:
                await one.publish("t", "kept")
                assert (await client.receive_event()).data == "kept"
                await one.publish("t", "typing", keep=False)
                assert await client.receive_chunk() == b"data: typing\n\n"  # no id to resume from
            await texts.until("typing")
            nursery.cancel_scope.cancel()
        assert await server.command("EXISTS", "{trio_stream}:t:u") == b":0\r\n"
        async with open_broker(server.url) as three:
            await three.publish("t", "later")
            events = three.subscribe("t", after="earliest")
            assert [(await anext(events)).data for _ in range(2)] == ["kept", "later"]


async def test_what_passed_while_a_process_was_cut_off_is_too_late(server: RedisServer) -> None:
    async with open_broker(server.url) as one, open_broker(server.url) as two:
        texts = Texts()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(texts.collect, two.subscribe("t"))
            await trio.testing.wait_all_tasks_blocked()
            await one.publish("t", 0)
            await texts.until("0")
            link = two.engine._reading  # type: ignore[attr-defined]
            connect, published = link._connect, trio.Event()

            async def connect_later() -> Any:
                await published.wait()
                return await connect()

            link._connect = connect_later
            link.drop("a test")
            await one.publish("t", "typing", keep=False)
            await one.publish("t", 1)
            published.set()
            await texts.until("1")
            await one.publish("t", "kept", once="k")
            await texts.until("kept")  # by now it waits for what is new
            await one.publish("t", "typing again", keep=False)
            await texts.until("typing again")
            nursery.cancel_scope.cancel()
        assert texts == ["0", "1", "kept", "typing again"]


async def test_the_live_stream_is_bounded_by_what_passes_too(server: RedisServer) -> None:
    async with open_broker(server.url, live_bytes=100_000) as broker:
        for _ in range(100):
            await broker.publish("t", "x" * 10_000, keep=False)
        length = await server.command("XLEN", "{trio_stream}:live")
        assert int(length[1:]) < 15


async def test_an_iterator_that_is_busy_is_given_the_newest_of_what_passes(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_broker() as broker, broker.subscribe("t") as events:
        with trio.move_on_after(1):
            await anext(events)
        for n in range(300):
            await broker.publish("t", n, keep=False)
        await broker.publish("t", "kept")
        texts = [(await anext(events)).data for _ in range(257)]
        assert texts == [*map(str, range(44, 300)), "kept"]
        await broker.publish("other", "x", keep=False)
        with trio.move_on_after(1) as waiting:
            await anext(events)
        assert waiting.cancelled_caught


async def test_a_client_without_room_does_not_get_what_passes_and_no_gap(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_broker() as broker:
        stream = Stream(broker.subscribe("t"), buffer=1)
        async with connect(stream, socket_buffer=2**16) as client:
            await trio.testing.wait_all_tasks_blocked()
            for n in range(5):
                await broker.publish("t", "x" * 2**18)
                await broker.publish("t", f"typing {n}", keep=False)
                await trio.testing.wait_all_tasks_blocked()
            found = [(await client.receive_event()) for _ in range(5)]
            assert [event.event for event in found] == ["message"] * 5
            kept = [event for event in found if event.data.startswith("x")]
            assert len(kept) + sum(event.data.startswith("typing") for event in found) == 5


@pytest.mark.parametrize("engine_has_not", [{"keep": False}, {"once": "x"}])
async def test_an_older_engine_says_what_it_has_not(engine_has_not: dict[str, Any]) -> None:
    async with open_broker(Eager()) as broker:
        with pytest.raises(TypeError, match="needs more of an engine than Eager has: pass_on, "):
            await broker.publish("t", 1, **engine_has_not)
        with pytest.raises(TypeError, match="once= needs more"):
            await broker.find_once("t", "x")


async def test_a_stream_tells_its_id_by_a_header() -> None:
    async def source(stream: Stream) -> None:
        await stream.send("x")

    stream = Stream(source, tell_id="header")
    async with connect(stream) as client:
        await client.receive_event()
        assert client.headers["x-stream-id"] == stream.id
    assert stream.id is not None
    assert re.fullmatch(r"[\w-]{22}", stream.id)
    assert (b"x-stream-id", stream.id.encode()) in stream.headers
    assert Stream(source).id is None
    ids = {Stream(source, tell_id="header", format="text").id for _ in range(100)}
    assert len(ids) == 100


@pytest.mark.parametrize("retry", [None, False, 500])
async def test_a_stream_tells_its_id_by_its_first_event(retry: Any) -> None:
    stream = Stream(["x"], tell_id="event", retry=retry)
    async with connect(stream) as client:
        event = await client.receive_event()
        assert (event.event, event.json()) == ("stream", {"id": stream.id})
        assert (await client.receive_event()).data == "x"
    with pytest.raises(TypeError, match="tell_id='event'= needs format='sse'"):
        Stream(["x"], tell_id="event", format="text")


async def test_a_page_leaves_itself_out_over_a_socket() -> None:
    async with open_broker() as broker, trio.open_nursery() as nursery:

        @stream_app(tell_id="event")
        async def app(stream: Stream) -> Any:
            return broker.subscribe("room")

        options = {"bind": "127.0.0.1:0", "shutdown_trigger": trio.sleep_forever}
        [address] = await nursery.start(partial(serve, app, **options))
        with trio.fail_after(60):
            async with EventSource(address) as one, EventSource(address) as two:
                me = (await anext(one)).json()["id"]
                await anext(two)
                await broker.publish("room", "typing", but=me, keep=False)
                await broker.publish("room", "mine", but=me)
                await broker.publish("room", "for all")
                assert (await anext(one)).data == "for all"
                assert [(await anext(two)).data for _ in range(3)] == ["typing", "mine", "for all"]
        nursery.cancel_scope.cancel()
