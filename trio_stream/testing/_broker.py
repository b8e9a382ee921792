"""`check_broker`: whether an engine keeps the contract that every broker relies on."""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import aclosing

import trio

from ..broker import Subscription, presence_topic
from ..checks import check_callable
from ._broker_forgetting import FORGETTING_CHECKS
from ._broker_gaps import GAP_CHECKS
from ._broker_leases import LEASE_CHECKS
from ._broker_presence import PRESENCE_CHECKS
from ._broker_principals import PRINCIPAL_CHECKS
from ._broker_publishing import PUBLISHING_CHECKS
from ._broker_reading import READING_CHECKS
from ._broker_views import VIEW_CHECKS
from ._expect import Check, OpenBroker, expect, expect_raises, expect_same, read_data, read_ids

__all__ = ["check_broker"]

#: Seconds that any one thing may take.
_PATIENCE = 30.0


async def check_broker(open_broker: OpenBroker) -> None:
    """Try everything that ``trio_stream.broker.contract`` promises, on one engine.

    ::

        async def test_my_engine(tmp_path):
            numbers = itertools.count()

            def fresh(**options):
                return trio_stream.open_broker(MyEngine(tmp_path / str(next(numbers))), **options)

            await check_broker(fresh)

    It takes a few seconds, and real time where the engine's clock is not Trio's.

    Args:
      open_broker: gives a broker with a new, empty log; called several times, with the keywords of
        `trio_stream.open_broker` for the history.

    Raises:
      AssertionError: the first promise that was not kept.
    """
    what = "gives a broker with a new log, as an async context manager"
    check_callable("open_broker", open_broker, what, takes=0)
    for check in _CHECKS:
        try:
            with trio.fail_after(_PATIENCE):
                await check(open_broker)
        except (AssertionError, trio.TooSlowError) as exc:
            name = check.__name__.removeprefix("_").replace("_", " ")
            raise AssertionError(f"{name}: {str(exc) or type(exc).__name__}") from exc


async def _ids_strictly_increase(open_broker: OpenBroker) -> None:
    async with open_broker() as broker:
        ids = [await broker.publish("a", 1), await broker.publish("b", 2)]
        ids += await broker.publish_many("a", [3, 4, 5])
        ids += [await broker.publish("c", 6)]
        numbers = [int(id) for id in ids]
        expect_same(numbers, sorted(set(numbers)), "ids of one publisher")
        expect_same(await broker.publish_many("a", []), [], "ids of no events")

        many: list[int] = []

        async def publisher(topic: str) -> None:
            mine = [int(await broker.publish(topic, n)) for n in range(5)]
            expect_same(mine, sorted(mine), "ids of one of many publishers")
            many.extend(mine)

        async with trio.open_nursery() as nursery:
            for n in range(50):
                nursery.start_soon(publisher, f"t{n % 7}")
        expect_same(len(set(many)), 250, "different ids of many publishers")
        expect(min(many) > max(numbers), "an id was smaller than one that was given before")


async def _every_id_resumes_exactly(open_broker: OpenBroker) -> None:
    async with open_broker() as broker:
        topics = ["a", "b/1", "b/2", "b/2/x", "c"]
        published = [
            (topic, await broker.publish(topic, n))
            for n, topic in enumerate(random.Random(4).choices(topics, k=40))
        ]
        for filters in (["a"], ["a", "c"], ["b/*"], ["b/**", "a"], ["**"], ["b/2", "b/*"]):
            wanted = [id for topic, id in published if _selects(filters, topic)]
            expect_same(
                await read_ids(broker, filters, "earliest", len(wanted)),
                wanted,
                f"{filters} at all",
            )
            for cut, (_, after) in enumerate(published):
                rest = [id for topic, id in published[cut + 1 :] if _selects(filters, topic)]
                expect_same(
                    await read_ids(broker, filters, after, len(rest)), rest, f"{filters} resumed"
                )


async def _an_event_arrives_as_it_was(open_broker: OpenBroker) -> None:
    texts = ["", "a\nb\n", "snow ☃ \U0001f40d", "\0", " x", "y" * 2**20]
    topics = ["x", "a b/ç/☃", "*x/y*", "\n\r\0", "%_{}[]?\\'\"", "l" * 1024]
    async with open_broker(history_bytes=2**23) as broker:
        subscription = broker.subscribe(*topics)
        for topic in topics:
            for text in texts:
                await broker.publish(topic, text, event="naïve")
        for after in (subscription, broker.subscribe(*topics, after="earliest")):
            for topic in topics:
                for text in texts:
                    event = await anext(after)
                    got = (event.topic, event.event, event.data)
                    expect_same(got, (topic, "naïve", text), "an event")
        for name in ("", "*", "a/**", "a/*/b", "$x", "l" * 1025, "\ud800"):
            await expect_raises(ValueError, broker.publish, name, 1)


async def _nothing_is_lost_or_doubled_between_history_and_now(open_broker: OpenBroker) -> None:
    total, readers = 300, 20
    async with open_broker() as broker, trio.open_nursery() as nursery:
        first = await broker.publish("t", "first")

        async def reader(delay: int) -> None:
            for _ in range(delay):
                await trio.lowlevel.checkpoint()
            got = await read_data(broker.subscribe("t", after=first), total)
            expect_same(got, [str(n) for n in range(total)], "what a reader got meanwhile")

        for delay in range(readers):
            nursery.start_soon(reader, delay * 10)
        for n in range(total):
            await broker.publish("t", n)


