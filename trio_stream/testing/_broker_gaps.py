"""What `check_broker` asks of an engine whose reader comes too late."""

from __future__ import annotations

from collections.abc import Sequence

import trio

from ..errors import GapError
from ._expect import Check, OpenBroker, expect, expect_gap, expect_same, read_ids

__all__ = ["GAP_CHECKS"]


async def what_is_trimmed_is_a_gap(open_broker: OpenBroker) -> None:
    async with open_broker(history=5) as broker:
        ids = await broker.publish_many("t", range(4))
        quiet = await broker.publish("quiet", "q")
        ids += await broker.publish_many("t", range(4, 12))
        # Up to the event before the oldest that is kept, a cursor misses nothing.
        expect_same(await read_ids(broker, ["t"], ids[6], 5), ids[7:], "what is kept")
        for after, missing in ((ids[0], 6), (ids[5], 1)):
            subscription = broker.subscribe("t", after=after)
            try:
                await anext(subscription)
            except GapError as gap:
                expect(gap.missing in {missing, None}, f"{gap.missing} are missing, not {missing}")
            await expect_gap(broker.subscribe("t", after=after), next=ids[7])
            await expect_gap(broker.subscribe("t", "quiet", after=after))
            await expect_gap(broker.subscribe("*", after=after))
        expect_same(await read_ids(broker, ["t"], "earliest", 5), ids[7:], "all that is kept")
        # Another topic's history is its own.
        expect_same(await read_ids(broker, ["quiet"], ids[0], 1), [quiet], "a quiet topic")
    async with open_broker(history_bytes=1000) as broker:
        ids = await broker.publish_many("t", ["x" * 200] * 10)
        await expect_gap(broker.subscribe("t", after=ids[0]))
        kept = await read_ids(broker, ["t"], "earliest", 1)
        expect(int(kept[0]) >= int(ids[5]), "more bytes are kept than history_bytes")
        [large] = await broker.publish_many("t", ["x" * 2000])
        expect_same(
            await read_ids(broker, ["t"], "earliest", 1), [large], "a single event over the bound"
        )


async def a_gap_is_told_once(open_broker: OpenBroker) -> None:
    """To a reader of several topics, page by page: one lacks much, the other nothing."""
    async with open_broker(history=20) as broker:
        ids: list[str] = []
        for n in range(30):
            ids.append(await broker.publish("a/busy", n))
            if n % 3 == 0:
                ids.append(await broker.publish("a/large", "x" * 30_000))
        busy = [id for id in ids if ids.index(id) % 4 != 1]
        kept = [id for id in ids if id not in busy[:10]]
        for filters in (["a/busy", "a/large"], ["a/*"]):
            expect_same(
                await read_ids(broker, filters, "earliest", 30), kept, f"the earliest of {filters}"
            )
            resumed = broker.subscribe(*filters, after=ids[0])
            await expect_gap(resumed, next=kept[0])
            rest = [(await anext(resumed)).id for _ in kept[1:]]
            expect_same(rest, kept[1:], f"what follows a gap in {filters}")
        # What goes while it reads was there for it, and is told.
        for after in ("earliest", ids[0]):
            subscription = broker.subscribe("a/*", after=after)
            if after == "earliest":
                expect_same((await anext(subscription)).id, kept[0], "the earliest")
            else:
                await expect_gap(subscription, next=kept[0])
            last = (await broker.publish_many("a/busy", range(20)))[-1]
            while True:
                try:
                    expect((await anext(subscription)).id != last, "what went meanwhile is silent")
                except GapError:
                    break


async def what_is_too_old_is_a_gap(open_broker: OpenBroker) -> None:
    async with open_broker(history_age=1.0) as broker:
        ids = await broker.publish_many("t", ["old"] * 3)
        await trio.sleep(2.5)
        await expect_gap(broker.subscribe("t", after=ids[0]), next=None)
        new = await broker.publish("t", "new")
        expect_same(await read_ids(broker, ["t"], ids[2], 1), [new], "what came after the old ones")
        await expect_gap(broker.subscribe("t", after=ids[0]), next=new)


async def an_id_that_is_none_is_a_gap(open_broker: OpenBroker) -> None:
    async with open_broker() as broker:
        last = await broker.publish("t", "x")
        future, before = str(int(last) + 10**9), str(int(last) - 10**9)
        for after in ("", "x", "-1", "1.5", "²", "9" * 30, "0x1", "0", "7" * 2**20, future, before):
            await expect_gap(broker.subscribe("t", after=after), next=last)


GAP_CHECKS: Sequence[Check] = (
    what_is_trimmed_is_a_gap,
    a_gap_is_told_once,
    what_is_too_old_is_a_gap,
    an_id_that_is_none_is_a_gap,
)
