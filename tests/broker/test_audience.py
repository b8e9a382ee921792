"""`publish(audience=True)`: how many were there to hear of it, here and in other processes."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from tests.support.processes import Process
from tests.support.redis_server import RedisServer, redis_server
from trio_stream import Broker, Published, Stream, open_broker
from trio_stream.broker.contract.topics import Selection
from trio_stream.testing import connect

Clock = trio.testing.MockClock


@asynccontextmanager
async def listening(broker: Broker, *filters: str, count: int = 1) -> AsyncIterator[None]:
    """So many streams, at the head of these."""

    async def listen(*, task_status: trio.TaskStatus[None]) -> None:
        stream = Stream(broker.subscribe(*filters), hold_headers=False)
        async with connect(stream) as client:
            await client.receive_chunk()
            task_status.started()
            await client.read()

    async with trio.open_nursery() as nursery:
        for _ in range(count):
            await nursery.start(listen)
        await trio.testing.wait_all_tasks_blocked()
        yield
        nursery.cancel_scope.cancel()


async def test_of_one_process(autojump_clock: Clock) -> None:
    async with open_broker() as broker:
        nobody = await broker.publish("t", 1, audience=True)
        assert isinstance(nobody, Published)
        assert (nobody.here, nobody.everywhere) == (0, 0)
        async with listening(broker, "t", count=3), listening(broker, "*", "t", "u"):
            some = await broker.publish("t", 2, audience=True)
            assert (some.here, some.everywhere) == (4, 4)
            assert (await broker.publish("u", 2, audience=True)).here == 1
            assert (await broker.publish("a/b", 2, audience=True)).here == 0
            passing = await broker.publish("t", 3, keep=False, audience=True)
            assert passing == Published("", 4, 4)
        assert [event.id for event in (await broker.read("t")).events] == [nobody.id, some.id]


async def test_an_iterator_counts_while_it_waits(autojump_clock: Clock) -> None:
    async with open_broker() as broker, trio.open_nursery() as nursery:
        subscription = broker.subscribe("t")
        nursery.start_soon(subscription.__anext__)
        await trio.testing.wait_all_tasks_blocked()
        assert (await broker.publish("t", 1, audience=True)).here == 1
        # It has got that one, and does not wait for the next.
        await trio.testing.wait_all_tasks_blocked()
        assert (await broker.publish("t", 2, audience=True)).here == 0


async def test_what_is_known_already_has_its_own_id(autojump_clock: Clock) -> None:
    async with open_broker() as broker:
        first = await broker.publish("t", 1, once="k", audience=True)
        assert (await broker.publish("t", 1, once="k", audience=True)).id == first.id
        assert await broker.publish("t", 1, once="k", audience=False) == first.id


async def test_a_flag_is_a_flag() -> None:
    async with open_broker() as broker:
        with pytest.raises(TypeError, match="audience must be True or False"):
            await broker.publish("t", 1, audience=0)  # type: ignore[call-overload]
        assert (await broker.read("t")).events == []


@pytest.fixture
async def server() -> AsyncIterator[RedisServer]:
    async with redis_server() as running:
        yield running


async def until_counted(broker: Broker, topic: str, wanted: int) -> Published:
    """Publish until all have been counted: on a busy machine an answer may come too late."""
    with trio.fail_after(30):
        while True:
            answer = await broker.publish(topic, 1, audience=True)
            assert answer.everywhere is not None
            assert answer.everywhere <= wanted
            if answer.everywhere == wanted:
                return answer


async def test_on_redis_of_all(server: RedisServer) -> None:
    async with (
        open_broker(server.url) as one,
        open_broker(server.url) as two,
        open_broker(server.url) as three,
    ):
        async with listening(one, "t", count=2), listening(two, "*", count=3):
            for _ in range(3):  # asking who there is, and then knowing it
                assert (await until_counted(one, "t", 5)).here == 2
            assert (await until_counted(three, "t", 5)).here == 0
        assert (await three.publish("t", 3, audience=True)).everywhere == 0
        # Nothing of the asking is in the log.
        assert {event.topic for event in (await one.read("**")).events} == {"t"}
        assert not (await one.engine.read(Selection(["$audience"]), 0, 10)).records


async def test_who_is_gone_is_asked_no_more(server: RedisServer) -> None:
    async with open_broker(server.url) as one:
        async with open_broker(server.url) as two, listening(two, "t"):
            await until_counted(one, "t", 1)
        for _ in range(3):
            assert (await one.publish("t", 1, audience=True)).everywhere == 0


async def test_where_nobody_can_be_asked_it_is_published(server: RedisServer) -> None:
    async with open_broker(server.url) as broker:
        engine: Any = broker.engine
        with pytest.MonkeyPatch.context() as patch:
            patch.delattr(type(engine), "pass_on")
            answer = await broker.publish("t", 1, audience=True)
        assert answer.everywhere is None
        assert [event.id for event in (await broker.read("t")).events] == [answer.id]


PROGRAM = """
import sys
import trio
from trio_stream import open_broker

async def listen(events):
    async for event in events:
        pass

async def main():
    async with open_broker(sys.argv[1]) as broker:
        async with trio.open_nursery() as nursery:
            for _ in range(7):
                nursery.start_soon(listen, broker.subscribe("t"))
            print("listening", flush=True)

trio.run(main)
"""


async def test_in_a_process_of_its_own(server: RedisServer, tmp_path: Path) -> None:
    process = await Process.start([sys.executable, "-c", PROGRAM, server.url], tmp_path / "log")
    try:
        await process.wait_for_log("listening", count=1)
        async with open_broker(server.url) as broker:
            # It listens when it has read where the log ends.
            assert (await until_counted(broker, "t", 7)).here == 0
            assert (await broker.publish("other", 1, audience=True)).everywhere == 0
    finally:
        await process.kill()
