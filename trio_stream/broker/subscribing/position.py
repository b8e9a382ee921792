"""`Position`: where a subscription is in the log, and how it changes between behind and head."""

from __future__ import annotations

from abc import abstractmethod
from math import inf

import trio
from outcome import Value

from ...errors import GapError, MapError
from ...stream.options.hooks import call_hook
from ..contract import Page
from ..contract.statistics import SubscriptionStatistics
from ..contract.topics import Selection
from ..following.followers import NOWHERE, Follower, Taker
from ..following.mapping import EventMap
from ..reading.feed import LocalFeed
from ..reading.reader import LogReader
from .gathering import Gathering
from .hooks import SubscriptionHooks

__all__ = ["Position"]


class Position(Follower):
    """A cursor, and the task that reads on from it or sleeps at the head.

    Args:
      feed: what is read and followed.
      reader: reads it.
      cursor: the id up to which it has everything.
      hooks: who is told.
    """

    __slots__ = (
        "__weakref__",
        "_cursor",
        "_failure",
        "_feed",
        "_fell_behind",
        "_gathering",
        "_hooks",
        "_is_open",
        "_reader",
        "_task",
        "_told_first",
        "coding",
    )

    coding: str | None
    # For readers of the class: `Follower` has them.
    seen: float
    sink: Taker
    stream: str | None
    view: EventMap | None

    def __init__(
        self,
        feed: LocalFeed,
        selection: Selection,
        reader: LogReader,
        cursor: int,
        hooks: SubscriptionHooks,
    ) -> None:
        super().__init__(inf, selection, NOWHERE)
        self._feed = feed
        self._reader = reader
        self._cursor = cursor
        self._task: trio.lowlevel.Task | None = None
        self._failure: MapError | None = None
        self._fell_behind = 0
        #: Its `sink`, if that is one whose events wait in the log between two writes.
        self._gathering: Gathering | None = None
        self._is_open = False
        self._hooks = hooks
        self._told_first = hooks.on_first_event is None

    @abstractmethod
    def statistics(self) -> SubscriptionStatistics:
        """What its hooks are told; see `Subscription`."""

    def _open(self) -> None:
        self._feed.opened(self)
        self._is_open = True
        call_hook("on_open", self._hooks.on_open, self, self.selection.facts)

    def _check_not_left(self) -> None:
        """For one that has been opened, and may have been left by another task."""
        if not self._is_open:
            raise trio.ClosedResourceError("the subscription was closed: subscribe again")

    def _leave(self) -> None:
        self._feed.left(self)
        if self._is_open:
            self._is_open = False
            call_hook("on_end", self._hooks.on_end, self, self.selection.facts)

    async def _read(self) -> tuple[Page, GapError | None]:
        reader = self._reader
        before = reader.gaps, reader.conflated
        try:
            return await reader.read(self._cursor)
        finally:
            if (reader.gaps, reader.conflated) != before:
                call_hook("on_drop", self._hooks.on_drop, self, self.selection.facts)

    def _note_first(self, sink: Taker | None = None) -> None:
        """The first event has been taken; by this stream, if it is to have all others."""
        if not self._told_first:
            self._told_first = True
            if sink is not None:
                self.sink = sink
            facts = self.selection.facts
            call_hook("on_first_event", self._hooks.on_first_event, self, facts)

    def _go_to_head(self) -> bool:
        """Follow from here on, unless something has been appended since the last read."""
        feed = self._feed
        if feed.closed or self._cursor < feed.log.head:
            return False
        self._reader.caught_up()
        self.seen = self._cursor
        feed.fanout.add(self)
        return True

    def _sleeps(self) -> bool:
        """Whether its task is to sleep: the fan-out does the work, until it finds no room.

        Who asks sleeps itself, with `_abort`: to await `_follow` is 216 bytes more in each idle
        subscriber.
        """
        if self.seen is inf or self._feed.closed:
            self._come_back()
            return False
        self._task = trio.lowlevel.current_task()
        return True

    async def _follow(self) -> None:
        """Sleep as long as that."""
        while self._sleeps():
            await trio.lowlevel.wait_task_rescheduled(self._abort)

    async def _leave_when_due(self, gathering: Gathering) -> None:
        """Stay at the head until the stream may write, then fall behind what waits since."""
        with trio.move_on_at(gathering.due):
            while self.seen is not inf and not self._feed.closed:
                self._task = trio.lowlevel.current_task()
                await trio.lowlevel.wait_task_rescheduled(self._abort)
        if gathering.since is not None:
            self._cursor, gathering.since = max(self._cursor, gathering.since), None
            self.end()

    def _come_back(self) -> None:
        if self.seen is not inf:  # the broker is closed, and up to here it has had everything
            self._cursor, self.seen = int(self.seen), inf
            self._feed.fanout.discard(self)
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise MapError(failure.topic, failure.id) from failure.__cause__

    def _abort(self, _: object) -> trio.lowlevel.Abort:
        self._task = None
        return trio.lowlevel.Abort.SUCCEEDED

    def fall_behind(self, cursor: int) -> None:
        """Called by the fan-out: its client had no room for what comes after ``cursor``."""
        gathering = self._gathering
        if gathering is not None:
            if gathering.since is None:
                gathering.since = cursor
                self.wake()
            return
        self._cursor = max(self._cursor, cursor)
        self.seen = inf
        if self.sink is not NOWHERE:  # else it is iterated, and comes for each by itself
            self._fell_behind += 1
            self._feed.fell_behind += 1
        self._feed.fanout.discard(self)
        self.wake()

    def fail(self, error: MapError) -> None:
        """Called by the fan-out: what it was to be handed next could not be made."""
        self._failure = error
        self.end()
        self.wake()

    def end(self) -> None:
        """Called by the fan-out: its stream has ended, and will cancel its task."""
        self.seen = inf
        self._feed.fanout.discard(self)

    def wake(self) -> None:
        """Let its task look at what has become of it."""
        if self._task is not None:
            task, self._task = self._task, None
            trio.lowlevel.reschedule(task, Value(None))
