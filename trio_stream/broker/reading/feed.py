"""What subscriptions read and follow: what the engine feeds, and behind it what the engine keeps.

The newest events are in `log`, as far as memory goes; whoever has read all there is is in `fanout`,
and gets what is new handed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, final
from weakref import WeakSet

import trio

from ..contract import Engine, FullEngine, Page, Record, Retention, full_engine
from ..contract.statistics import SubscriptionStatistics
from ..contract.topics import EARLIEST, Selection
from ..following.fanout import FanOut
from ..log.log import MemoryLog
from ..log.overheard import Told
from .large import LargeEvents
from .outage import Outage

__all__ = ["LocalFeed"]


class Reader(Protocol):
    """A subscription that is streamed or iterated, as it is seen here."""

    #: What it wants.
    selection: Selection

    def wake(self) -> None:
        """Let its task look at what has become of it."""

    def statistics(self) -> SubscriptionStatistics:
        """What it has done so far."""


class Iterating(Protocol):
    """One that is iterated."""

    #: What it wants.
    selection: Selection

    def pass_by(self, head: int, record: Record, /) -> None:
        """This is in no log, and comes behind what is there up to ``head``."""


class _Opening:
    """What an engine says ``started`` to: it may feed before anybody else has a turn."""

    def __init__(self, feed: LocalFeed, task_status: trio.TaskStatus[None]) -> None:
        self._feed = feed
        self._task_status = task_status

    def started(self, head: int | None = None) -> None:
        assert head is not None, "an engine starts with the largest id that has been given so far"
        self._feed.open(head)
        self._task_status.started()


@final
class LocalFeed:
    """A broker's log, as this process has it: the `Feed` that the engine feeds."""

    def __init__(self, engine: Engine, retention: Retention, max_bytes: int) -> None:
        self._engine = engine
        self._retention = retention
        self._max_bytes = max_bytes
        self.fanout: FanOut = FanOut(retention)
        self.outage: Outage = Outage(engine)
        self._large = LargeEvents(max_bytes // 2)
        self.log: MemoryLog
        self.closed: bool = False
        #: The newest id that a publisher of this process was given; it may be fed later.
        self.acknowledged = 0
        #: Of all subscriptions: gaps that they were told of, events that newer ones replaced, and
        #: times that one had no room.
        self.gaps = self.conflated = self.fell_behind = 0
        #: Weak, as an iterator need not be closed: who drops it has left.
        self._readers: WeakSet[Reader] = WeakSet()
        self._iterators: WeakSet[Iterating] = WeakSet()
        self._told: Told = {}
        self._hearers: dict[str, Callable[[Record], None]] = {}

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Run the engine; started once it is open."""
        await self._engine.run(self, task_status=_Opening(self, task_status))

    def open(self, head: int) -> None:
        """The engine is open, and feeds what comes after this id."""
        # The clock's own, which costs half of what `trio.current_time` does: it is asked each time.
        clock = trio.lowlevel.current_clock().current_time
        self.log = MemoryLog(head, self._retention, self._max_bytes, clock, self._told)

    def overhear(self, topic: str, tell: Callable[[], None]) -> None:
        """Have this called by every event of a topic, and when some may have been left out.

        In the middle of what the feed does, so that it may take note and no more. Before `run`.
        """
        self._told[topic] = tell

    def hear_of(self, topic: str, hear: Callable[[Record], None]) -> None:
        """Have this called with all that is passed on in a topic of the library's own, likewise."""
        self._hearers[topic] = hear

    @property
    def head(self) -> int:
        """The newest id that this process knows: what it was fed, or has been told itself."""
        return max(self.log.head, self.acknowledged)

    async def read(self, selection: Selection, cursor: int, limit: int) -> Page:
        """A page from memory if it is there, else from the engine. Mostly not a checkpoint.

        When the broker is closed, what only the engine has is not there any more.
        """
        page = self.log.read(selection, cursor, limit)
        if (page.gone or cursor == EARLIEST) and self._engine.keeps_history:
            if self.closed:
                return Page((), cursor)
            page = self._large.shared(await self._engine.read(selection, cursor, limit))
        return page

    async def cursor_back(self, selection: Selection, count: int) -> int:
        """The id behind which are the newest ``count`` events of what is kept; 0 for all."""
        cursor = self.log.cursor_back(selection, count)
        if cursor == EARLIEST and self._engine.keeps_history:
            self.check_open()
            return await self._full().cursor_back(selection, count)
        return cursor

    async def cursor_since(self, selection: Selection, seconds: float) -> int:
        """The id behind which is all that is not older than this; 0 for all."""
        cursor = self.log.cursor_since(selection, seconds)
        if cursor == EARLIEST and self._engine.keeps_history:
            self.check_open()
            return await self._full().cursor_since(selection, seconds)
        return cursor

    def _full(self) -> FullEngine:
        return full_engine(self._engine, "a place in the log that is not an id")

    # The engine's side.

    def records(self, records: Sequence[Record]) -> None:
        self.log.extend(records)
        self.fanout.push(records)

    def passing(self, records: Sequence[Record]) -> None:
        head = self.log.head
        for record in records:
            if (tell := self._told.get(record.topic)) is not None:
                tell()
            if (hear := self._hearers.get(record.topic)) is not None:
                hear(record)
                continue
            self.fanout.pass_on(record)
            for iterator in list(self._iterators):
                if record.topic in iterator.selection:
                    iterator.pass_by(head, record)

    def forgotten(self, topic: str, id: int | None) -> bool:
        self._large.forget(topic, id)
        return self.log.forget(topic, id)

    def interrupted(self, head: int) -> None:
        last = self.log.head
        self.log.restart(head)
        self.fanout.interrupt(last)
        for tell in self._told.values():
            tell()

    # Who reads, until when.

    @property
    def subscriptions(self) -> int:
        """How many are being streamed or iterated."""
        return len(self._readers)

    def readers(self, topic: str) -> Iterator[Reader]:
        """Those that want a topic, or have asked for this pattern."""
        for reader in list(self._readers):
            if topic in reader.selection or topic in reader.selection.filters:
                yield reader

    def opened(self, reader: Reader) -> None:
        self._readers.add(reader)

    def hear_passing(self, iterator: Iterating) -> None:
        """From now on tell it of what is in no log. What is streamed hears of it by the fan-out."""
        self._iterators.add(iterator)

    def miss_passing(self, iterator: Iterating) -> None:
        """It has left."""
        self._iterators.discard(iterator)

    def left(self, reader: Reader) -> None:
        self._readers.discard(reader)

    def check_open(self) -> None:
        """`trio.ClosedResourceError` when it is not."""
        if self.closed:
            raise trio.ClosedResourceError("the broker is closed")

    def close(self) -> None:
        """No more publishing; every subscription ends."""
        self.closed = True
        self.fanout.close()
        for reader in list(self._readers):
            reader.wake()
