"""Who is there, and the news of it."""

import trio
import trio.testing

from trio_stream import Stream
from trio_stream.broker import Broker, open_broker, presence_topic
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
