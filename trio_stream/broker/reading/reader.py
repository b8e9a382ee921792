"""`LogReader`: a subscription's way into the log, page by page, which tells what is gone, once."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import final

import trio

from ...errors import GapError, MapError
from ..contract import NOTHING, Page, Record, without
from ..contract.recent import Last, Place
from ..contract.topics import EARLIEST, Selection, parse_cursor
from ..following.mapping import EventMap
from .feed import LocalFeed
from .snapshot import Snapshot

__all__ = ["LogReader"]

#: Records that are read from the log at a time.
PAGE = 1024


@final
class LogReader:
    """What is read for one subscription, in order.

    Args:
      feed: the broker's log, as this process has it.
      selection: the topics that are read.
      latest: whether of each key only the newest event is wanted.
      unknown: what the client brought back is no id, and it has to be told.
      mapping: what is read instead of the topics' events.
      snapshot: what is read where there is no place to go on from, and instead of a gap.
    """

    __slots__ = (
        "_anew",
        "_feed",
        "_latest",
        "_left_out",
        "_mapping",
        "_recent",
        "_selection",
        "_snapshot",
        "_told",
        "_unknown",
        "conflated",
        "gaps",
        "stream",
        "tells_place",
    )

    def __init__(
        self,
        feed: LocalFeed,
        selection: Selection,
        *,
        latest: bool,
        unknown: bool,
        mapping: EventMap | None = None,
        snapshot: Snapshot | None = None,
    ) -> None:
        self._feed = feed
        self._selection = selection
        self._latest = latest
        self._unknown = unknown
        self._mapping = mapping
        self._snapshot = snapshot
        #: Whether to begin with a snapshot.
        self._anew = False
        #: Ids of what was left out of what was read last, for a newer one of the same key.
        self._left_out: Sequence[int] = ()
        self._recent: Last | timedelta | None = None
        #: Of what is gone, by topic, all that the reader knows. None: it has not begun, and asks
        #: for whatever there is.
        self._told: Mapping[str, int] | None = None
        self.conflated: int = 0
        self.gaps: int = 0
        #: The id of the stream that is sent it, if that has one: not all of it is for that.
        self.stream: str | None = None
        #: Whether it is told how far it is, where the mapping has left out what comes last.
        self.tells_place: bool = False

    def start(self, after: Place) -> int:
        """The cursor to begin with, unless `find_place` knows better."""
        if isinstance(after, Last | timedelta):
            self._recent = after
            return EARLIEST
        if after == "earliest":
            return EARLIEST
        self._told = NOTHING
        self._anew = after is None and self._snapshot is not None
        cursor = self._feed.head if after is None else parse_cursor(after)
        if cursor is None:
            self._unknown = True
            return EARLIEST
        return cursor

    async def find_place(self) -> int:
        """The cursor to begin with, where that is to be looked for; else 0, and no checkpoint."""
        recent, self._recent = self._recent, None
        if isinstance(recent, Last):
            return await self._feed.cursor_back(self._selection, recent.events)
        if recent is not None:
            return await self._feed.cursor_since(self._selection, recent.total_seconds())
        return EARLIEST

    async def read(self, cursor: int) -> tuple[Page, GapError | None]:
        """What comes next, and whether something is gone that the reader was not told of yet.

        With ``latest`` it is all there is, and else a page.

        Raises:
          MapError: the mapping failed with what comes next.
        """
        if self._anew:
            return await self._begin_anew(), None
        page, gap = await self._read_page(cursor)
        gone = page.gone
        error = None
        if self._latest and page.records:
            page, more_gone, error = await self._read_latest(cursor, page)
            if more_gone:
                gap, gone = True, {"": 0}  # how much was asked too early
        elif page.records and (self.stream is not None or self._mapping is not None):
            last = page.records[-1]
            page, error = self._made(page)
            page = self._with_place(page, last)
        if error is not None and not gap and not page.records and page.upto <= cursor:
            raise error  # else what comes before it comes first
        if not page.records and self._mapping is not None:
            await trio.lowlevel.checkpoint()  # thousands may have been left out
        if not gap:
            return page, None
        self.gaps += 1
        self._feed.gaps += 1
        if self._snapshot is not None:
            return await self._begin_anew(), None
        missing = None if self._unknown else self._feed.log.missing(cursor, gone)
        after, self._unknown = None if self._unknown else str(cursor), False
        following = page.records[0].event.id if page.records else None
        return page, GapError(self._selection.filters, after, following, missing)

    async def _begin_anew(self) -> Page:
        """The state as it is now, or a moment later than the place from which it is gone on."""
        assert self._snapshot is not None
        place = self._feed.head
        self._anew = True  # again, if this is cancelled or fails
        records = await self._snapshot.take(place)
        self._anew = self._unknown = False
        self._told = NOTHING
        return Page(records, place)

    def _wanted(self, records: Sequence[Record]) -> Sequence[Record]:
        return records if self.stream is None else without(records, self.stream)

    def caught_up(self) -> None:
        """All there is was delivered: what is gone by now need not be remembered any more."""
        self._told = NOTHING

    async def _read_page(self, cursor: int) -> tuple[Page, bool]:
        page = await self._feed.read(self._selection, cursor, PAGE)
        gap = self._unknown
        if page.gone or self._told is None:
            told, self._told = self._told, {**(self._told or NOTHING), **page.gone}
            gap = gap or (told is not None and told != self._told)
        return page, gap

    def _made(self, page: Page) -> tuple[Page, MapError | None]:
        """What is read of a page, up to what the mapping fails with."""
        records = self._wanted(page.records)
        if self._mapping is None:
            return replace(page, records=records), None
        mapped = self._mapping.apply_all(records)
        upto = page.upto if mapped.error is None else mapped.upto
        return replace(page, records=mapped.records, upto=upto), mapped.error

    def _with_place(self, made: Page, last: Record) -> Page:
        """With what tells the client that it has had all up to this, if that was left out."""
        records = made.records
        if self._mapping is None or not self.tells_place or made.upto < last.id:
            return made
        if records and records[-1].id == last.id:
            return made
        place = self._mapping.place_of(last)
        return made if place is None else replace(made, records=[*records, place])

    async def _read_latest(self, cursor: int, page: Page) -> tuple[Page, bool, MapError | None]:
        """From a page on all there is, but of each key only the newest."""
        newest: dict[tuple[str, str], Record] = {}
        gap, error = False, None
        # What its client had no time for is read again, and was not left out yet.
        again = len(self._left_out) - bisect_right(self._left_out, cursor)
        self.conflated -= again
        left_out = []
        while page.records:
            last = page.records[-1]
            page, error = self._made(page)
            for record in page.records:
                key = (record.topic, record.key)
                older = newest.pop(key, None)  # so that the newest comes last
                if older is not None:
                    left_out.append(older.id)
                newest[key] = record
            if error is not None:
                break
            page, more_gone = await self._read_page(page.upto)
            gap = gap or more_gone
        self._left_out = sorted(left_out)
        self.conflated += len(left_out)
        self._feed.conflated += len(left_out) - again
        found = Page(list(newest.values()), page.upto)
        return self._with_place(found, last), gap, error
