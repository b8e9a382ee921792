"""What `check_broker` asks about what somebody deletes, and what topics keep of their own."""

from __future__ import annotations

from collections.abc import Sequence

import trio

from ..broker import Retention
from ..errors import GapError
from ._expect import Check, OpenBroker, expect, expect_gap, expect_same, read_data, read_ids

__all__ = ["FORGETTING_CHECKS"]


async def what_is_forgotten_is_a_gap(open_broker: OpenBroker) -> None:
    async with open_broker() as broker:
        ids = await broker.publish_many("t", range(10), key="k")
        other = await broker.publish("u", "other")
        for id, there in ((ids[4], True), (ids[4], False), (other, False), ("nonsense", False)):
            expect_same(await broker.forget("t", id), there, f"whether {id} was there")
        kept = ids[:4] + ids[5:]
        expect_same(await read_ids(broker, ["t"], "earliest", 9), kept, "what is kept")
        for filters in (["t"], ["*"], ["t", "u"]):
            page = await broker.read(*filters, after=ids[3])
            expect_same([e.id for e in page.events][:5], ids[5:], f"what {filters} has behind it")
            expect(page.gap, "what was forgotten was not told")
            expect(not (await broker.read(*filters, after=ids[4])).gap, "a gap behind it was told")
            await expect_gap(broker.subscribe(*filters, after=ids[1]), next=ids[2])
        # From both ends, and so that blocks and pages have none left.
        for id in (ids[9], ids[0], ids[5], ids[3]):
            expect(await broker.forget("t", id), "what is there was not found")
            kept.remove(id)
            expect_same(await read_ids(broker, ["t"], "earliest", len(kept)), kept, "what is left")
        last = await broker.publish("t", "last")
        expect(int(last) > int(other), "an id was given twice")
        expect_same((await broker.read("t", last=1)).events[0].id, last, "the newest")
        expect_same((await broker.read("t", after=ids[8])).gap, True, "what went at the end")
        page = await broker.read("t", after=ids[9])
        expect_same((len(page.events), page.gap), (1, False), "who has seen it")


async def a_topic_is_forgotten(open_broker: OpenBroker) -> None:
    async with open_broker() as broker:
        expect_same(await broker.forget("t"), False, "whether there was nothing")
        before = await broker.publish("u", "before")
        first = await broker.publish("t", "x", once="once")
        ids = await broker.publish_many("t", range(5))
        expect_same(await broker.forget("t"), True, "whether there was something")
        expect_same(await broker.forget("t"), False, "whether it is there again")
        expect_same((await broker.read("t")).events, [], "what is left")
        await expect_gap(broker.subscribe("t", after=before), next=None)
        await expect_gap(broker.subscribe("*", after=ids[3]), next=None)
        expect_same(await read_ids(broker, ["*"], "earliest", 1), [before], "another's")
        expect_same(await broker.find_once("t", "once"), None, "what was known by its key")
        again = await broker.publish("t", "again", once="once")
        expect(int(again) > max(int(first), int(ids[-1])), "an id was given twice")
        expect_same(await read_ids(broker, ["t"], ids[-1], 1), [again], "who has seen all of it")


async def a_reader_in_the_middle_is_told(open_broker: OpenBroker) -> None:
    async with open_broker() as broker:
        ids = await broker.publish_many("t", ["x" * 1000] * 200)
        reader = broker.subscribe("t", after="earliest")
        expect_same((await anext(reader)).id, ids[0], "the first")
        await broker.forget("t", ids[-3])
        found, gaps = [ids[0]], 0
        while found[-1] != ids[-1]:
            try:
                found.append((await anext(reader)).id)
            except GapError:
                gaps += 1
        expect_same(gaps, 1, "gaps that were told of what went meanwhile")
        expect_same(found, ids[:-3] + ids[-2:], "what it read all the same")
        # Who is there has had it, and goes on.
        await broker.forget("t", ids[-1])
        last = await broker.publish("t", "last")
        expect_same((await anext(reader)).id, last, "what comes after what it has seen")


async def topics_keep_what_the_table_says(open_broker: OpenBroker) -> None:
    table = {
        "few/all": Retention(events=100),
        "few/*": Retention(events=3),
        "small/**": Retention(bytes=1000),
        "brief": Retention(age=1.0),
    }
    async with open_broker(history=10, retention=table) as broker:
        for topic, wanted in (("few/1", 3), ("few/all", 20), ("few/1/2", 10), ("other", 10)):
            ids = [await broker.publish(topic, n) for n in range(10)]
            ids += await broker.publish_many(topic, range(10, 20))
            page = await broker.read(topic)
            expect_same([event.id for event in page.events], ids[-wanted:], f"what {topic} keeps")
            page = await broker.read(topic, after=ids[-wanted])
            expect_same(page.gap, False, f"a gap in what {topic} keeps")
        ids = await broker.publish_many("small/x/y", ["x" * 200] * 10)
        expect(len((await broker.read("small/x/y")).events) in {3, 4}, "more bytes are kept")
        old = await broker.publish_many("brief", ["old"] * 3)
        await broker.publish("other", "old")
        expect_same(len((await broker.read("brief")).events), 3, "what is not too old")
        await trio.sleep(1.5)
        expect_same((await broker.read("brief")).events, [], "what is too old")
        await expect_gap(broker.subscribe("brief", after=old[0]), next=None)
        new = await broker.publish("brief", "new")
        expect_same(await read_ids(broker, ["brief"], "earliest", 1), [new], "what came after it")
        texts = await read_data(broker.subscribe("other", after="earliest"), 10)
        expect_same(texts[-1], "old", "what another topic keeps as long as it wants")


FORGETTING_CHECKS: Sequence[Check] = (
    what_is_forgotten_is_a_gap,
    a_topic_is_forgotten,
    a_reader_in_the_middle_is_told,
    topics_keep_what_the_table_says,
)
