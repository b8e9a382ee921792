"""Reading for many at once: a few pages at a time, and what several want once.

Each of a crowd that comes back after an outage asks for a page. Asked all at once, the last answer
would come later than that of a server may that has not hung; whoever publishes, or claims a lease,
would wait behind all of them; and all the answers would be in memory together. So they wait here
for their turn, and those who wait for the same page share it.

As each is at an id of its own, few would want the same. So while others wait for the same topics,
a page begins at a round id before who asks, if need be, and ends at one: who is near has the same
page, and from then on the same places.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import NamedTuple, final

import trio

from ...errors import BrokerUnavailableError
from ..contract import PackedRecords, Page, Record
from ..contract.topics import EARLIEST, Selection

__all__ = ["SharedReads"]

#: Pages that are asked for at once: one is sent while the next one is found.
_AT_ONCE = 2


class _Place(NamedTuple):
    """Who asks for this gets the same page."""

    filters: tuple[str, ...]
    after: int
    limit: int


class _Asked:
    """A page that waits for its turn.

    Attributes:
      known: set when it is, or will not be: without a result who asked for it has left.
      result: what it is, or why there is none.
    """

    __slots__ = ("known", "result")

    def __init__(self) -> None:
        self.known = trio.Event()
        self.result: Page | BrokerUnavailableError | None = None


@final
class SharedReads:
    """Pages of a server's log.

    Args:
      read: reads one, as `Engine.read`.
      is_lost: whether who has this id is to be told that something is gone, and who has an older
        one need not be; as of the last page.
    """

    def __init__(
        self,
        read: Callable[[Selection, int, int], Awaitable[Page]],
        is_lost: Callable[[int], bool] = lambda _: False,
    ) -> None:
        self._read = read
        self._is_lost = is_lost
        self._turns = trio.CapacityLimiter(_AT_ONCE)
        self._asked: dict[_Place, _Asked] = {}
        #: How many of these are of the same topics.
        self._waiting: Counter[tuple[str, ...]] = Counter()
        #: The ids of a full page, or less: a power of two, and a guess before there was one.
        self._step = 256

    @property
    def waiting(self) -> int:
        """How many pages wait for their turn."""
        return len(self._asked)

    async def read(self, selection: Selection, after: int, limit: int) -> Page:
        """As `Engine.read`; what is told is what was there when it was called, or newer."""
        before = after - after % self._step
        if before < after and self._is_shared(selection):
            page = await self._read_shared(_Place(selection.filters, before, limit), selection)
            # Else what is gone may be so for others alone, or nothing of it is behind his place.
            if not page.gone and not self._is_lost(after):
                found = _between(page, after, page.upto)
                if found.records:
                    return found
        return await self._read_shared(_Place(selection.filters, after, limit), selection)

    def _is_shared(self, selection: Selection) -> bool:
        """Whether others wait for pages of the same topics."""
        return self._waiting[selection.filters] > 0

    async def _read_shared(self, place: _Place, selection: Selection) -> Page:
        while (asked := self._asked.get(place)) is not None:
            await asked.known.wait()
            if isinstance(asked.result, Page):
                return asked.result
            if asked.result is not None:  # anew, as a traceback is one task's
                raise copy.copy(asked.result)
        asked = self._asked[place] = _Asked()
        self._waiting[place.filters] += 1
        try:
            asked.result = await self._in_turn(place, selection)
            return asked.result
        except BrokerUnavailableError as exc:
            asked.result = exc
            raise
        finally:
            asked.known.set()

    async def _in_turn(self, place: _Place, selection: Selection) -> Page:
        try:
            await self._turns.acquire()
        finally:  # who comes later wants what is newer
            del self._asked[place]
            self._waiting[place.filters] -= 1
            if not self._is_shared(selection):
                del self._waiting[place.filters]
        try:
            page = await self._read(selection, place.after, place.limit)
        finally:
            self._turns.release()
        if place.after == EARLIEST or not _is_full(page):
            return page
        self._step = 1 << (page.upto - place.after).bit_length() - 1
        end = _round_id(place.after, page.upto)
        if self._is_shared(selection) and not self._is_lost(end):
            return _between(page, place.after, end)
        return page


def _is_full(page: Page) -> bool:
    """Whether there is more behind it."""
    records = page.records
    if not records:
        return False
    last = records.last if isinstance(records, PackedRecords) else records[-1].id
    return last == page.upto


def _round_id(after: int, upto: int) -> int:
    """The roundest in the second half of these."""
    middle = after + (upto - after) // 2
    zeros = (middle ^ upto).bit_length() - 1
    return upto >> zeros << zeros


def _between(page: Page, after: int, upto: int) -> Page:
    """A part of a page, but no empty one of its beginning: that would say that this was all."""
    records: Sequence[Record]
    if isinstance(page.records, PackedRecords):
        records = page.records.between(after, upto)
    else:
        records = [record for record in page.records if after < record.id <= upto]
    if not records and upto < page.upto:
        return page
    return replace(page, records=records, upto=upto)
