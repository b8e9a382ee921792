"""`LogTopic`: one topic of a log in memory."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from operator import attrgetter
from typing import final

from ..contract import Record, Retention

__all__ = ["LogTopic", "by_id"]

by_id: attrgetter[int] = attrgetter("id")

#: Of how many events that are gone the ids are known, so that a gap can say how many there are; of
#: twice as many for a while. 8 bytes each.
_GONE = 1024


@final
class LogTopic:
    """One topic's events. Trimming moves `start`; the lists are cut when half of them is waste."""

    __slots__ = (
        "_counted_from",
        "_gone_ids",
        "_hole_ids",
        "bytes",
        "hole",
        "holes",
        "last",
        "name",
        "records",
        "retention",
        "stale",
        "start",
        "times",
        "trimmed",
    )

    def __init__(self, name: str, retention: Retention, trimmed: int) -> None:
        self.name: str = name
        self.retention: Retention = retention
        self.records: list[Record] = []
        self.times: list[float] = []
        self.start: int = 0
        self.bytes: int = 0
        #: The newest id that is gone, and the newest there ever was.
        self.trimmed: int = trimmed
        self.last: int = trimmed
        #: The newest that was taken out from among others, and how many that were.
        self.hole: int = 0
        self.holes: int = 0
        #: The ids of what is gone: all that are larger than the first number here, in two orders.
        self._counted_from = trimmed
        self._gone_ids = array("q")
        self._hole_ids: list[int] = []
        #: How many of its places in the order of all events are of events that are gone.
        self.stale: int = 0

    def __len__(self) -> int:
        return len(self.records) - self.start

    def drop_oldest(self) -> int:
        """Drop one; returns its size."""
        start = self.start
        oldest = self.records[start]
        size = len(oldest.data)
        self.trimmed = oldest.id
        self._gone_ids.append(oldest.id)
        if len(self._gone_ids) > 2 * _GONE:
            self._count_from(self._gone_ids[_GONE])
        self.records[start] = None  # type: ignore[call-overload]  # give its memory back now
        self.start = start = start + 1
        self.bytes -= size
        if start > 32 and start * 2 > len(self.records):
            del self.records[:start], self.times[:start]
            self.start = 0
        return size

    def take_out(self, id: int) -> tuple[int, int] | None:
        """Drop one that is not the oldest; returns its place among them, and its size."""
        index = bisect_left(self.records, id, self.start, key=by_id)
        if index == len(self.records) or self.records[index].id != id:
            return None
        size = len(self.records[index].data)
        del self.records[index], self.times[index]
        self.bytes -= size
        self.hole = max(self.hole, id)
        self.holes += 1
        self._hole_ids.append(id)
        if len(self._hole_ids) > 2 * _GONE:
            self._count_from(sorted(self._hole_ids)[_GONE])
        return index - self.start, size

    @property
    def gone(self) -> int:
        """The newest id that is gone."""
        return max(self.trimmed, self.hole)

    @property
    def mark(self) -> int:
        """Another number whenever more has gone."""
        return self.trimmed + self.holes

    def missing(self, after: int) -> int | None:
        """How many came after this id and are gone; None where that is not known."""
        if after < self._counted_from:
            return None
        trimmed = len(self._gone_ids) - bisect_right(self._gone_ids, after)
        return trimmed + sum(id > after for id in self._hole_ids)

    def _count_from(self, id: int) -> None:
        self._counted_from = max(id, self._counted_from)
        del self._gone_ids[: bisect_right(self._gone_ids, id)]
        self._hole_ids = [hole for hole in self._hole_ids if hole > id]

    def after(self, cursor: int, limit: int) -> list[Record]:
        first = bisect_right(self.records, cursor, self.start, key=by_id)
        return self.records[first : first + limit]
