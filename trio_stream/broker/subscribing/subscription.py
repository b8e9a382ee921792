"""`Subscription`: a cursor in a broker's log.

It is in one of two states. *Behind*, its own task reads the log from its cursor on and delivers at
the pace of its client. At the *head*, it follows: the broker's fan-out hands it each new event, and
its task sleeps. It changes to the head when it has read all there is, and falls behind with the
first event that its client has no room for; both in a single step, with nothing awaited between
looking and changing, so that no event is left out, doubled or overtaken in between.
"""

from __future__ import annotations

import warnings
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Literal, Self, final

import trio

from ...checks import check_choice
from ...errors import GapError
from ..contract import Page, Record, joined
from ..contract.event import TopicEvent
from ..contract.notices import Notice, gap_event, put_notice, shaped
from ..contract.recent import Place
from ..contract.statistics import SubscriptionStatistics
from ..contract.topics import Selection
from ..following.followers import Taker
from ..following.mapping import EventMap
from ..reading.feed import LocalFeed
from ..reading.reader import LogReader
from ..reading.snapshot import Snapshot
from .gathering import Gathering
from .hooks import NO_HOOKS, FirstTaker, SubscriptionHooks
from .passing import PassingEvents
from .position import Position
from .roles import Ending, Visit

if TYPE_CHECKING:
    from ...stream.source.contract import HeadersWaitFor, Sink

__all__ = ["Subscription"]

Overflow = Literal["all", "latest"]


