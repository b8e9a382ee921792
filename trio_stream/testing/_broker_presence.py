"""What `check_broker` asks of an engine about what belongs to the names of who is present."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack, aclosing
from functools import partial

import trio

from ..broker import presence_topic
from ..broker.contract import FullEngine, full_engine
from ._expect import Check, OpenBroker, expect_same

__all__ = ["PRESENCE_CHECKS"]

#: Each is something in some engine's language.
_TEXTS = ('"x"', '{"a":["\\"",null]}', '"snow ☃ %_\'\\\\"', '"' + "y" * 1022 + '"', "null")


async def a_value_belongs_to_a_name_while_it_is_present(open_broker: OpenBroker) -> None:
    async with open_broker() as broker:
        engine: FullEngine = full_engine(broker.engine, "what belongs to a name")
        describe = partial(engine.describe, "room", "ann ☃ '%")

        async def value() -> list[object]:
            return [member.data for member in await engine.members("room")]

        nobody = (None, None)
        expect_same(await describe("1"), nobody, "what belongs to who is not there")
        await engine.join("room", "ann ☃ '%", "me", 1, 60)
        expect_same(await describe(None), ("null", "null"), "what belongs to who has just come")
        before = "null"
        for text in _TEXTS:
            expect_same(await describe(text), (before, text), "what is said of a name")
            expect_same(await value(), [text], "what the list has")
            before = text
        await describe("1")
        await engine.join("room", "ann ☃ '%", "you", 2, 60)
        await engine.join("room", "ann ☃ '%", "me", 0, 60)
        expect_same(await describe(None), ("1", "1"), "what belongs to who is there still")
        expect_same(await engine.describe("other", "ann ☃ '%", "2"), nobody, "another topic's")
        await engine.join("room", "ann ☃ '%", "you", 0, 60)
        expect_same(await describe("1"), nobody, "what belongs to who has left")
        await engine.join("room", "ann ☃ '%", "me", 1, 0.1)
        expect_same(await describe("3"), ("null", "3"), "what belongs to who has come again")
        await trio.sleep(0.5)
        await engine.lapsed()  # if the broker has not asked already
        expect_same(await describe(None), nobody, "what belongs to who has lapsed")
        await engine.join("room", "ann ☃ '%", "me", 1, 60)
        expect_same(await describe(None), ("null", "null"), "and to who comes after that")


async def a_change_of_a_value_is_told(open_broker: OpenBroker) -> None:
    room = presence_topic("room")
    async with open_broker(presence_grace=0.0) as broker:
        news = broker.subscribe(room, snapshot=lambda: broker.presence_event("room"))
        expect_same((await anext(news)).json(), [], "who is there before anybody")
        mine = broker.subscribe("room", after="earliest", presence="ann", presence_data={"a": 1})
        async with aclosing(mine) as ann:
            await broker.publish("room", "hello")
            await anext(ann)
            expect_same(await broker.update_presence("room", "ann", [2]), True, "who is there")
            expect_same(await broker.update_presence("room", "bob", [2]), False, "who is not")
            late = broker.subscribe(room, snapshot=lambda: broker.presence_event("room"))
            first = await anext(late)
            expect_same(first.event, "members", "the name of the first event")
            member = {"name": "ann", "connections": 1, "data": [2]}
            expect_same(first.json(), [member], "what the first event says")
        told = [await anext(news) for _ in range(3)]
        wanted = [
            ("join", {"name": "ann", "data": {"a": 1}}),
            ("update", {"name": "ann", "data": [2]}),
            ("leave", {"name": "ann"}),
        ]
        expect_same([(event.event, event.json()) for event in told], wanted, "the news")
        expect_same((await anext(late)).event, "leave", "what follows the list")


async def who_is_present_is_told_though_the_news_of_that_are_gone(open_broker: OpenBroker) -> None:
    room = presence_topic("room")
    names = ["ann", "bob", "eve", "joe"]
    async with open_broker(history=2, presence_grace=0.0) as broker, AsyncExitStack() as stack:
        news = broker.subscribe(room, snapshot=lambda: broker.presence_event("room"))
        expect_same((await anext(news)).json(), [], "who is there before anybody")
        await broker.publish("room", "hello")
        joins = []
        for name in names:
            own = broker.subscribe("room", after="earliest", presence=name)
            await anext(await stack.enter_async_context(own))
            joins.append(await anext(news))
        expect_same([join.json()["name"] for join in joins], names, "who has come")
        for after in (None, joins[0].id):  # who has never been here, and who was away meanwhile
            late = broker.subscribe(
                room, after=after, snapshot=lambda: broker.presence_event("room")
            )
            first = await anext(late)
            there = [member["name"] for member in first.json()]
            expect_same((first.event, sorted(there)), ("members", names), f"the list, {after=}")
        await own.aclose()
        left = await anext(late)
        expect_same((left.event, left.json()["name"]), ("leave", "joe"), "what follows the list")


PRESENCE_CHECKS: Sequence[Check] = (
    a_value_belongs_to_a_name_while_it_is_present,
    a_change_of_a_value_is_told,
    who_is_present_is_told_though_the_news_of_that_are_gone,
)
