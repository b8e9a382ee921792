"""`Publisher`: the way into the log, for what users publish and for the library's own events."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import final

import trio

from .contract import Engine, Entry, Lease
from .counting import Counting
from .reading.feed import LocalFeed

__all__ = ["Publisher"]


@final
class Publisher:
    """Stores events, counts them, and holds up who publishes more than can be handed out."""

    def __init__(self, engine: Engine, feed: LocalFeed) -> None:
        self._engine = engine
        self._feed = feed
        self.counting: Counting = Counting(engine, feed)
        self.published: int = 0

    @property
    def newest(self) -> int:
        """The newest id of which is known here that it is stored."""
        return self._feed.head

    async def append(self, entries: Sequence[Entry], lease: Lease | None = None) -> Sequence[int]:
        """Store; for the library's own events, which wait for nobody."""
        ids = await self._append(entries, lease)
        self.accepted(len(ids), ids[-1])
        return ids

    async def publish(self, entries: Sequence[Entry], lease: Lease | None = None) -> Sequence[int]:
        """Store, and wait while there is too much to hand out: what `Broker.publish` promises."""
        self._feed.check_open()
        ids = await self._append(entries, lease)  # a checkpoint
        if self.accepted(len(ids), ids[-1]):
            await self.wait_for_room()
        return ids

    def _append(self, entries: Sequence[Entry], lease: Lease | None) -> Awaitable[Sequence[int]]:
        # An engine that is never asked for a resumable producer need not know of leases here.
        engine = self._engine
        return engine.append(entries) if lease is None else engine.append(entries, lease)

    def accepted(self, count: int, last: int) -> bool:
        """So many are stored, up to this id; returns whether to wait until there is room again."""
        self.published += count
        feed = self._feed
        if last > feed.acknowledged:
            feed.acknowledged = last
        return feed.fanout.crowded

    async def wait_for_room(self) -> None:
        """Wait while there is too much to hand out, whatever is cancelled.

        The events are accepted, so that `trio.Cancelled` would be a lie.
        """
        with trio.CancelScope(shield=True):
            await self._feed.fanout.wait_for_room()