@final
class Subscription(Position):
    """Events of some topics, from a cursor on; made by `Broker.subscribe`.

    Use it once: as the source of a `Stream`, which delivers the events and ends when the broker is
    closed, or as an async iterator of `TopicEvent`, which raises

    * `GapError` when events are gone that it should have given. The next ``__anext__`` goes on
      behind the gap.
    * `MapError` when ``map`` fails with an event; each further ``__anext__`` tries it again.
    * `trio.ClosedResourceError` when the broker is closed, or the subscription itself.
    * `trio.BusyResourceError` when another task is iterating it.

    Nothing runs, and nothing but an id is held, until it is streamed or iterated. To leave an
    iteration, drop it; with ``presence=`` use ``async with``, or a `ResourceWarning` says so.

    Memory: at most one page, of 1024 events or 64 KiB, besides what the broker's log holds anyway;
    streamed, another one waits in the stream's buffer, and one is on its way to the client.
    """

    #: Part of the contract of a stream's source: a topic may be silent for hours.
    headers_wait_for: HeadersWaitFor = "nothing"

    __slots__ = (
        "_busy",
        "_ending",
        "_gap",
        "_latest",
        "_map",
        "_number",
        "_page",
        "_passing",
        "_stale_after",
        "_statistics",
        "_used",
        "_visit",
    )

    # For readers of the class: `Follower` and `Position` have them.
    coding: str | None
    sink: Taker
    stream: str | None
    view: EventMap | None

    def __init__(
        self,
        feed: LocalFeed,
        selection: Selection,
        after: Place,
        overflow: Overflow = "all",
        visit: Visit | None = None,
        *,
        gap: Notice[[GapError]] = gap_event,
        ending: Ending | None = None,
        unknown: bool = False,
        stale_after: float | None = None,
        mapping: EventMap | None = None,
        snapshot: Snapshot | None = None,
        statistics: Notice[[SubscriptionStatistics]] = None,
        hooks: SubscriptionHooks = NO_HOOKS,
    ) -> None:
        check_choice("overflow", overflow, ("all", "latest"))
        latest = overflow == "latest"
        reader = LogReader(
            feed, selection, latest=latest, unknown=unknown, mapping=mapping, snapshot=snapshot
        )
        super().__init__(feed, selection, reader, reader.start(after), hooks)
        self._latest = latest
        self._map = mapping
        self._number: int | None = None
        self._visit = visit
        #: What an iterator has read ahead, the next one last. (A deque is 760 bytes, a list 56.)
        self._page: list[Record] | None = None
        self._passing: PassingEvents | None = None  # an iterator's
        self._used = self._busy = False
        self._gap = gap
        self._statistics = statistics
        self._ending = ending
        self._stale_after = stale_after

    def statistics(self) -> SubscriptionStatistics:
        """Counters, for logs and metrics; a snapshot."""
        following = self.seen is not inf
        return SubscriptionStatistics(
            cursor=int(self.seen) if following else self._cursor,
            at_head=following,
            fell_behind=self._fell_behind,
            conflated=self._reader.conflated,
            gaps=self._reader.gaps,
            stream_number=self._number,
        )

    # As the source of a stream.

    async def run(self, sink: Sink) -> None:
        """Deliver to a stream until it or the broker ends; called by the stream."""
        if sink.format != "sse":
            raise TypeError(
                f"a topic's events are server-sent events, and this stream's format is "
                f"{sink.format!r}: iterate the subscription and send what you make of each event"
            )
        self._use()
        # By name, as what others stream into need not have one.
        self.stream = self._reader.stream = getattr(sink, "stream_id", None)
        self._number = getattr(sink, "stream_number", None)
        if self._ending is None:  # else each event has to be looked at
            self.view = self._map
            if self._latest and (seconds := getattr(sink, "flush_every", None)) is not None:
                self.sink = self._gathering = Gathering(sink, seconds, self._note_first)
            elif self._told_first:
                self.sink = sink
                self.coding = sink.express.share()
            else:
                self.sink = FirstTaker(sink, partial(self._note_first, sink))
        self._reader.tells_place = True
        try:
            with self._feed.outage.telling(sink, self._stale_after):
                await self._appear()
                self._cursor = max(self._cursor, await self._reader.find_place())
                had = -1  # of nothing
                while await self._catch_up(sink):
                    for event in () if self._visit is None else self._visit.missed(had):
                        await put_notice(sink, event)
                    while self._sleeps():
                        if self._gathering is not None and self._gathering.since is not None:
                            await self._leave_when_due(self._gathering)
                        else:
                            await trio.lowlevel.wait_task_rescheduled(self._abort)
                    had = self._cursor
        finally:
            self._feed.fanout.discard(self)
            self._disappear()

    async def _catch_up(self, sink: Sink) -> bool:
        """Deliver from the log until nothing is left in it; False when that was the end."""
        while True:
            await sink.wait_for_ebb()
            self._check_not_left()
            conflated = self._reader.conflated
            page, gap = await self._read()
            if self._feed.closed and not page.records:
                return False
            if gap is not None:
                id = None if page.records else page.upto  # it must not skip what is still there
                await put_notice(sink, shaped("gap", self._gap, id, gap))
            if self._reader.conflated > conflated:
                told = shaped("statistics", self._statistics, None, self.statistics())
                await put_notice(sink, told)
            if self._gathering is not None:
                self._cursor = await self._gathering.deliver(page)
            elif self._latest or self._ending is not None:
                if not await self._deliver_each(sink, page):
                    return False
            else:
                if page.records:
                    if (wait := sink.put(joined(page.records))) is not None:
                        await wait
                    sink.add_events(len(page.records) - 1)
                    self._note_first(sink)
                self._cursor = page.upto
            if not page.records and self._go_to_head():
                return True

    async def _deliver_each(self, sink: Sink, page: Page) -> bool:
        """Deliver a page, or, with ``overflow="latest"``, as much as there is room for."""
        ending = self._ending
        for record in page.records:
            event = record.event if ending is None else ending.shape(record)
            wait = None if event is None else sink.put(event)
            if wait is not None:
                await wait
            if event is not None:
                self._note_first(None if ending is not None else sink)
            if record.id:  # else it is a part of a snapshot
                self._cursor = record.id
            if ending is not None and ending.is_last(record):
                return False
            if self._latest and wait is not None and record.id:
                return True  # what is newer by now may replace the rest of the page
        self._cursor = page.upto
        return True

    # As an async iterator.

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> TopicEvent:
        record = await self.next_record()
        return TopicEvent(record.topic, record.event, record.but)

    async def next_record(self) -> Record:
        """`__anext__`, with what only the log knows."""
        if self._busy:
            raise trio.BusyResourceError("another task is iterating this subscription")
        record = None
        while record is None:
            self._busy = True
            try:
                if not self._page:
                    await self._fill()
                else:
                    await trio.lowlevel.checkpoint()
            finally:
                self._busy = False
            record = self._take()
        self._note_first()
        return record

    def _take(self) -> Record | None:
        """The first of what has been read, if its map does not leave it out."""
        assert self._page
        record = self._page.pop()
        if not record.id:  # only passed on, and not read; or a part of a snapshot
            return record if not record.topic or self._map is None else self._map.apply(record)
        self._cursor = record.id
        if self._latest:  # what is newer by then may replace what is kept of the rest of the page
            self._page = [record for record in self._page if not record.id]
        return record

    async def _fill(self) -> None:
        if not self._used:
            self._use()
            self._passing = PassingEvents()
            self._feed.hear_passing(self)
            await self._appear()
            self._cursor = max(self._cursor, await self._reader.find_place())
        while not self._page:
            self._check_not_left()
            self._feed.check_open()
            page, gap = await self._read()
            self._check_not_left()
            assert self._passing is not None
            self._page = self._passing.merged(page.records, page.upto)[::-1]
            self._cursor = page.upto
            if gap is not None:
                raise gap
            if not self._page and self._go_to_head():
                try:
                    await self._follow()
                finally:
                    self._feed.fanout.discard(self)

    async def aclose(self) -> None:
        """Leave: the presence ends, the position is forgotten. Idempotent.

        A task that is iterating it gets `trio.ClosedResourceError`.
        """
        self._used = True
        self._page = None
        self.end()
        self._disappear()
        self.wake()
        await trio.lowlevel.checkpoint()

    def close_unawaited(self) -> bool:
        """For a stream that is never served: nothing is held that would have to be closed."""
        return True

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def _use(self) -> None:
        if self._used:
            raise RuntimeError("a Subscription can be used once: subscribe again")
        self._used = True

    def pass_by(self, head: int, record: Record) -> None:
        """Called by the feed, of an iterator: this is in no log, and comes behind ``head``."""
        assert self._passing is not None
        self._passing.add(head, record)
        if self.seen is not inf:
            self.seen = inf
            self._feed.fanout.discard(self)
            self.wake()

    # Its presence.

    async def _appear(self) -> None:
        self._open()
        if self._visit is not None:
            await self._visit.begin()

    def _disappear(self) -> None:
        self._feed.miss_passing(self)
        if self._visit is not None:
            self._visit.end()
        self._leave()

    def __del__(self) -> None:
        # It is not there if `__init__` has raised; and with the broker all presence has ended.
        visit = getattr(self, "_visit", None)
        if visit is not None and visit.begun and not self._feed.closed:
            visit.end_soon()
            if visit.name is not None:
                warnings.warn(
                    f"{self.selection!r} was iterated with presence={visit.name!r} and not closed: "
                    "use it in an `async with`",
                    ResourceWarning,
                    source=self,
                    stacklevel=1,
                )
