"""What `check_broker` asks about what is published once, is not kept, or is not for its sender."""

from __future__ import annotations

from collections.abc import Sequence

import trio

from ..broker import Broker, Subscription
from ..codec import EventStreamDecoder
from ..stream import Stream
from ._expect import Check, OpenBroker, expect, expect_raises, expect_same, read_data, read_ids

__all__ = ["PUBLISHING_CHECKS"]


async def what_is_published_once_is_stored_once(open_broker: OpenBroker) -> None:
    async with open_broker() as broker:
        first = await broker.publish("t", "a", once="order-17")
        again = await broker.publish("t", "b", once="order-17")
        expect_same(again, first, "the id of what was published once, again")
        other = await broker.publish("u", "c", once="order-17")
        expect(other != first, "a key of one topic was taken for another's")
        last = await broker.publish("t", "d", once="order-18")
        expect_same(await read_ids(broker, ["t"], "earliest", 2), [first, last], "what is stored")
        expect_same(await broker.find_once("t", "order-17"), first, "what a key has become")
        expect_same(await broker.find_once("t", "order-19"), None, "what no key has become")
        await expect_raises(ValueError, broker.publish, "t", "x", once="")

        # At the same time, beside others that share its way.
        ids: list[str] = []
        beside: list[str] = []

        async def same() -> None:
            ids.append(await broker.publish("t", "same", once="at once"))

        async def another(n: int) -> None:
            beside.extend(await broker.publish_many(f"b/{n % 3}", [n, n]))

        async with trio.open_nursery() as nursery:
            for n in range(20):
                nursery.start_soon(same)
                nursery.start_soon(another, n)
        expect_same(len(set(ids)), 1, "ids of what was published once by twenty")
        kept = await read_ids(broker, ["b/*"], last, 40)
        expect_same(sorted(kept, key=int), kept, "ids of what was published beside it")
        expect_same(sorted(beside, key=int), kept, "ids that were given to who published it")
        texts = await read_data(broker.subscribe("t", after=last), 1)
        expect_same(texts, ["same"], "what was published once by twenty")


async def several_are_published_once_together(open_broker: OpenBroker) -> None:
    async with open_broker() as broker:
        before = await broker.publish("t", "before")
        first = await broker.publish_many("t", ["a", "b", "c"], once="k")
        between = await broker.publish("t", "between")
        again = await broker.publish_many("t", ["a", "b", "c"], once="k")
        expect_same(again, first, "the ids of what was published once together, again")
        expect_same(await broker.find_once("t", "k"), first[0], "what their key has become")
        expect_same(await broker.publish("t", "x", once="k"), first[0], "one with the same key")
        longer = await broker.publish_many("t", ["a", "b", "c", "d"], once="k")
        expect_same(longer[:3], first, "the ids of those that are known, of a longer list")
        other = await broker.publish_many("u", ["a", "b"], once="k")
        expect(not {*other} & {*first}, "a key of one topic was taken for another's")
        stored = [before, *first, between, longer[3]]
        expect_same(await read_ids(broker, ["t"], "earliest", 6), stored, "what is stored")
        expect_same(await broker.publish_many("t", [], once="k"), [], "ids of nothing")

        # At the same time, beside others that share its way.
        answers: list[list[str]] = []
        beside: list[str] = []

        async def same() -> None:
            answers.append(await broker.publish_many("t", [1, 2, 3], once="at once"))

        async def another(n: int) -> None:
            beside.extend(await broker.publish_many(f"b/{n % 3}", [n, n]))

        async with trio.open_nursery() as nursery:
            for n in range(20):
                nursery.start_soon(same)
                nursery.start_soon(another, n)
        expect_same(len({*map(tuple, answers)}), 1, "answers to what was published by twenty")
        expect_same(
            sorted(beside, key=int), await read_ids(broker, ["b/*"], other[-1], 40), "beside"
        )
        texts = await read_data(broker.subscribe("t", after=longer[3]), 3)
        expect_same(texts, ["1", "2", "3"], "what was published together by twenty")


async def a_publish_tells_its_audience(open_broker: OpenBroker) -> None:
    async with open_broker() as broker, trio.open_nursery() as nursery:
        nobody = await broker.publish("t", "x", audience=True)
        expect_same((nobody.here, nobody.everywhere), (0, 0), "who is there before anybody is")
        for filters in (["t"], ["t", "*"], ["u"]):
            nursery.start_soon(_collect, broker.subscribe(*filters), [], 10_000)
        ids = [nobody.id]
        with trio.move_on_after(10):
            while (some := await broker.publish("t", "y", audience=True)).here < 2:
                ids.append(some.id)
        expect_same((some.here, some.everywhere), (2, 2), "who is there")
        stored = await read_ids(broker, ["**"], "earliest", len(ids) + 1)
        expect_same(stored, [*ids, some.id], "what is stored")
        nursery.cancel_scope.cancel()


async def it_is_known_for_its_seconds(open_broker: OpenBroker) -> None:
    async with open_broker(once_for=0.5) as broker:
        first = await broker.publish("t", "a", once="x")
        await trio.sleep(1)
        expect_same(
            await broker.find_once("t", "x"), None, "what a key has become, when it is over"
        )
        second = await broker.publish("t", "b", once="x")
        expect(int(second) > int(first), "what was published once before its time was not stored")


