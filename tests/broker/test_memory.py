"""``memory://``: the contract, and what only this engine does."""

import gc
import logging
import multiprocessing
import time
from contextlib import suppress
from types import SimpleNamespace
from unittest.mock import patch

import hypercorn.config
import pytest
import trio
import trio.testing

from trio_stream.broker import Broker, open_broker
from trio_stream.broker.following.fanout import FanOut
from trio_stream.testing import check_broker


async def test_it_keeps_the_contract(autojump_clock: trio.testing.MockClock) -> None:
    await check_broker(lambda **options: open_broker("memory://", **options))


async def test_ids_of_an_earlier_process_are_older_than_all_of_the_next_ones() -> None:
    async with open_broker() as earlier:
        old = int(await earlier.publish("t", "x"))
    before = time.time()
    async with open_broker() as later:
        assert int(later.last_id) > old
        assert before - 1 < int(later.last_id) / 1e6 < time.time() + 1


@pytest.mark.parametrize(("workers", "warnings"), [(1, 0), (2, 1)])
async def test_it_warns_under_several_workers(
    workers: int,
    warnings: int,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = hypercorn.config.Config()
    config.workers = workers
    worker = SimpleNamespace(_kwargs={"config": config})
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: object())
    monkeypatch.setattr(multiprocessing, "current_process", lambda: worker)
    with caplog.at_level(logging.WARNING, "trio_stream"):
        async with open_broker():
            pass
    assert len(caplog.records) == warnings


async def test_memory_is_bounded_over_all_topics() -> None:
    async with open_broker(memory_bytes=100_000) as broker:
        for n in range(2000):
            await broker.publish(f"t/{n}", "x" * 1000)
        statistics = broker.statistics()
        assert statistics.bytes <= 100_000
        assert statistics.events < 100
        assert statistics.topics <= statistics.events
        # What is gone is a gap, also on topics of which nothing is left, and only there.
        last = await broker.publish("t/0", "again")
        assert [e.id async for e in _first(broker.subscribe("t/0", after="earliest"))] == [last]


async def _first(subscription):  # type: ignore[no-untyped-def]
    yield await anext(subscription)


async def test_what_is_too_old_gives_its_memory_back(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_broker(history_age=10) as broker:
        for n in range(100):
            await broker.publish(f"t/{n}", "x")
        assert broker.statistics().events == 100
        await trio.sleep(20)
        assert (broker.statistics().events, broker.statistics().topics) == (0, 0)


async def test_a_failure_in_the_block_comes_out_as_it_is() -> None:
    with pytest.raises(ZeroDivisionError):
        async with open_broker():
            raise ZeroDivisionError


async def test_cancelling_the_block_is_nothing_special() -> None:
    with trio.CancelScope() as scope:
        async with open_broker() as broker:
            subscription = broker.subscribe("t", presence="ann")
            scope.cancel()
            await anext(subscription)
    assert scope.cancelled_caught


def test_unknown_urls_are_refused() -> None:
    with pytest.raises(ValueError, match="no engine has the URL"):
        trio.run(_open, "http://localhost")


async def _open(url: str) -> None:
    async with open_broker(url):
        pass


async def test_who_drops_an_iteration_has_left() -> None:
    async with open_broker(presence_grace=0) as broker:
        await broker.publish("t", 1)
        subscription = broker.subscribe("t", after="earliest")
        await anext(subscription)
        assert broker.statistics().subscriptions == 1
        del subscription
        gc.collect()
        assert broker.statistics().subscriptions == 0


async def test_who_drops_one_with_presence_is_warned_and_leaves() -> None:
    async with open_broker(presence_grace=0) as broker:
        await broker.publish("t", 1)
        subscription = broker.subscribe("t", after="earliest", presence="ann")
        await anext(subscription)
        assert [member.name for member in await broker.presence("t")] == ["ann"]
        with pytest.warns(ResourceWarning, match="'ann' and not closed"):
            del subscription
        await trio.testing.wait_all_tasks_blocked()
        assert await broker.presence("t") == []


async def test_publishers_that_wait_for_room_are_let_go_when_it_is_closed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    ended = 0

    async def publisher(broker: Broker) -> None:
        nonlocal ended
        with suppress(trio.ClosedResourceError):
            while True:
                await broker.publish_many("t", range(1000))
        ended += 1

    async with trio.open_nursery() as nursery:
        async with open_broker() as broker:
            subscription = broker.subscribe("t")
            broker._feed.fanout.add(subscription)  # so that there is something to hand out
            with patch.object(FanOut, "_hand_out", never):
                nursery.start_soon(publisher, broker)
                nursery.start_soon(publisher, broker)
                await trio.sleep(1)
                assert broker._feed.fanout.crowded
                assert ended == 0
        with pytest.raises(trio.ClosedResourceError):
            await broker.publish("t", 1)
    assert ended == 2


async def never(*_: object) -> None:
    await trio.sleep_forever()
