"""Who is there, and the news of it."""

import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import trio
import trio.testing

from trio_stream import Stream
from trio_stream.broker import Broker, open_broker, presence_topic
from trio_stream.broker.contract import LEASE, Entry
from trio_stream.broker.log.leases import LocalLeases
from trio_stream.broker.memory import MemoryEngine
from trio_stream.errors import BrokerUnavailableError
from trio_stream.testing import connect


async def news(broker: Broker, topic: str) -> list[tuple[str, str]]:
    """All there has been so far."""
    found = []
    async with broker.subscribe(presence_topic(topic), after="earliest") as events:
        with trio.move_on_after(0.001):
            async for event in events:
                found.append((event.event, event.json()["name"]))
    return found


async def names(broker: Broker, topic: str) -> list[tuple[str, int]]:
    return [(member.name, member.connections) for member in await broker.presence(topic)]


async def test_streams_are_present_while_they_live(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_broker(presence_grace=5) as broker:
        async with connect(Stream(broker.subscribe("room", "other", presence="ann"))):
            await trio.testing.wait_all_tasks_blocked()
            async with connect(Stream(broker.subscribe("room", presence="bob"))):
                await trio.testing.wait_all_tasks_blocked()
                assert await names(broker, "room") == [("ann", 1), ("bob", 1)]
                assert await names(broker, "other") == [("ann", 1)]
            await trio.sleep(6)
            assert await names(broker, "room") == [("ann", 1)]
        await trio.sleep(6)
        assert await names(broker, "room") == []
        wanted = [("join", "ann"), ("join", "bob"), ("leave", "bob"), ("leave", "ann")]
        assert await news(broker, "room") == wanted
        assert await news(broker, "other") == [("join", "ann"), ("leave", "ann")]


async def test_a_reload_is_no_news(autojump_clock: trio.testing.MockClock) -> None:
    async with open_broker(presence_grace=5) as broker:
        for _ in range(4):
            async with connect(Stream(broker.subscribe("room", presence="ann"))):
                await trio.sleep(3)
            await trio.sleep(3)
        assert await news(broker, "room") == [("join", "ann")]
        await trio.sleep(1.5)
        assert await news(broker, "room") == [("join", "ann")]
        await trio.sleep(1)
        assert await news(broker, "room") == [("join", "ann"), ("leave", "ann")]


async def test_patterns_hear_the_news_but_are_not_present() -> None:
    async with open_broker(presence_grace=0) as broker:
        watcher = broker.subscribe("$presence/rooms/*")
        async with connect(Stream(broker.subscribe("rooms/1", "rooms/*", presence="ann"))):
            event = await anext(watcher)
            assert (event.topic, event.event) == (presence_topic("rooms/1"), "join")
        event = await anext(watcher)
        assert (event.topic, event.event) == (presence_topic("rooms/1"), "leave")


async def test_the_broker_is_closed_with_somebody_present() -> None:
    async with open_broker() as broker:
        subscription = broker.subscribe("room", after="earliest", presence="ann")
        await broker.publish("room", 1)
        await anext(subscription)
    await subscription.aclose()
    await subscription.aclose()


class Flaky(LocalLeases):
    """A memory engine that others share, that notes the news, and that fails when told to."""

    shared = True
    keeps_history = False

    def __init__(self) -> None:
        super().__init__()
        memory = MemoryEngine()
        self._append, self.run, self.read = memory.append, memory.run, memory.read
        self.statistics = memory.statistics
        self.news: list[tuple[str, str]] = []
        self.unreachable = self.deaf = self.full = False
        #: A topic that cannot be joined.
        self.bad = ""
        #: Called with an event of the news before it is stored.
        self.before_append: Callable[[str], Awaitable[None]] | None = None

    def _reach(self) -> None:
        if self.unreachable:
            raise BrokerUnavailableError("there is an outage")

    async def holder(self, name: str) -> str | None:
        self._reach()
        return await super().holder(name)

    async def join(
        self, topic: str, name: str, owner: str, count: int, seconds: float
    ) -> tuple[int, int]:
        self._reach()
        if topic == self.bad:
            raise BrokerUnavailableError("wrong type")
        answer = await super().join(topic, name, owner, count, seconds)
        if self.deaf:
            raise BrokerUnavailableError("the answer was lost")
        return answer

    async def lapsed(self) -> Sequence[tuple[str, str]]:
        self._reach()
        return await super().lapsed()

    async def append(self, entries: Sequence[Entry]) -> Sequence[int]:
        for entry in entries:
            if entry.topic.startswith("$presence/"):
                event, data = entry.body.decode().split("\n")[:2]
                if self.before_append is not None:
                    await self.before_append(event.removeprefix("event: "))
                if self.full or self.unreachable:
                    raise BrokerUnavailableError("it is full")
                self.news.append((event.removeprefix("event: "), json.loads(data[6:])["name"]))
        return await self._append(entries)


@asynccontextmanager
async def present(broker: Broker, name: str, *topics: str) -> AsyncIterator[None]:
    """Somebody is, for as long as this lasts."""
    async with connect(Stream(broker.subscribe(*(topics or ("room",)), presence=name))):
        await trio.testing.wait_all_tasks_blocked()
        yield


@pytest.mark.parametrize("stay", [0, 4.9, 5, 5.1])
@pytest.mark.parametrize("slow", [False, True])
async def test_the_broker_is_closed_while_members_leave(
    autojump_clock: trio.testing.MockClock, stay: float, slow: bool
) -> None:
    engine = Flaky()
    engine.shared = False
    everybody = [f"n{n}" for n in range(5)]

    async def wait(event: str) -> None:
        await trio.sleep(0.4 if slow else 0)  # there is a second for all of them

    engine.before_append = wait
    async with open_broker(engine, presence_grace=5) as broker:
        async with AsyncExitStack() as stack:
            for name in everybody:
                await stack.enter_async_context(present(broker, name))
        await trio.sleep(stay)
    left = [name for event, name in engine.news if event == "leave"]
    assert sorted(left) == everybody


async def test_who_comes_back_to_another_process_in_time_has_not_left(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A restart of one of them is no news of those who were present through it."""
    engine = Flaky()
    async with open_broker(engine, presence_grace=5) as other:
        async with open_broker(engine, presence_grace=5) as broker, present(broker, "eve"):
            async with present(broker, "ann"), present(broker, "bob"):
                await trio.sleep(1)
            await trio.sleep(1)
        async with present(other, "ann"):
            await trio.sleep(2)
            assert await names(other, "room") == [("ann", 2), ("bob", 1), ("eve", 1)]
            assert [event for event, _ in engine.news] == ["join"] * 3
            await trio.sleep(8)
            assert sorted(engine.news[3:]) == [("leave", "bob"), ("leave", "eve")]
            assert await names(other, "room") == [("ann", 1)]
        await trio.sleep(6)
        assert engine.news[5:] == [("leave", "ann")]


async def test_a_crowd_that_leaves_at_once_is_told_of_at_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Also where each takes a while: a disk's sync, a round trip."""
    engine = Flaky()
    everybody = [f"n{n}" for n in range(300)]

    async def wait(event: str) -> None:
        await trio.sleep(1)

    async with open_broker(engine, presence_grace=5) as broker:
        async with AsyncExitStack() as stack:
            for name in everybody:
                await stack.enter_async_context(present(broker, name))
            engine.before_append = wait
        await trio.sleep(5 + 2.5)
        assert sorted(name for event, name in engine.news if event == "leave") == sorted(everybody)


class FarAway(Flaky):
    """Each answer takes a tenth of a second, and those that are asked for are counted."""

    asked = most = 0

    async def join(
        self, topic: str, name: str, owner: str, count: int, seconds: float
    ) -> tuple[int, int]:
        self.asked += 1
        self.most = max(self.most, self.asked)
        try:
            await trio.sleep(0.1)
            return await super().join(topic, name, owner, count, seconds)
        finally:
            self.asked -= 1


async def test_a_crowd_s_leases_are_prolonged_in_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    engine = FarAway()
    async with open_broker(engine) as broker, AsyncExitStack() as stack:
        for n in range(200):
            await stack.enter_async_context(present(broker, f"n{n}"))
        await trio.sleep(3 * LEASE)
        assert await engine.lapsed() == []
        assert {event for event, _ in engine.news} == {"join"}


async def test_an_engine_is_not_asked_by_a_whole_crowd_at_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Its answers have a time limit, which begins when it is asked."""
    engine = FarAway()
    async with open_broker(engine) as broker, trio.open_nursery() as nursery:

        async def stay(n: int) -> None:
            async with present(broker, f"n{n}"):
                await trio.sleep_forever()

        for n in range(600):
            nursery.start_soon(stay, n)
        while len(await broker.presence("room")) < 600:
            await trio.sleep(0.1)
        assert 100 < engine.most <= 300
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("close_first", [False, True])
async def test_without_grace_all_leave_with_the_broker(
    autojump_clock: trio.testing.MockClock, close_first: bool
) -> None:
    engine = Flaky()
    async with open_broker(engine, presence_grace=0) as broker:
        subscription = broker.subscribe("room", after="earliest", presence="ann")
        await broker.publish("room", 1)
        await anext(subscription)
        if not close_first:
            await subscription.aclose()
            await trio.testing.wait_all_tasks_blocked()
    await subscription.aclose()
    assert engine.news == [("join", "ann"), ("leave", "ann")]
    assert await engine.lapsed() == []


async def test_one_of_two_connections_ends(autojump_clock: trio.testing.MockClock) -> None:
    async with open_broker() as broker:
        async with present(broker, "ann"):
            pass
        async with present(broker, "ann"):
            async with present(broker, "ann"):
                assert await names(broker, "room") == [("ann", 2)]
            await trio.testing.wait_all_tasks_blocked()
            assert await names(broker, "room") == [("ann", 1)]


async def test_both_connections_end_at_once(autojump_clock: trio.testing.MockClock) -> None:
    async with open_broker(presence_grace=5) as broker:

        async def stay() -> None:
            async with present(broker, "ann"):
                await trio.sleep_forever()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(stay)
            nursery.start_soon(stay)
            await trio.testing.wait_all_tasks_blocked()
            assert await names(broker, "room") == [("ann", 2)]
            nursery.cancel_scope.cancel()
        await trio.testing.wait_all_tasks_blocked()
        assert await names(broker, "room") == [("ann", 1)]  # maybe back in a moment
        await trio.sleep(5.1)
        assert await names(broker, "room") == []
        assert await news(broker, "room") == [("join", "ann"), ("leave", "ann")]


async def test_an_engine_that_is_closed_meanwhile_is_no_failure(
    autojump_clock: trio.testing.MockClock,
) -> None:
    engine = Flaky()

    async def closed(event: str) -> None:
        raise trio.ClosedResourceError

    async with open_broker(engine, presence_grace=0) as broker, present(broker, "ann"):
        async with present(broker, "bob"):
            engine.before_append = closed
        await trio.sleep(1)
        assert await names(broker, "room") == [("ann", 1)]
    assert engine.news == [("join", "ann"), ("join", "bob")]


async def test_a_closed_broker_has_no_members() -> None:
    engine = Flaky()
    async with open_broker(engine) as broker:
        subscription = broker.subscribe("room", presence="ann")
    with pytest.raises(trio.ClosedResourceError):
        await anext(subscription)
    assert await engine.members("room") == []


async def test_who_gives_up_while_coming_takes_nobody_along(
    autojump_clock: trio.testing.MockClock,
) -> None:
    engine = Flaky()
    async with open_broker(engine, presence_grace=0) as broker, present(broker, "ann", "b"):
        engine.before_append = lambda event: trio.sleep(1)
        with trio.move_on_after(0.5):  # in the middle of the first topic's news
            async with present(broker, "ann", "a", "b"):
                await trio.sleep_forever()
        await trio.sleep(10)
        assert await names(broker, "b") == [("ann", 1)]
        assert await names(broker, "a") == []


async def test_a_long_grace_outlasts_the_lease(autojump_clock: trio.testing.MockClock) -> None:
    engine = Flaky()
    async with open_broker(engine, presence_grace=60) as broker:
        async with present(broker, "ann"):
            pass
        await trio.sleep(55)
        assert await names(broker, "room") == [("ann", 1)]
        assert engine.news == [("join", "ann")]
        await trio.sleep(6)
        assert engine.news == [("join", "ann"), ("leave", "ann")]


async def test_an_outage_that_nobody_noticed_is_no_news(
    autojump_clock: trio.testing.MockClock,
) -> None:
    engine = Flaky()
    async with open_broker(engine) as broker, present(broker, "ann"), present(broker, "bob"):
        engine.unreachable = True
        await trio.sleep(30)
        engine.unreachable = False
        await trio.sleep(30)
        assert engine.news == [("join", "ann"), ("join", "bob")]
        assert await names(broker, "room") == [("ann", 1), ("bob", 1)]


async def test_who_was_told_to_have_left_while_his_process_was_silent_joins_again(
    autojump_clock: trio.testing.MockClock,
) -> None:
    engine = Flaky()
    async with open_broker(engine) as broker, present(broker, "ann"):
        engine.unreachable = True
        await trio.sleep(13)
        assert await LocalLeases.lapsed(engine) == [("room", "ann")]  # to another process
        engine.unreachable = False
        await trio.sleep(5)
        assert engine.news == [("join", "ann")] * 2
        assert await names(broker, "room") == [("ann", 1)]


@pytest.mark.parametrize("failure", ["unreachable", "deaf", "full"])
@pytest.mark.parametrize("shared", [True, False])
async def test_the_news_of_an_outage_are_told_after_it(
    autojump_clock: trio.testing.MockClock, failure: str, shared: bool
) -> None:
    engine = Flaky()
    engine.shared = shared
    async with open_broker(engine, presence_grace=0) as broker:
        setattr(engine, failure, True)
        async with present(broker, "bob"):
            await trio.sleep(20)
            assert engine.news == []
            setattr(engine, failure, False)
            await trio.sleep(5)
            assert engine.news == [("join", "bob")]
            assert await names(broker, "room") == [("bob", 1)]
            setattr(engine, failure, True)
        await trio.sleep(20)
        assert engine.news == [("join", "bob")]
        setattr(engine, failure, False)
        await trio.sleep(5)
        assert engine.news == [("join", "bob"), ("leave", "bob")]
        assert await names(broker, "room") == []


async def test_an_outage_is_told_once_and_not_for_each_who_is_present(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "trio_stream")
    engine = Flaky()
    async with open_broker(engine, presence_grace=0) as broker:
        for outages in (1, 2):
            async with AsyncExitStack() as stack:
                for name in ("ann", "bob", "cat"):
                    await stack.enter_async_context(present(broker, name))
                engine.unreachable = True
            await trio.sleep(LEASE)
            told = [text for text in caplog.messages if "could not tell who is present" in text]
            assert len(told) == outages
            engine.unreachable = False
            await trio.sleep(LEASE)
            assert await names(broker, "room") == []


async def test_whom_a_dead_process_had_leaves_though_telling_it_failed_at_first(
    autojump_clock: trio.testing.MockClock,
) -> None:
    engine = Flaky()
    async with open_broker(engine):
        await engine.join("room", "ann", "dead", 1, 1)
        engine.full = True
        await trio.sleep(20)
        engine.full = False
        await trio.sleep(5)
        assert engine.news == [("leave", "ann")]


async def test_after_an_outage_others_are_given_time_to_say_who_is_present(
    autojump_clock: trio.testing.MockClock,
) -> None:
    engine = Flaky()
    async with open_broker(engine):
        await engine.join("room", "ann", "other", 1, LEASE)
        engine.unreachable = True
        await trio.sleep(LEASE * 2 - 1)
        engine.unreachable = False
        await trio.sleep(2)  # this process is a little faster than the other
        await engine.join("room", "ann", "other", 1, LEASE)
        await trio.sleep(LEASE / 2)
        assert engine.news == []


async def test_the_last_news_are_true_though_processes_speak_at_once() -> None:
    """Another process's `join` and `leave` are stored while this one's `leave` is on its way."""
    engine = Flaky()
    coming = [1, 0]

    async def elsewhere(event: str) -> None:
        if event == "join" or not coming:
            return
        count = coming.pop(0)
        before, now = await engine.join("room", "ann", "other", count, LEASE)
        assert (before > 0) != (now > 0)
        engine.news.append(("join" if now else "leave", "ann"))

    engine.before_append = elsewhere
    async with open_broker(engine, presence_grace=0) as broker:
        async with present(broker, "ann"):
            pass
        await trio.testing.wait_all_tasks_blocked()
        assert await names(broker, "room") == [("ann", 1)]
        assert [event for event, _ in engine.news] == ["join", "join", "leave", "join"]
        coming.clear()
        async with present(broker, "ann"):
            await engine.join("room", "ann", "other", 0, LEASE)
        await trio.testing.wait_all_tasks_blocked()
        assert [event for event, _ in engine.news][4:] == ["leave"]


async def test_one_name_that_fails_keeps_nobody_elses_lease_from_being_prolonged(
    autojump_clock: trio.testing.MockClock,
) -> None:
    engine = Flaky()
    engine.bad = "bad"
    async with (
        open_broker(engine) as broker,
        present(broker, "ann", "bad", "room"),
        present(broker, "bob"),
    ):
        await engine.join("room", "eve", "dead", 1, 1)
        await trio.sleep(60)
        assert await names(broker, "room") == [("ann", 1), ("bob", 1)]
        assert engine.news == [("join", "ann"), ("join", "bob"), ("leave", "eve")]
