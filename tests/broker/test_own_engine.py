"""An engine that somebody else has written, and that takes the contract at its word."""

from collections.abc import Sequence
from typing import Any

import trio

from trio_stream import open_broker
from trio_stream.broker.contract import Entry, Feed, Lease, Page, Record, wire_form
from trio_stream.broker.contract.topics import Selection
from trio_stream.broker.log.leases import LocalLeases


class Eager(LocalLeases):
    """It feeds what others append, from its very start on."""

    keeps_history = False
    shared = False

    async def run(self, feed: Feed, *, task_status: trio.TaskStatus[int]) -> None:
        task_status.started(7)
        feed.records([Record(8, "t", "", wire_form(8, b"data: early\n\n"))])
        await trio.sleep_forever()

    async def append(self, entries: Sequence[Entry], lease: Lease | None = None) -> Sequence[int]:
        raise AssertionError("nothing is published here")

    async def read(self, selection: Selection, after: int, limit: int) -> Page:
        raise AssertionError("it keeps nothing")

    def statistics(self) -> dict[str, Any]:
        return {}


async def test_it_may_feed_as_soon_as_it_has_started() -> None:
    async with open_broker(Eager()) as broker:
        assert broker.last_id == "8"
        async with broker.subscribe("t", after="7") as events:
            assert (await anext(events)).data == "early"
