"""What `check_broker` asks about reading what is kept, once, and about places that are no ids."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import trio

from ..broker import Broker, Last
from ..broker.contract.recent import Place
from ._expect import Check, OpenBroker, expect, expect_same, read_data

__all__ = ["READING_CHECKS"]


async def what_is_kept_is_read_page_by_page(open_broker: OpenBroker) -> None:
    async with open_broker() as broker:
        empty = await broker.read("t")
        expect_same((empty.events, empty.more, empty.gap), ([], False, False), "a page of nothing")
        topics = ["a", "b/1", "b/2", "c"]
        published = [(topics[n % 4], await broker.publish(topics[n % 4], n)) for n in range(40)]
        published += [("a", id) for id in await broker.publish_many("a", range(40, 55))]
        for filters in (["a"], ["a", "c"], ["b/*"], ["**"], ["nobody"]):
            for limit in (1, 7, 15, 1000):
                wanted = [(topic, id) for topic, id in published if _selects(filters, topic)]
                found: list[tuple[str, str]] = []
                after: Place = None
                more = True
                while more:
                    page = await broker.read(*filters, after=after, limit=limit)
                    found += [(event.topic, event.id) for event in page.events]
                    more, after = page.more, page.next
                    expect_same(more, len(found) < len(wanted), "whether there is more")
                    expect(len(page.events) == limit or not more, "a page was not filled")
                    expect(not page.gap, "a gap was told where nothing is gone")
                expect_same(found, wanted, f"{filters} by pages of {limit}")
                following = broker.subscribe(*filters, "next", after=after)
                published.append(("next", await broker.publish("next", "next")))
                expect_same(await read_data(following, 1), ["next"], "what follows the last page")


async def the_newest_are_found(open_broker: OpenBroker) -> None:
    async with open_broker(history=10) as broker:
        ids = await broker.publish_many("quiet", range(3))
        ids += await broker.publish_many("busy/1", range(30))
        for n in range(5):
            ids.append(await broker.publish("busy/2", n))
        kept = ids[:3] + ids[23:]
        for filters, of in ((["**"], kept), (["busy/*"], kept[3:]), (["quiet", "busy/2"], None)):
            wanted = kept[:3] + kept[13:] if of is None else of
            for count in (1, 2, 4, 5, 6, 12, len(wanted), 100):
                newest = wanted[-count:]
                for place in ({"last": count}, {"after": Last(count)}):
                    page = await broker.read(*filters, **place)
                    got = ([event.id for event in page.events], page.more, page.gap)
                    expect_same(got, (newest, False, False), f"the last {count} of {filters}")
                subscription = broker.subscribe(*filters, after=Last(count))
                got_ids = [(await anext(subscription)).id for _ in newest]
                expect_same(got_ids, newest, f"the last {count} of {filters}, subscribed to")
        page = await broker.read("**", last=5, limit=2)
        expect_same([event.id for event in page.events], kept[-5:-3], "the first of the last five")
        expect(page.more, "three more were not told")
        page = await broker.read("**", after=kept[-3], last=5)
        expect_same([event.id for event in page.events], kept[-2:], "no more than what is behind")
        # Whoever begins with what is newest follows from there.
        subscription = broker.subscribe("**", after=Last(1))
        await anext(subscription)
        for n in range(20):
            await broker.publish("busy/1", n)
            expect_same(await read_data(subscription, 1), [str(n)], "what follows the newest")


async def the_last_seconds_are_found(open_broker: OpenBroker) -> None:
    async with open_broker() as broker:
        await broker.publish_many("a", ["old 1", "old 2"])
        await broker.publish("b", "old 3")
        await trio.sleep(1.2)
        expect_same(await _since(broker, 0.6), [], "what came in the last moment")
        await broker.publish("a", "new 1")
        await broker.publish_many("b", ["new 2", "new 3"])
        expect_same(await _since(broker, 0.6), ["new 1", "new 2", "new 3"], "the last moment")
        expect_same(len(await _since(broker, 3600)), 6, "how many came in the last hour")
        subscription = broker.subscribe("*", after=timedelta(seconds=0.9))
        expect_same(await read_data(subscription, 2), ["new 1", "new 2"], "subscribed since then")


async def a_page_tells_what_is_gone(open_broker: OpenBroker) -> None:
    async with open_broker(history=5) as broker:
        ids = await broker.publish_many("t", range(12))
        for after, gap in ((ids[0], True), (ids[5], True), (ids[6], False), ("nonsense", True)):
            page = await broker.read("t", after=after)
            expect_same((page.gap, len(page.events)), (gap, 5), f"a page after {after}")
        page = await broker.read("t", after=ids[0], limit=2)
        expect_same((page.gap, page.more), (True, True), "the first page behind a gap")
        page = await broker.read("t", after=page.next)
        expect_same((page.gap, page.more, len(page.events)), (False, False, 3), "the next one")


async def _since(broker: Broker, seconds: float) -> list[str]:
    page = await broker.read("*", after=timedelta(seconds=seconds))
    expect(not page.gap, "a gap was told of what is kept")
    return [event.data for event in page.events]


def _selects(filters: Sequence[str], topic: str) -> bool:
    """What the documentation says of patterns, for the ones that are used here."""
    return "**" in filters or topic in filters or ("b/*" in filters and topic[:2] == "b/")


READING_CHECKS: Sequence[Check] = (
    what_is_kept_is_read_page_by_page,
    the_newest_are_found,
    the_last_seconds_are_found,
    a_page_tells_what_is_gone,
)