async def _a_slow_reader_delays_nobody(open_broker: OpenBroker) -> None:
    async with open_broker() as broker:
        slow = broker.subscribe("t")
        async with aclosing(slow):
            await broker.publish("t", 0)
            expect_same((await anext(slow)).data, "0", "the slow reader's first event")
            fast = broker.subscribe("t")
            for n in range(1, 900):
                await broker.publish("t", n)
                if n % 100 == 0:
                    await read_data(fast, 100)
            got = await read_data(slow, 899)
            expect_same(got, [str(n) for n in range(1, 900)], "what the slow reader got in the end")


async def _the_latest_of_each_key_is_enough(open_broker: OpenBroker) -> None:
    async with open_broker() as broker:
        subscription = broker.subscribe("p/*", after="earliest", overflow="latest")
        for n in range(700):
            await broker.publish("p/1", n, key=f"k{n % 3}")
        await broker.publish("p/2", "two")
        expect_same(await read_data(subscription, 4), ["697", "698", "699", "two"], "the latest")
        expect(subscription.statistics().conflated == 697, "conflated events were not counted")


async def _a_cancelled_reader_or_publisher_harms_nobody(open_broker: OpenBroker) -> None:
    async with open_broker() as broker:
        first = await broker.publish("t", "first")
        accepted: list[str] = []

        async def publisher() -> None:
            while True:
                accepted.append(await broker.publish("t", "x"))

        async def reader() -> None:
            await read_data(broker.subscribe("t", after=first), 10**9)

        for turns in range(10):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(publisher)
                nursery.start_soon(reader)
                for _ in range(turns * 3):
                    await trio.lowlevel.checkpoint()
                nursery.cancel_scope.cancel()
        with trio.move_on_after(0) as cancelled:
            await broker.publish("never", "x")
        expect(cancelled.cancelled_caught, "publish is no checkpoint")
        last = await broker.publish("t", "last")
        subscription = broker.subscribe("t", after=first)
        kept: list[str] = []
        while last not in kept:
            kept.append((await anext(subscription)).id)
        expect(set(accepted) < set(kept), "an event was accepted and is not there")
        expect_same(kept, sorted(set(kept), key=int), "what is kept, in order")
        expect_same(broker.topic_statistics("never").events, 0, "events that were cancelled")


async def _members_come_and_go(open_broker: OpenBroker) -> None:
    async with open_broker(presence_grace=0.0) as broker:
        news = broker.subscribe(presence_topic("room"))
        async with aclosing(broker.subscribe("room", after="earliest", presence="ann")) as ann:
            await broker.publish("room", "hello")
            await anext(ann)
            event = await anext(news)
            expect_same(
                (event.event, event.json()), ("join", {"name": "ann"}), "the news of a join"
            )
            async with aclosing(broker.subscribe("room", after="earliest", presence="ann")) as tab:
                await anext(tab)
                members = [(m.name, m.connections) for m in await broker.presence("room")]
                expect_same(members, [("ann", 2)], "who is present, twice")
        event = await anext(news)
        expect_same((event.event, event.json()), ("leave", {"name": "ann"}), "the news of a leave")
        expect_same(await broker.presence("room"), [], "nobody")


async def _a_closed_broker_says_so(open_broker: OpenBroker) -> None:
    failures: list[str] = []

    async def reader(subscription: Subscription) -> None:
        try:
            await anext(subscription)
        except trio.ClosedResourceError:
            failures.append("closed")

    async with trio.open_nursery() as nursery, open_broker() as broker:
        nursery.start_soon(reader, broker.subscribe("t"))
        await trio.sleep(0.05)
    expect_same(failures, ["closed"], "what a waiting reader got")
    await expect_raises(trio.ClosedResourceError, broker.publish, "t", 1)
    await expect_raises(trio.ClosedResourceError, anext, broker.subscribe("t"))


_CHECKS: Sequence[Check] = (
    _ids_strictly_increase,
    _every_id_resumes_exactly,
    _an_event_arrives_as_it_was,
    _nothing_is_lost_or_doubled_between_history_and_now,
    _a_slow_reader_delays_nobody,
    *GAP_CHECKS,
    *PUBLISHING_CHECKS,
    *READING_CHECKS,
    *FORGETTING_CHECKS,
    *VIEW_CHECKS,
    _the_latest_of_each_key_is_enough,
    _a_cancelled_reader_or_publisher_harms_nobody,
    _members_come_and_go,
    *LEASE_CHECKS,
    *PRESENCE_CHECKS,
    *PRINCIPAL_CHECKS,
    _a_closed_broker_says_so,
)


def _selects(filters: Sequence[str], topic: str) -> bool:
    """What the documentation says of patterns, for the ones that are used here."""
    depth = topic.count("/")
    matches = {"**": True, "b/*": topic.startswith("b/") and depth == 1}
    matches["b/**"] = topic.startswith("b/")
    return any(matches.get(name, name == topic) for name in filters)
