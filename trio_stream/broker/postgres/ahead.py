"""Reading ahead of who has far to go: the next pages come while he is sent those before.

To ask costs PostgreSQL and this process about as much as a page of small events does, and while one
of them works the other waits. So for whoever reads on, behind a page that was full, several pages
are read at once, and the next ones while he takes these, if nobody else wants something. All who
are at the same place share them, as those do who come back together.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import NamedTuple, final

import trio

from ...errors import BrokerUnavailableError
from ..contract import PackedRecords, Page
from ..contract.topics import Selection
from .found import FoundRecords
from .history import PAGE_BYTES

__all__ = ["ReadAhead"]

#: Pages that are read at once.
_PAGES = 4

#: Events of a page that somebody streams. Who asks for fewer does something else with it first.
_STREAMED = 1024

#: Bytes that are there for somebody to come, of all together, and seconds that they are: what is
#: kept of a topic, by number or age, is decided when it is read.
_MOST_BYTES, _SECONDS = 2**21, 1.0

#: Places that are remembered, as somebody may read on there.
_ENDS = 1024


class _Place(NamedTuple):
    """Who asks for this gets the same page."""

    filters: tuple[str, ...]
    after: int
    limit: int


class _Kept:
    """A page for who comes to its place.

    Attributes:
      behind: where to read on once somebody has come for it.
      used: whether somebody has.
    """

    __slots__ = ("behind", "page", "size", "time", "used")

    def __init__(self, page: Page, size: int, behind: _Place | None) -> None:
        self.page = page
        self.size = size
        self.behind = behind
        self.time = trio.current_time()
        self.used = False

    def is_old(self) -> bool:
        return trio.current_time() > self.time + _SECONDS


@final
class ReadAhead:
    """Pages of an engine's history, some of which are there before they are asked for.

    Args:
      read: as `History.read`.
      read_page: as `Engine.read`, for who has no page here.
      is_idle: whether nobody waits for an answer of PostgreSQL's.

    Attributes:
      bytes: of the pages that are there.
    """

    def __init__(
        self,
        read: Callable[[Selection, int, int, int], Awaitable[Page]],
        read_page: Callable[[Selection, int, int], Awaitable[Page]],
        is_idle: Callable[[], bool],
    ) -> None:
        self._read = read
        self._read_page = read_page
        self._is_idle = is_idle
        self._ends: OrderedDict[_Place, None] = OrderedDict()
        self._kept: dict[_Place, _Kept] = {}
        self.bytes: int = 0
        #: What is being read, for who comes meanwhile.
        self._coming: dict[_Place, trio.Event] = {}
        #: How often something may have been deleted.
        self._changes = 0
        self._nursery: trio.Nursery

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Read ahead, and let go of what nobody comes for, until cancelled."""
        async with trio.open_nursery() as self._nursery:
            task_status.started()
            while True:
                await trio.sleep(10 * _SECONDS)
                self._make_room(_MOST_BYTES)

    def drop(self) -> None:
        """Something may have been deleted: what was read before is handed out no more."""
        self._changes += 1
        self._kept.clear()
        self.bytes = 0

    async def read(self, selection: Selection, after: int, limit: int) -> Page:
        """As `Engine.read`."""
        if limit < _STREAMED:
            return await self._read_page(selection, after, limit)
        place = _Place(selection.filters, after, limit)
        if (coming := self._coming.get(place)) is not None:
            await coming.wait()
        page = self._take(selection, place)
        if page is None and place in self._ends and self._begin(place):
            page, _ = await self._read_more(selection, place)
            page = self._take(selection, place) or page
        if page is None:
            page = await self._read_page(selection, after, limit)
            self._note_end(place, page)
        return page

    def _take(self, selection: Selection, place: _Place) -> Page | None:
        """What is there; then it is time for what follows to be read."""
        kept = self._kept.get(place)
        if kept is None or kept.is_old():
            return None
        kept.used = True
        behind = kept.behind
        if behind is not None and self._is_idle() and self._begin(behind):
            self._nursery.start_soon(self._fetch, selection, behind)
        return kept.page

    def _note_end(self, place: _Place, page: Page) -> _Place | None:
        """Where somebody may read on: behind a full page, if nobody is to be told of a gap."""
        records = page.records
        if not isinstance(records, FoundRecords) or records.last != page.upto or page.gone:
            return None
        end = place._replace(after=page.upto)
        self._ends[end] = None
        if len(self._ends) > _ENDS:
            self._ends.popitem(last=False)
        return end

    async def _fetch(self, selection: Selection, place: _Place) -> None:
        """Read what somebody will want, unless that does not work: then he will ask himself."""
        following: _Place | None = place
        with suppress(BrokerUnavailableError):
            while following is not None:
                _, following = await self._read_more(selection, following)
                # At once: when whoever waited has his turn, he and his stream are busy for a while.
                if following is not None and not (self._is_idle() and self._begin(following)):
                    return

    async def _read_more(self, selection: Selection, place: _Place) -> tuple[Page, _Place | None]:
        """Read some pages that were begun with, and keep them.

        Returns the first, and what is to be read next if somebody waits for these.
        """
        changes = self._changes
        try:
            size = _PAGES * PAGE_BYTES
            found = await self._read(selection, place.after, _PAGES * place.limit, size)
        finally:
            coming = self._coming.pop(place)
            is_waited_for = coming.statistics().tasks_waiting > 0
            coming.set()
        end = self._note_end(place, found)
        if not isinstance(found.records, FoundRecords):
            return found, None
        pages = [
            Page(records, records.last, found.gone)
            for records in found.records.pages(place.limit, PAGE_BYTES)
        ]
        pages[-1] = Page(pages[-1].records, found.upto, found.gone)
        if changes != self._changes or found.gone:
            return pages[0], None
        self._keep(place, pages, end)
        return pages[0], end if is_waited_for else None

    def _keep(self, place: _Place, pages: Sequence[Page], end: _Place | None) -> None:
        for page in pages:
            assert isinstance(page.records, PackedRecords)
            size = len(page.records.data)
            if not self._make_room(size):
                break
            self._forget(place)
            self._kept[place] = _Kept(page, size, end)
            self.bytes += size
            place = place._replace(after=page.upto)

    def _begin(self, place: _Place) -> bool:
        """Say that it is coming, if there is room for it, and it is neither there nor coming."""
        kept = self._kept.get(place)
        if place in self._coming or (kept is not None and not kept.is_old()):
            return False
        if not self._make_room((len(self._coming) + 1) * _PAGES * PAGE_BYTES):
            return False
        self._coming[place] = trio.Event()
        return True

    def _make_room(self, size: int) -> bool:
        """For so many bytes, if that can be had of what was used, or has been there for long."""
        for place, kept in list(self._kept.items()):
            if self.bytes + size <= _MOST_BYTES:
                break
            if kept.used or kept.is_old():
                self._forget(place)
        return self.bytes + size <= _MOST_BYTES

    def _forget(self, place: _Place) -> None:
        kept = self._kept.pop(place, None)
        if kept is not None:
            self.bytes -= kept.size