async def a_cancelled_publish_can_be_made_again(open_broker: OpenBroker) -> None:
    async with open_broker() as broker:
        first = await broker.publish("t", "first")
        for n in range(10):
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_publish_once, broker, n)
                    for _ in range(n):
                        await trio.lowlevel.checkpoint()
                    scope.cancel()
            await _publish_once(broker, n)
        texts = await read_data(broker.subscribe("t", after=first), 10)
        expect_same(sorted(texts), sorted(map(str, range(10))), "what was published again")
        last = await broker.publish("t", "last")
        expect_same(len(await read_ids(broker, ["t"], first, 11)), 11, "how many there are")
        expect_same((await read_ids(broker, ["t"], first, 11))[-1], last, "the last of them")


async def what_is_not_kept_is_for_who_is_there(open_broker: OpenBroker) -> None:
    async with open_broker() as broker:
        expect_same(await broker.publish("t", "nobody", keep=False), "", "what has no id")
        here = broker.subscribe("t", "u/*")
        async with trio.open_nursery() as nursery:
            found: list[tuple[str, str]] = []
            nursery.start_soon(_collect, here, found, 7)
            await trio.sleep(0.05)
            first = await broker.publish("t", 1)
            await broker.publish("u/1", "typing", keep=False)
            await broker.publish_many("t", ["a", "b"], keep=False)
            ids = await broker.publish_many("t", [2, 3])
            await broker.publish("t", "end", keep=False)
        expect_same(
            [text for _, text in found], ["1", "typing", "a", "b", "2", "3", "end"], "found"
        )
        expect_same([id for id, _ in found], [first, "", "", "", *ids, ""], "ids that were found")
        kept = await read_ids(broker, ["**"], "earliest", 3)
        expect_same(kept, [first, *ids], "what is kept")
        # It leaves no hole, nor a place in the log that nobody else knows.
        late = broker.subscribe("t", "u/*", after=first)
        expect_same(await read_data(late, 2), ["2", "3"], "what follows the first")
        fresh = broker.subscribe("t")
        async with trio.open_nursery() as nursery:
            texts: list[tuple[str, str]] = []
            nursery.start_soon(_collect, fresh, texts, 1)
            await trio.sleep(0.05)
            last = await broker.publish("t", "last")
        expect_same(texts, [(last, "last")], "what comes after what was not kept")
        await expect_raises(ValueError, broker.publish, "t", "x", keep=False, once="x")


async def a_sender_is_left_out(open_broker: OpenBroker) -> None:
    async with open_broker() as broker:
        sender = Stream(broker.subscribe("t", "end"), tell_id="header")
        other = Stream(broker.subscribe("t", "end"), tell_id="header")
        texts: dict[str, list[str]] = {}
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_read_stream, sender, "live sender", texts)
            nursery.start_soon(_read_stream, other, "live other", texts)
            await trio.sleep(0.05)
            first = await broker.publish("t", 1)
            await broker.publish("t", 2, but=sender.id)
            await broker.publish("t", "typing", but=sender.id, keep=False)
            await broker.publish_many("t", [3, 4], but=sender.id)
            await broker.publish("t", 5)
            await broker.publish("end", "end")
        wanted = {
            "live sender": ["1", "5", "end"],
            "live other": ["1", "2", "typing", *"345", "end"],
        }
        expect_same(texts, wanted, "what who was there got")
        texts.clear()
        # Nor is it sent what it has been left out of when it reads that up.
        late = Stream(broker.subscribe("t", "end", after=first), tell_id="event")
        more = await broker.publish_many("t", [6, 7], but=late.id)
        await broker.publish("t", 8)
        await broker.publish("end", "end again")
        await _read_stream(late, "late", texts, last="end again")
        expect_same(texts["late"], [*"2345", "end", "8", "end again"], "what it read up")
        events = broker.subscribe("t", after=str(int(more[0]) - 1))
        buts = [(await anext(events)).but for _ in range(3)]
        expect_same(buts, [late.id, late.id, ""], "whom an event is not for")
        latest = Stream(
            broker.subscribe("t", "end", after=first, overflow="latest"), tell_id="event"
        )
        await broker.publish("t", 9, but=latest.id)
        await _read_stream(latest, "latest", texts, last="end again")
        expect_same(texts["latest"], ["8", "end again"], "the latest of what is for it")


async def _publish_once(broker: Broker, n: int) -> None:
    await broker.publish("t", n, once=f"key {n}")


async def _collect(events: Subscription, found: list[tuple[str, str]], count: int) -> None:
    for _ in range(count):
        event = await anext(events)
        found.append((event.id, event.data))


async def _read_stream(
    stream: Stream, name: str, texts: dict[str, list[str]], last: str = "end"
) -> None:
    """What a stream sends, up to this text."""
    decoder = EventStreamDecoder()
    mine = texts[name] = []
    async with stream:
        async for chunk in stream.value:
            mine += [str(event.data) for event in decoder.feed(chunk) if event.event != "stream"]
            if last in mine:
                return


PUBLISHING_CHECKS: Sequence[Check] = (
    what_is_published_once_is_stored_once,
    several_are_published_once_together,
    a_publish_tells_its_audience,
    it_is_known_for_its_seconds,
    a_cancelled_publish_can_be_made_again,
    what_is_not_kept_is_for_who_is_there,
    a_sender_is_left_out,
)
