"""What `check_broker` asks of an engine about who is disconnected."""

from __future__ import annotations

from collections.abc import Sequence

from ..broker.disconnects import disconnect_entry
from ..stream import Outcome, Stream
from ._expect import Check, OpenBroker, expect, expect_same

__all__ = ["PRINCIPAL_CHECKS"]

_NAMES = ("ann", "*", "a/**", "$x", "snow ☃\n\0", "l" * 1024)


async def who_is_disconnected_is_gone_here(open_broker: OpenBroker) -> None:
    async with open_broker() as broker:
        for name in _NAMES:
            async with Stream(principal=name) as stream, Stream(principal="another") as other:
                await broker.disconnect(name)
                expect_same(stream.outcome, Outcome.REVOKED, "how a stream of theirs ended")
                expect_same(other.outcome, None, "how a stream of another's ended")


async def who_is_disconnected_elsewhere_is_gone_here(open_broker: OpenBroker) -> None:
    # History or not, all that another process says has to arrive.
    async with open_broker(history=1, history_bytes=1) as broker:
        for name in _NAMES:
            async with Stream(principal=name) as stream, Stream(principal="last") as last:
                entries = [disconnect_entry(who, 0.0, False, "another") for who in (name, "last")]
                await broker.engine.append(entries)
                expect_same([chunk async for chunk in last.value], [], "what came of the last")
                expect_same(stream.outcome, Outcome.REVOKED, "how a stream of theirs ended")


async def what_is_said_of_principals_is_nobodys_event(open_broker: OpenBroker) -> None:
    async with open_broker() as broker:
        await broker.disconnect("ann", refuse_for=60)
        await broker.publish("t", 1)
        page = await broker.read("**")
        expect_same([event.data for event in page.events], ["1"], "what all topics have")
        expect(broker.statistics().subscriptions == 0, "somebody is said to subscribe")


PRINCIPAL_CHECKS: Sequence[Check] = (
    who_is_disconnected_is_gone_here,
    who_is_disconnected_elsewhere_is_gone_here,
    what_is_said_of_principals_is_nobodys_event,
)
