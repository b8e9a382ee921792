"""What the parts of a broker share: its engine, the log in memory, and who is subscribed."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, final

import trio

from .contract import Engine, Entry, Record, Retention
from .fanout import FanOut
from .log import MemoryLog
from .presence import Presence

if TYPE_CHECKING:
    from .subscription import Subscription

__all__ = ["Hub"]


@final
class Hub:
    """The inside of a `Broker`; what the engine feeds."""

    def __init__(self, engine: Engine, retention: Retention, max_bytes: int) -> None:
        self.engine = engine
        self.retention = retention
        self._max_bytes = max_bytes
        self.fanout = FanOut()
        self.presence = Presence(self)
        #: Tells this broker from others on the same log, and from itself in an earlier life.
        self.owner = uuid.uuid4().hex
        self.closed = False
        self.published = 0
        self._acknowledged = 0
        self._open: set[Subscription] = set()
        self.log: MemoryLog

    def start(self, head: int) -> None:
        """The engine is open."""
        self.log = MemoryLog(head, self.retention, self._max_bytes, trio.current_time)

    @property
    def head(self) -> int:
        """The newest id that this process knows: what it was fed, or has been told itself."""
        return max(self.log.head, self._acknowledged)

    @property
    def subscriptions(self) -> int:
        """How many are being streamed or iterated."""
        return len(self._open)

    async def append(self, entries: Sequence[Entry]) -> Sequence[int]:
        """Store, and wait while there is too much to hand out."""
        ids = await self.engine.append(entries)
        self.published += len(entries)
        self._acknowledged = max(self._acknowledged, ids[-1])
        return ids

    # The engine's feed.

    def records(self, records: Sequence[Record]) -> None:
        append = self.log.append
        for record in records:
            append(record)
        self.fanout.push(records)

    def interrupted(self, head: int) -> None:
        last = self.log.head
        self.log.restart(head)
        self.fanout.interrupt(last)

    # Subscriptions.

    def opened(self, subscription: Subscription) -> None:
        self._open.add(subscription)

    def left(self, subscription: Subscription) -> None:
        self._open.discard(subscription)

    def close(self) -> None:
        """No more publishing; every subscription ends."""
        self.closed = True
        for subscription in list(self._open):
            subscription.wake()
