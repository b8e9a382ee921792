"""What is told of topics: subscriptions, gaps, publishing, the fan-out, history, the engine."""

from pathlib import Path

import trio
import trio.testing

from tests.broker.test_stale import Leaving
from tests.metrics.figures import figure
from trio_stream import ResumableRun, Stream, open_broker
from trio_stream.testing import connect

Clock = trio.testing.MockClock


async def of(name: str, engine: str = "memory") -> float:
    return await figure(f"broker_{name}", trio_stream_engine=engine)


async def test_subscriptions_and_what_they_get(autojump_clock: Clock) -> None:
    published, delivered = await of("published_events_total"), await of("delivered_events_total")
    turns = await of("fan_out_turns_total")
    async with open_broker() as broker:
        assert await of("subscriptions") == 0
        first, second = (Stream(broker.subscribe("t")) for _ in range(2))
        async with connect(first), connect(second):
            await trio.testing.wait_all_tasks_blocked()
            assert (await of("subscriptions"), await of("behind_subscriptions")) == (2, 0)
            for n in range(3):
                await broker.publish("t", n)
                await trio.testing.wait_all_tasks_blocked()
            assert await of("history_topics") == 1
            assert await of("history_events") == 3
            assert await of("history_size_bytes") > 0
        assert await of("subscriptions") == 0
    assert await of("published_events_total") - published == 3  # also when it is closed
    assert await of("delivered_events_total") - delivered == 6
    assert await of("fan_out_turns_total") - turns == 3
    assert await of("history_events") == 0


async def test_who_is_slow_and_what_he_misses(autojump_clock: Clock) -> None:
    before = {name: await of(f"{name}_total") for name in ("fallen_behind", "gaps")}
    async with open_broker(history=5) as broker:
        subscription = broker.subscribe("t")
        stream = Stream(subscription, buffer=1, stall_timeout=None)
        async with connect(stream) as client:
            await trio.testing.wait_all_tasks_blocked()
            client.stall()
            await broker.publish("t", "x" * 2**18)
            for n in range(10):
                await broker.publish("t", n)
                await trio.testing.wait_all_tasks_blocked()
            assert await of("behind_subscriptions") == 1
            client.resume()
            while (await client.receive_event()).event != "gap":
                pass
            await trio.sleep(1)
            assert await of("behind_subscriptions") == 0
    counted = subscription.statistics()
    assert counted.fell_behind > 0
    assert await of("fallen_behind_total") - before["fallen_behind"] == counted.fell_behind
    assert await of("gaps_total") - before["gaps"] == counted.gaps == 1


async def test_events_that_newer_ones_replaced() -> None:
    conflated = await of("conflated_events_total")
    async with open_broker() as broker:
        for n in range(4):
            await broker.publish("t", n)
        latest = broker.subscribe("t", after="earliest", overflow="latest")
        assert (await anext(latest)).data == "3"
    assert await of("conflated_events_total") - conflated == 3


async def test_an_iterator_that_is_dropped_is_no_subscription_any_more() -> None:
    async with open_broker() as broker:
        async with broker.subscribe("t", after="earliest") as events:
            await broker.publish("t", 1)
            await anext(events)
            assert await of("subscriptions") == 1
        assert (await of("subscriptions"), await of("behind_subscriptions")) == (0, 0)


async def test_how_long_a_disk_takes(tmp_path: Path) -> None:
    count = await of("publish_duration_seconds_count", "sqlite")
    async with open_broker(f"sqlite:///{tmp_path}/log.db") as broker:
        for n in range(3):
            await broker.publish("t", n)
    assert await of("publish_duration_seconds_count", "sqlite") - count == 3
    assert await of("publish_duration_seconds_sum", "sqlite") > 0


async def test_an_engine_that_is_away(autojump_clock: Clock) -> None:
    engine = Leaving()
    async with open_broker(engine):
        await trio.sleep(1)
        assert await of("engine_connected", "leaving") == 1
        engine.leave()
        await trio.sleep(40)
        assert await of("engine_connected", "leaving") == 0
        assert await of("engine_away_seconds", "leaving") == 40
        engine.come_back()
        await trio.sleep(1)
        assert await of("engine_connected", "leaving") == 1
        assert await of("engine_away_seconds", "leaving") == 0


async def test_resumable_runs(autojump_clock: Clock) -> None:
    async def produce(run: ResumableRun) -> None:
        await trio.sleep_forever()

    async with open_broker() as broker:
        async with connect(Stream(broker.resumable("run", produce))):
            await trio.testing.wait_all_tasks_blocked()
            assert await of("resumable_runs") == 1
        await broker.stop_resumable("run")
        await trio.sleep(1)
        assert await of("resumable_runs") == 0


async def test_who_iterates_does_not_fall_behind_by_waiting_for_each_event() -> None:
    before = await of("fallen_behind_total")
    async with open_broker() as broker:
        subscription = broker.subscribe("t")
        async with trio.open_nursery() as nursery:

            async def read() -> None:
                for n in range(3):
                    assert (await anext(subscription)).json() == n

            nursery.start_soon(read)
            for n in range(3):
                await trio.testing.wait_all_tasks_blocked()
                await broker.publish("t", n)
        assert subscription.statistics().fell_behind == 0
    assert await of("fallen_behind_total") == before
