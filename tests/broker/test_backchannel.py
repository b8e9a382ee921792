"""What processes that share a log tell each other, and no subscriber hears."""

import logging
from typing import Any

import pytest
import trio
import trio.testing

from trio_stream import open_broker
from trio_stream.broker.backchannel import Backchannel


class Heard:
    """A process that hears, with all that it has heard."""

    def __init__(self) -> None:
        self.values: list[Any] = []

    async def run(self, channel: Backchannel) -> None:
        while True:
            self.values.append(await channel.receive())


async def test_all_hear_what_is_said_to_all_and_one_what_is_said_to_it() -> None:
    one, other, stranger = Heard(), Heard(), Heard()
    async with open_broker() as broker, broker.subscribe("**", "*", "tools/*") as events:
        channel = broker.backchannel("tools", "one", one.run)
        broker.backchannel("tools", "other", other.run)
        broker.backchannel("others", "one", stranger.run)
        with trio.move_on_after(0):  # from now on it hears what is only passed on
            await anext(events)
        await trio.testing.wait_all_tasks_blocked()
        await channel.say({"to": "all"})
        await channel.say([1, "two"], to="other")
        await broker.publish("last", "x")
        assert (await anext(events)).topic == "last"  # nothing of it reaches a subscriber
        assert one.values == [{"to": "all"}]
        assert other.values == [{"to": "all"}, [1, "two"]]
        assert stranger.values == []
        statistics = broker.statistics()
        assert (statistics.published, statistics.subscriptions) == (1, 1)
    with pytest.raises(trio.ClosedResourceError):
        await channel.say("too late")


async def test_what_a_tool_fails_with_is_logged_and_is_not_the_brokers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail(channel: Backchannel) -> None:
        raise ValueError(await channel.receive())

    async with open_broker() as broker:
        channel = broker.backchannel("tools", "one", fail)
        await trio.testing.wait_all_tasks_blocked()
        await channel.say("its own fault")
        await trio.testing.wait_all_tasks_blocked()
        await broker.publish("x", "the broker goes on")
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


async def test_who_does_not_listen_fast_enough_misses_some(
    caplog: pytest.LogCaptureFixture,
) -> None:
    heard = Heard()
    begin = trio.Event()

    async def slow(channel: Backchannel) -> None:
        await begin.wait()
        await heard.run(channel)

    async with open_broker() as broker:
        channel = broker.backchannel("tools", "one", slow)
        await trio.testing.wait_all_tasks_blocked()
        for n in range(300):
            await channel.say(n)
        begin.set()
        await trio.testing.wait_all_tasks_blocked()
    assert heard.values == list(range(256))
    assert "not heard fast enough" in caplog.text
