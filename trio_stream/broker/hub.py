"""What the parts of a broker share: its engine, the log in memory, and who is subscribed."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from contextlib import suppress
from math import inf
from typing import TYPE_CHECKING, final
from weakref import WeakSet

import trio

from .contract import LEASE, Engine, Entry, Page, Record, Retention
from .fanout import FanOut
from .log import MemoryLog
from .presence import Presence
from .topics import EARLIEST, Selection

if TYPE_CHECKING:
    from .resumable import ResumableRun
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
        #: Weak, as an iterator need not be closed: who drops it has left.
        self._open: WeakSet[Subscription] = WeakSet()
        #: The resumable producers that run in this process, by topic.
        self.runs: dict[str, ResumableRun] = {}
        self.log: MemoryLog
        self.nursery: trio.Nursery

    def start(self, head: int, nursery: trio.Nursery) -> None:
        """The engine is open."""
        self.log = MemoryLog(head, self.retention, self._max_bytes, trio.current_time)
        self.nursery = nursery
        self._token = trio.lowlevel.current_trio_token()

    @property
    def head(self) -> int:
        """The newest id that this process knows: what it was fed, or has been told itself."""
        return max(self.log.head, self._acknowledged)

    @property
    def subscriptions(self) -> int:
        """How many are being streamed or iterated."""
        return len(self._open)

    @property
    def lease(self) -> float:
        """Seconds that this process's word holds, about who is present and what it runs."""
        return LEASE if self.engine.shared else inf

    async def append(self, entries: Sequence[Entry]) -> Sequence[int]:
        """Store; for the library's own events, which wait for nobody."""
        ids = await self.engine.append(entries)
        self.accepted(len(ids), ids[-1])
        return ids

    async def publish(self, entries: Sequence[Entry]) -> Sequence[int]:
        """Store, and wait while there is too much to hand out: what `Broker.publish` promises."""
        self.check_open()
        ids = await self.engine.append(entries)  # a checkpoint
        if self.accepted(len(ids), ids[-1]):
            await self.wait_for_room()
        return ids

    def check_open(self) -> None:
        """`trio.ClosedResourceError` when it is not."""
        if self.closed:
            raise trio.ClosedResourceError("the broker is closed")

    def accepted(self, count: int, last: int) -> bool:
        """So many are stored, up to this id; returns whether to wait until there is room again."""
        self.published += count
        if last > self._acknowledged:
            self._acknowledged = last
        return self.fanout.crowded

    async def wait_for_room(self) -> None:
        """Wait while there is too much to hand out, whatever is cancelled.

        The events are accepted, so that `trio.Cancelled` would be a lie.
        """
        with trio.CancelScope(shield=True):
            await self.fanout.wait_for_room()

    async def read(self, selection: Selection, cursor: int, limit: int) -> Page:
        """A page from memory if it is there, else from the engine. Mostly not a checkpoint.

        When the broker is closed, what only the engine has is not there any more.
        """
        page = self.log.read(selection, cursor, limit)
        if (page.gone or cursor == EARLIEST) and self.engine.keeps_history:
            if self.closed:
                return Page((), cursor)
            page = await self.engine.read(selection, cursor, limit)
        return page

    # The engine's feed.

    def records(self, records: Sequence[Record]) -> None:
        self.log.extend(records)
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

    def disappear_soon(self, selection: Selection, name: str) -> None:
        """For one who was dropped, and by the garbage collector perhaps: in whatever thread."""
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(self.presence.leave, selection, name)

    async def stop_runs(self) -> None:
        """Stop the resumable producers of this process, and tell those who watch them."""
        runs = list(self.runs.values())
        for run in runs:
            run.stop("lost")
        for run in runs:
            await run.ended.wait()

    def close(self) -> None:
        """No more publishing; every subscription ends."""
        self.closed = True
        self.fanout.close()
        for subscription in list(self._open):
            subscription.wake()
