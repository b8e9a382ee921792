"""What belongs to the names of who is present, and that the news of it agree with the list."""

import logging
import random
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from trio_stream import (
    Broker,
    Member,
    ServerSentEvent,
    Stream,
    TopicEvent,
    open_broker,
    presence_topic,
)
from trio_stream.broker.contract import Entry, Feed, Record, wire_form
from trio_stream.broker.log.leases import LocalLeases
from trio_stream.broker.memory import MemoryEngine
from trio_stream.errors import BrokerUnavailableError
from trio_stream.testing import connect

ROOM = presence_topic("room")


def told(members: dict[str, Any], event: TopicEvent | ServerSentEvent) -> None:
    """What a page does with the news."""
    said = event.json()
    if event.event == "members":
        members.clear()
        members.update({member["name"]: member["data"] for member in said})
    elif event.event == "leave":
        members.pop(said["name"], None)
    else:
        assert event.event in {"join", "update"}
        members[said["name"]] = said.get("data", members.get(said["name"]))


async def news(broker: Broker) -> list[tuple[str, Any]]:
    page = await broker.read(ROOM)
    return [(str(event.event), event.json()) for event in page.events]


async def test_a_value_is_told_with_the_name_and_changed_without_leaving(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_broker(presence_grace=1) as broker:
        source = broker.subscribe("room", presence="ann", presence_data={"colour": "red"})
        async with connect(Stream(source)):
            await trio.testing.wait_all_tasks_blocked()
            assert await broker.presence("room") == [Member("ann", 1, {"colour": "red"})]
            assert await broker.update_presence("room", "ann", {"colour": "blue"})
            assert await broker.update_presence("room", "ann", {"colour": "blue"})
            assert await broker.presence("room") == [Member("ann", 1, {"colour": "blue"})]
            assert await broker.update_presence("room", "ann", None)
            assert await broker.presence("room") == [Member("ann", 1, None)]
        await trio.sleep(2)
        assert await news(broker) == [
            ("join", {"name": "ann", "data": {"colour": "red"}}),
            ("update", {"name": "ann", "data": {"colour": "blue"}}),
            ("update", {"name": "ann", "data": None}),
            ("leave", {"name": "ann"}),
        ]


async def test_it_is_the_names_and_not_the_connections(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_broker(presence_grace=0) as broker:
        subscribe = partial(broker.subscribe, "room", presence="ann")
        async with connect(Stream(subscribe(presence_data=1))):
            await trio.testing.wait_all_tasks_blocked()
            async with connect(Stream(subscribe())):
                await trio.testing.wait_all_tasks_blocked()
                assert await broker.presence("room") == [Member("ann", 2, 1)]
            async with connect(Stream(subscribe(presence_data=2))):
                await trio.testing.wait_all_tasks_blocked()
                assert await broker.presence("room") == [Member("ann", 2, 2)]
            await trio.testing.wait_all_tasks_blocked()
            assert await broker.presence("room") == [Member("ann", 1, 2)]
        async with connect(Stream(subscribe())):
            await trio.testing.wait_all_tasks_blocked()
            assert await broker.presence("room") == [Member("ann", 1, None)]
        events = [event for event, _ in await news(broker)]
        assert events == ["join", "update", "leave", "join", "leave"]


async def test_the_list_is_the_first_event_and_the_news_go_on_from_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_broker(presence_grace=0) as broker:

        def page(name: str, after: str | None = None) -> Stream:
            return Stream(
                broker.subscribe(
                    *("room", ROOM),
                    after=after,
                    presence=name,
                    presence_data=name.upper(),
                    snapshot=lambda: broker.presence_event("room"),
                )
            )

        async with connect(page("ann")) as ann:
            first = await ann.receive_event()
            assert first.event == "members"
            assert first.json() == [{"name": "ann", "connections": 1, "data": "ANN"}]
            async with connect(page("bob")) as bob:
                names = [member["name"] for member in (await bob.receive_event()).json()]
                assert names == ["ann", "bob"]
                joined = await ann.receive_event()
                assert (joined.event, joined.json()) == ("join", {"name": "bob", "data": "BOB"})
            left = await ann.receive_event()
            assert (left.event, left.json()) == ("leave", {"name": "bob"})
        # Who comes back with an id has the list, and is told what has changed.
        async with connect(page("ann", after=joined.id)) as again:
            assert (await again.receive_event()).event == "leave"


async def test_who_is_away_for_a_moment_keeps_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_broker(presence_grace=5) as broker:
        async with connect(Stream(broker.subscribe("room", presence="ann", presence_data=1))):
            await trio.testing.wait_all_tasks_blocked()
        await trio.sleep(4)
        assert await broker.update_presence("room", "ann", 2)
        async with connect(Stream(broker.subscribe("room", presence="ann"))):
            await trio.testing.wait_all_tasks_blocked()
            assert await broker.presence("room") == [Member("ann", 1, 2)]


async def test_nothing_belongs_to_who_is_not_there() -> None:
    async with open_broker() as broker:
        assert not await broker.update_presence("room", "ann", 1)
        assert await broker.presence("room") == []
        assert await news(broker) == []


async def test_a_value_is_small_and_belongs_to_somebody() -> None:
    async with open_broker() as broker:
        broker.subscribe("room", presence="ann", presence_data="x" * 1022)
        with pytest.raises(ValueError, match="presence data: at most 1024 bytes"):
            broker.subscribe("room", presence="ann", presence_data="x" * 1023)
        with pytest.raises(TypeError, match="belongs to a name"):
            broker.subscribe("room", presence_data=1)


async def test_an_engine_without_it_says_so() -> None:
    class Old:
        keeps_history, shared = False, False

        def __init__(self) -> None:
            memory, leases = MemoryEngine(), LocalLeases()
            self.run, self.append, self.read = memory.run, memory.append, memory.read
            self.claim, self.prolong, self.release = leases.claim, leases.prolong, leases.release
            self.holder, self.join, self.lapsed = leases.holder, leases.join, leases.lapsed
            self.members, self.statistics = leases.members, memory.statistics

    async with open_broker(Old()) as broker:
        with pytest.raises(TypeError, match="describe"):
            await broker.update_presence("room", "ann", 1)
        async with connect(Stream(broker.subscribe("room", presence="ann"))):
            await trio.testing.wait_all_tasks_blocked()
            assert [member.name for member in await broker.presence("room")] == ["ann"]


class Core(LocalLeases):
    """A log of several processes, in which every answer takes some time."""

    def __init__(self, chance: random.Random, loss: float) -> None:
        super().__init__()
        self.chance = chance
        self.loss = loss
        self.feeds: list[Feed] = []
        self.last = 1

    async def pause(self) -> None:
        """On the way there, and on the way back; or, at first, what is sent is lost."""
        await trio.sleep(self.chance.choice([0.0, 0.1, 0.2, 0.5]))
        if trio.current_time() < 20 and self.chance.random() < self.loss:
            raise BrokerUnavailableError("it is lost")


class Window(MemoryEngine):
    """One process's way to it."""

    def __init__(self, core: Core) -> None:
        super().__init__()
        self.core = core

    async def run(self, feed: Feed, *, task_status: trio.TaskStatus[int]) -> None:
        self.core.feeds.append(feed)
        task_status.started(self.core.last)
        await trio.sleep_forever()

    async def append(self, entries: Sequence[Entry], lease: object = None) -> Sequence[int]:
        core = self.core
        await core.pause()
        ids = [core.last + n for n in range(1, len(entries) + 1)]
        core.last = ids[-1]
        for feed in core.feeds:
            feed.records(
                [
                    Record(id, entry.topic, entry.key, wire_form(id, entry.body))
                    for id, entry in zip(ids, entries, strict=True)
                ]
            )
        await core.pause()
        return ids

    async def join(
        self, topic: str, name: str, owner: str, count: int, seconds: float
    ) -> tuple[int, int]:
        await self.core.pause()
        answer = await self.core.join(topic, name, owner, count, 1e9)
        await self.core.pause()
        return answer

    async def describe(
        self, topic: str, name: str, data: str | None
    ) -> tuple[str | None, str | None]:
        await self.core.pause()
        answer = await self.core.describe(topic, name, data)
        await self.core.pause()
        return answer

    async def members(self, topic: str) -> Sequence[Member]:
        await self.core.pause()
        answer = await self.core.members(topic)
        await self.core.pause()
        return answer


moments = st.sampled_from([0.0, 0.1, 0.3, 0.6, 1.0, 2.0])
names = st.sampled_from(["ann", "bob"])
values = st.sampled_from([None, 1, "x", {"a": []}])
#: What happens when, in which process, for how long.
steps = st.lists(
    st.tuples(
        st.sampled_from(["visit", "visit", "update", "update", "cancelled update"]),
        st.integers(0, 1),
        names,
        values,
        moments,
        moments | st.just(1000.0),
    ),
    max_size=8,
)


async def follow(todo: list[Any], watches: list[float], loss: float, chance: random.Random) -> None:
    core = Core(chance, loss)
    async with (
        open_broker(Window(core), presence_grace=0) as one,
        open_broker(Window(core), presence_grace=0) as two,
        trio.open_nursery() as nursery,
    ):

        async def do(
            what: str, which: int, name: str, value: Any, begin: float, seconds: float
        ) -> None:
            broker = (one, two)[which]
            await trio.sleep(begin)
            if what == "visit":
                async with broker.subscribe("room", presence=name, presence_data=value) as visit:
                    with trio.move_on_after(seconds):
                        await anext(visit)
            else:
                with trio.move_on_after(seconds if what == "cancelled update" else 1000):
                    with suppress(BrokerUnavailableError):
                        await broker.update_presence("room", name, value)

        watched: list[dict[str, Any]] = []

        async def watch(broker: Broker, begin: float) -> None:
            await trio.sleep(begin)
            members: dict[str, Any] = {}
            watched.append(members)
            snapshot = partial(list_of, broker)
            async for event in broker.subscribe(ROOM, snapshot=snapshot):
                told(members, event)

        async def list_of(broker: Broker) -> ServerSentEvent:
            while True:
                with suppress(BrokerUnavailableError):
                    return await broker.presence_event("room")

        for step in todo:
            nursery.start_soon(do, *step)
        for begin in watches:
            nursery.start_soon(watch, chance.choice([one, two]), begin)
        await trio.sleep(100)
        is_there = {member.name: member.data for member in await one.presence("room")}
        for broker in (one, two):
            by_news: dict[str, Any] = {}
            for event in (await broker.read(ROOM)).events:
                told(by_news, event)
            assert by_news == is_there
        assert watched == [is_there] * len(watches)
        for name, value in is_there.items():
            said = [step[3] for step in todo if step[2] == name]
            assert value in [None, *said]
        nursery.cancel_scope.cancel()


@settings(max_examples=100, deadline=None)
@given(
    todo=steps,
    watches=st.lists(moments, max_size=3),
    loss=st.sampled_from([0.0, 0.1, 0.5]),
    seed=st.integers(0, 10**6),
)
def test_the_news_say_in_the_end_what_the_list_says(
    todo: list[Any], watches: list[float], loss: float, seed: int
) -> None:
    clock = trio.testing.MockClock(autojump_threshold=0)
    logging.getLogger("trio_stream").setLevel(logging.CRITICAL)
    try:
        trio.run(follow, todo, watches, loss, random.Random(seed), clock=clock)
    finally:
        logging.getLogger("trio_stream").setLevel(logging.NOTSET)
