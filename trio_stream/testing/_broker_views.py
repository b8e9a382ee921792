"""What `check_broker` asks of subscriptions that make something else of what an engine keeps."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import aclosing

import trio

from ..broker import SourceRun, TopicEvent
from ..codec import ServerSentEvent
from ..errors import MapError
from ._expect import Check, OpenBroker, expect_gap, expect_raises, expect_same, read_data

__all__ = ["VIEW_CHECKS"]


def _tenfold_of_even(event: TopicEvent) -> ServerSentEvent | TopicEvent | None:
    number = event.json()
    if number == 7:
        raise LookupError(number)
    if number == 8:
        return event
    return None if number % 2 else ServerSentEvent(number * 10)


async def a_map_makes_what_is_read(open_broker: OpenBroker) -> None:
    async with open_broker(history=20) as broker:
        ids = await broker.publish_many("t", [1, 2, 3], key="k")
        mapped = broker.subscribe("t", after="earliest", map=_tenfold_of_even)
        async with aclosing(mapped):
            event = await anext(mapped)
            expect_same((event.id, event.data), (ids[1], "20"), "what the map made")
            ids.append(await broker.publish("t", 5))
            ids += await broker.publish_many("t", [4, 8])
            expect_same(await read_data(mapped, 2), ["40", "8"], "what it made of what was new")
            last = await broker.publish("t", 7)
            for _ in range(2):
                await expect_raises(MapError, anext, mapped)
        rest = broker.subscribe("t", after=ids[3], overflow="latest", map=_tenfold_of_even)
        expect_same(await read_data(rest, 1), ["8"], "the newest that it made")
        await broker.forget("t", last)
        ids = await broker.publish_many("t", [1] * 20 + [6])
        await expect_gap(broker.subscribe("t", after=last, map=_tenfold_of_even), next=ids[-1])


async def a_snapshot_comes_first_and_again_behind_a_gap(open_broker: OpenBroker) -> None:
    async with open_broker(history=5) as broker:
        await broker.publish("t", "before")

        async def state() -> ServerSentEvent:
            await broker.publish("t", "meanwhile")
            return ServerSentEvent("state")

        events = broker.subscribe("t", snapshot=state)
        async with aclosing(events):
            first = await anext(events)
            expect_same(first.data, "state", "what comes first")
            expect_same(await read_data(events, 1), ["meanwhile"], "what changed while it was read")
        again = broker.subscribe("t", after=first.id, snapshot=state)
        expect_same(await read_data(again, 1), ["meanwhile"], "what follows its id")
        await broker.publish_many("t", range(9))
        for after in (first.id, "no id"):
            behind = broker.subscribe("t", after=after, snapshot=state)
            expect_same(await read_data(behind, 2), ["state", "meanwhile"], "instead of a gap")


async def a_source_runs_while_it_is_watched(open_broker: OpenBroker) -> None:
    starts, ends = list[str](), trio.Event()

    async def source(run: SourceRun) -> None:
        starts.append(run.topic)
        try:
            while True:
                await run.send(len(starts))
                await trio.sleep(0.01)
        finally:
            ends.set()

    async def failing(run: SourceRun) -> None:
        raise trio.BrokenResourceError

    async with open_broker() as broker:
        broker.source("s/*", source, linger=0)
        one, two = broker.subscribe("s/1"), broker.subscribe("s/1")
        async with aclosing(one), aclosing(two):
            for events in (one, two, one):
                expect_same((await anext(events)).data, "1", "what the source sent")
        await ends.wait()
        expect_same(starts, ["s/1"], "what was run")
        broker.source("f", failing)
        logger = logging.getLogger("trio_stream")
        logger.addFilter(_is_not_of_a_source)
        try:
            async with aclosing(broker.subscribe("f")) as watch:
                event = await anext(watch)
        finally:
            logger.removeFilter(_is_not_of_a_source)
        told = (event.id, event.event, event.json())
        expect_same(told, ("", "source", {"reason": "failed", "again": 1.0}), "what was told")


def _is_not_of_a_source(record: logging.LogRecord) -> bool:
    return "source of" not in str(record.msg)


VIEW_CHECKS: Sequence[Check] = (
    a_source_runs_while_it_is_watched,
    a_map_makes_what_is_read,
    a_snapshot_comes_first_and_again_behind_a_gap,
)
