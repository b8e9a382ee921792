"""Clients are told that the engine is away for long, and that it is back, if that is asked."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio
import trio.testing

from tests.broker.test_map import connected
from tests.support.redis_server import redis_server
from trio_stream import (
    Broker,
    BrokerHealth,
    ResumableRun,
    ServerSentEvent,
    Stream,
    open_broker,
)
from trio_stream.broker.memory import MemoryEngine
from trio_stream.testing import Client, connect

Clock = trio.testing.MockClock


class Leaving(MemoryEngine):
    """An engine that is away when its test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.away_since: float | None = None

    def leave(self) -> None:
        self.away_since = trio.current_time()

    def come_back(self) -> None:
        self.away_since = None

    def health(self) -> BrokerHealth:
        if self.away_since is None:
            return BrokerHealth(reachable=True)
        return BrokerHealth(False, trio.current_time() - self.away_since, "it has left")


@pytest.fixture
def engine() -> Leaving:
    return Leaving()


@pytest.fixture
async def broker(engine: Leaving) -> AsyncIterator[Broker]:
    async with open_broker(engine) as broker:
        yield broker


async def told(client: Client) -> tuple[str | None, Any]:
    event = await client.receive_event()
    assert event.id is None
    return event.event, event.json()


async def test_after_the_stated_time_and_when_it_is_back(
    autojump_clock: Clock, broker: Broker, engine: Leaving
) -> None:
    async with connect(Stream(broker.subscribe("t", stale_after=10))) as client:
        await trio.sleep(1.1)
        engine.leave()
        left = trio.current_time()
        name, data = await told(client)
        assert (name, data["seconds"]) == ("stale", pytest.approx(10, abs=0.3))
        assert trio.current_time() - left == pytest.approx(10, abs=0.3)
        await trio.sleep(50)
        engine.come_back()
        name, data = await told(client)
        assert (name, data["seconds"]) == ("fresh", pytest.approx(60, abs=0.6))
        engine.leave()
        assert (await told(client))[0] == "stale"


async def test_each_is_told_at_its_own_time_and_nobody_who_has_not_asked(
    autojump_clock: Clock, broker: Broker, engine: Leaving
) -> None:
    async with (
        connect(Stream(broker.subscribe("t", stale_after=5))) as soon,
        connect(Stream(broker.subscribe("t", stale_after=60))) as late,
        connect(Stream(broker.subscribe("t"))) as never,
    ):
        engine.leave()
        assert (await told(soon))[0] == "stale"
        await trio.sleep(10)
        engine.come_back()
        assert (await told(soon))[0] == "fresh"
        await broker.publish("t", "next")
        for client in (soon, late, never):
            assert (await client.receive_event()).data == "next"


async def test_who_comes_meanwhile_is_told_too(
    autojump_clock: Clock, broker: Broker, engine: Leaving
) -> None:
    engine.leave()
    await trio.sleep(30)
    async with connect(Stream(broker.subscribe("t", stale_after=10))) as client:
        assert (await told(client))[0] == "stale"
        engine.come_back()
        assert (await told(client))[0] == "fresh"


async def test_who_has_no_room_is_told_when_he_has(
    autojump_clock: Clock, broker: Broker, engine: Leaving
) -> None:
    stream = Stream(broker.subscribe("t", stale_after=5), buffer=2, stall_timeout=None)
    async with connect(stream) as client:
        await trio.testing.wait_all_tasks_blocked()
        client.stall()
        stream.send_nowait("x" * 2**18)  # more than its socket takes
        await trio.testing.wait_all_tasks_blocked()
        stream.send_nowait("a")
        stream.send_nowait("b")
        engine.leave()
        await trio.sleep(30)
        client.resume()
        texts = [(await client.receive_event()).data for _ in range(3)]
        assert texts[1:] == ["a", "b"]
        assert (await told(client))[0] == "stale"


async def test_of_many_each_is_told_once(
    autojump_clock: Clock, broker: Broker, engine: Leaving
) -> None:
    streams = [Stream(broker.subscribe("t", stale_after=5)) for _ in range(200)]
    async with trio.open_nursery() as nursery:
        for stream in streams:
            await nursery.start(connected, stream)
        engine.leave()
        await trio.sleep(10)
        engine.come_back()
        await trio.sleep(1)
        assert [stream.statistics().events for stream in streams] == [2] * 200
        nursery.cancel_scope.cancel()


async def test_a_resumable_run_tells_it_too(
    autojump_clock: Clock, broker: Broker, engine: Leaving
) -> None:
    async def produce(run: ResumableRun) -> None:
        await trio.sleep_forever()

    async with connect(Stream(broker.resumable("run", produce, stale_after=5))) as client:
        engine.leave()
        assert (await told(client))[0] == "stale"
        engine.come_back()
        assert (await told(client))[0] == "fresh"


async def test_of_a_redis_that_is_killed_and_started_again() -> None:
    async with (
        redis_server() as server,
        open_broker(server.url) as broker,
        connect(Stream(broker.subscribe("t", stale_after=0.3))) as client,
    ):

        async def following() -> ServerSentEvent:
            """But for gaps: Redis may have lost what was not on its disk yet."""
            while (event := await client.receive_event()).event == "gap":
                pass
            return event

        await server.crash()
        assert (await following()).event == "stale"
        await server.start()
        assert (await following()).event == "fresh"
        await broker.publish("t", "after")
        assert (await following()).data == "after"
