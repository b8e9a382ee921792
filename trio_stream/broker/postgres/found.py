"""What is in rows of events, as PostgreSQL has given them: a page, or records."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import accumulate, chain, repeat
from struct import unpack
from typing import Final, final

from ..contract import PackedRecords, Record
from .values import read_int, read_int_array

__all__ = ["Found", "FoundRecords", "records_of"]

#: What an event's line with its id has at most.
_ID_BYTES = 32


@final
class FoundRecords(PackedRecords):
    """Some of what was found.

    Args:
      data: the bytes of all of these events.
      start, end: which of those that were found they are.
    """

    __slots__ = ("_end", "_found", "_start")

    def __init__(self, found: Found, data: bytes, start: int, end: int) -> None:
        self._found = found
        self._start = start
        self._end = end
        [size] = found.sizes(end - 1, end)
        last = _id_of(data[len(data) - size : len(data) - size + _ID_BYTES])
        # Not a method of its own: in a circle it would outlive whoever had it.
        made = partial(found.records, data, start, end)
        super().__init__(data, last, end - start, made, found.about)

    def between(self, after: int, upto: int) -> Sequence[Record]:
        """As `PackedRecords.between`, without taking them apart."""
        starts = [0, *accumulate(self._found.sizes(self._start, self._end))]

        def id_at(n: int) -> int:
            return _id_of(self.data[starts[n] : starts[n] + _ID_BYTES])

        first, end = (bisect_right(range(len(self)), id, key=id_at) for id in (after, upto))
        if first == end:
            return ()
        data = self.data[starts[first] : starts[end]]
        return FoundRecords(self._found, data, self._start + first, self._start + end)

    def pages(self, limit: int, size: int) -> list[FoundRecords]:
        """The same in pieces of at most so many events, and bytes unless a single one has more."""
        ends = [0, *accumulate(self._found.sizes(self._start, self._end))]
        pages: list[FoundRecords] = []
        start = 0
        while start < len(self):
            fitting = bisect_right(ends, ends[start] + size) - 1
            end = min(max(fitting, start + 1), start + limit)
            data = self.data[ends[start] : ends[end]]
            pages.append(FoundRecords(self._found, data, self._start + start, self._start + end))
            start = end
        return pages


@final
class Found:
    """Rows, whose events lie one after another.

    Args:
      names: the topics that were asked for.
      floors: behind which id what was asked for begins, of each of these.
      columns: what the function `read` of ``schema.sql`` answers, from its ``data`` on, but for
        the last row's id.
    """

    def __init__(
        self, names: Sequence[str], floors: Sequence[int], columns: Sequence[bytes | None]
    ) -> None:
        data, sizes, places, spans, self._keys, self._buts = columns
        self._names = names
        self._floors = floors
        self._data = data or b""
        self._sizes = sizes or b""
        self._count = len(self._sizes) // 4
        self._places = [place - 1 for place in read_int_array(places or b"")]
        self._spans = [self._count] if spans is None else read_int_array(spans)
        self.about: Final = "" if self._buts is None else "\0".join(_texts(self._buts))

    def sizes(self, start: int, end: int) -> Sequence[int]:
        """The bytes of some of the events."""
        return read_sizes(self._sizes[4 * start : 4 * end])

    def after_floors(self, limit: int) -> tuple[Sequence[Record], bool]:
        """So many of what was asked for, at most, and whether there is more of that here."""
        skipped = self._skipped()
        if any(skipped[1:]):
            records = [
                record
                for record, place in zip(self._all(), self._each_place(), strict=True)
                if record.id > self._floors[place]
            ]
            return records[:limit], len(records) > limit
        start = skipped[0]
        end = min(self._count, start + limit)
        data, self._data = self._data, b""
        if start or end < self._count:
            first = sum(self.sizes(0, start))
            data = data[first : first + sum(self.sizes(start, end))]
        return FoundRecords(self, data, start, end), end < self._count

    def _skipped(self) -> list[int]:
        """How many events at the beginning of each row were not asked for."""
        skipped = []
        start = event = 0
        for place, span in zip(self._places, self._spans, strict=True):
            first = _id_of(self._data[start : start + _ID_BYTES])
            skipped.append(max(0, self._floors[place] - first + 1))
            if len(self._spans) > 1:
                start += sum(self.sizes(event, event + span))
                event += span
        return skipped

    def _each_place(self) -> Iterable[int]:
        return chain.from_iterable(map(repeat, self._places, self._spans))

    def _all(self) -> list[Record]:
        return self.records(self._data, 0, self._count)

    def records(self, data: bytes, start: int, end: int) -> list[Record]:
        """Some of them, of which this is the data."""
        keys = repeat("") if self._keys is None else _texts(self._keys)[start:end]
        buts = repeat("") if self._buts is None else _texts(self._buts)[start:end]
        places = [*self._each_place()][start:end]
        place = 0
        records: list[Record] = []
        sizes = self.sizes(start, end)
        for size, of, key, but in zip(sizes, places, keys, buts, strict=False):
            event = data[place : place + size]
            records.append(Record(_id_of(event), self._names[of], key, event, but))
            place += size
        return records


def records_of(
    last: int, topic: str, sizes: bytes, keys: bytes | None, buts: bytes | None, data: bytes
) -> list[Record]:
    """The events of a row."""
    each = read_sizes(sizes)
    first = last - len(each) + 1
    each_key = repeat("") if keys is None else _texts(keys)
    each_but = repeat("") if buts is None else _texts(buts)
    place = 0
    records: list[Record] = []
    for id, size, key, but in zip(range(first, last + 1), each, each_key, each_but, strict=False):
        records.append(Record(id, topic, key, data[place : place + size], but))
        place += size
    return records


def read_sizes(written: bytes) -> Sequence[int]:
    """Numbers that lie one after another."""
    return unpack(f"!{len(written) // 4}i", written)


def _texts(items: bytes) -> list[str]:
    """Each of these is behind its size."""
    place = 0
    texts: list[str] = []
    while place < len(items):
        size = read_int(items[place : place + 4])
        texts.append(items[place + 4 : place + 4 + size].decode())
        place += 4 + size
    return texts


def _id_of(event: bytes) -> int:
    """Of an event in its wire form, which begins with it."""
    return int(event[len(b"id: ") : event.index(b"\n")])
