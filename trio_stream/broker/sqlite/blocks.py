"""How events lie in the file of a ``sqlite://`` broker: many of them in a row.

A block is what one transaction has added to a topic. Its ids follow one another, so that the last
one and their count say them all. To write 500 events as one row takes a third of the time of 500
rows, to read them a fifth. An event that was published alone is a block of one.
"""

from __future__ import annotations

import json
import sqlite3
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, islice, repeat
from typing import NamedTuple

from ..contract import PackedRecords, Record

__all__ = ["BLOCK_TABLES", "PAGE_BYTES", "Block", "TopicRow", "pack", "read_blocks", "split"]

BLOCK_TABLES = """
CREATE TABLE blocks (last INTEGER PRIMARY KEY, events INTEGER NOT NULL, topic INTEGER NOT NULL,
                     time REAL NOT NULL, sizes TEXT NOT NULL, keys TEXT NOT NULL,
                     data BLOB NOT NULL);
CREATE INDEX blocks_of_topic ON blocks (topic, last);
"""

#: Bytes of events in a block, and of blocks in a page, unless a single one has more.
PAGE_BYTES = 2**16

#: Blocks as one row: the events' bytes, one after another, and lists of all else that they have.
_PAGE = """
SELECT CAST(group_concat(data, '') AS BLOB), group_concat(sizes), group_concat(last),
       group_concat(events), group_concat(topic), json_group_array(keys), sum(events)
FROM (SELECT * FROM blocks WHERE {} AND last > ? ORDER BY last LIMIT ?)
"""


#: How many events and bytes the next blocks have; their bytes are not read for it.
_AHEAD = """
SELECT group_concat(events), group_concat(size)
FROM (SELECT events, length(data) AS size FROM blocks WHERE {} AND last > ? ORDER BY last LIMIT ?)
"""

#: Blocks that are looked at first. Large ones fill a page with fewer.
_FEW = 4


class Block(NamedTuple):
    """A row of the table.

    Attributes:
      last: the id of its last event.
      events: how many there are.
      topic: its topic's number.
      time: when it was written, in seconds since 1970.
      sizes: of its events, in bytes.
      keys: of its events, as JSON, or nothing if none has one.
      data: their wire forms, one after another.
    """

    last: int
    events: int
    topic: int
    time: float
    sizes: str
    keys: str
    data: bytes


class TopicRow(NamedTuple):
    """What reading has to know of a topic: its name, and the newest id that was trimmed."""

    name: str
    trimmed: int


def pack(records: Sequence[Record], topic: int, now: float) -> list[Block]:
    """The blocks for some records of one topic, whose ids follow one another."""
    if len(records) == 1:
        [record] = records
        keys = json.dumps([record.key]) if record.key else ""
        return [Block(record.id, 1, topic, now, str(len(record.data)), keys, record.data)]
    data = [record.data for record in records]
    sizes = list(map(len, data))
    if sum(sizes) > PAGE_BYTES:
        half = len(records) // 2
        return pack(records[:half], topic, now) + pack(records[half:], topic, now)
    names = [record.key for record in records]
    keys = json.dumps(names) if any(names) else ""
    joined = ",".join(map(str, sizes))
    return [Block(records[-1].id, len(data), topic, now, joined, keys, b"".join(data))]


def read_blocks(
    db: sqlite3.Connection, topics: Mapping[int, TopicRow], after: int, limit: int
) -> tuple[Sequence[Record], int | None]:
    """A page: the oldest records of these topics, by number; and up to where, if others may follow.

    As many as fit, or a single one.
    """
    if len(topics) == 1:
        wanted, chosen = "topic = ?", str(*topics)
    else:
        # In the order of ids already, which the unary plus leaves SQLite no choice about:
        # sorting all that is there for each page would cost more with every page.
        wanted, chosen = "+topic IN (SELECT value FROM json_each(?))", json.dumps([*topics])
    for most in (_FEW, limit):
        events, sizes = db.execute(_AHEAD.format(wanted), (chosen, after, most)).fetchone()
        fitting, found = _that_fit(events, sizes, limit)
        if fitting < found or found < most:
            break  # else more of them may fit
    if not found:
        return (), None
    columns = db.execute(_PAGE.format(wanted), (chosen, after, fitting)).fetchone()
    page = _Page(topics, *columns)
    records, last = page.after(after, limit)
    return records, None if fitting == found < most and last == page.last else last


def _that_fit(events: str | None, sizes: str, limit: int) -> tuple[int, int]:
    """Of the next blocks, how many make a page, at least one; and how many there are."""
    if events is None:
        return 0, 0
    by_events = list(accumulate(split(events)))
    by_bytes = list(accumulate(split(sizes)))
    fitting = min(bisect_right(by_events, limit), bisect_right(by_bytes, PAGE_BYTES))
    return max(1, fitting), len(by_events)


@dataclass(frozen=True, slots=True)
class _Page:
    """Blocks that were read, oldest first: lists of numbers, which are parsed when they are needed.

    A block may be a single event, and there are pages of thousands of them.
    """

    topics: Mapping[int, TopicRow]
    data: bytes
    sizes: str
    lasts: str
    counts: str
    numbers: str
    keys: str
    total: int

    def after(self, cursor: int, limit: int) -> tuple[Sequence[Record], int]:
        """What is kept after the cursor, at most so many records, and the last one's id."""
        if len(self.topics) > 1 and self._has_holes():
            trimmed = {topic.name: topic.trimmed for topic in self.topics.values()}
            kept = [r for r in self._unpack() if r.id > max(cursor, trimmed[r.topic])]
            return kept, self.last
        first, count, number = map(_first, (self.lasts, self.counts, self.numbers))
        skip = max(0, max(cursor, self.topics[number].trimmed) - first + count)
        end = min(self.total, skip + limit)
        data = self.data
        if skip or end < self.total:
            sizes = split(self.sizes)
            start = sum(sizes[:skip])
            data = data[start : start + sum(sizes[skip:end])]
        last = self.last - (self.total - end)  # what does not fit is of a block that is alone here
        return PackedRecords(data, last, end - skip, lambda: self._unpack()[skip:end]), last

    @property
    def last(self) -> int:
        """The last id."""
        return int(self.lasts.rpartition(",")[2])

    def _has_holes(self) -> bool:
        """Whether something was trimmed in the middle: of another topic's oldest block, a part."""
        return any(
            self.topics[number].trimmed > last - count
            for number, last, count in islice(self._blocks(), 1, None)
        )

    def _blocks(self) -> Iterator[tuple[int, int, int]]:
        """Their topics' numbers, their last ids, and how many events they have."""
        return zip(split(self.numbers), split(self.lasts), split(self.counts), strict=True)

    def _unpack(self) -> list[Record]:
        """All that is in them, kept or not."""
        records: list[Record] = []
        sizes = iter(split(self.sizes))
        start = 0
        for (number, last, count), packed in zip(
            self._blocks(), json.loads(self.keys), strict=True
        ):
            topic = self.topics[number].name
            keys = json.loads(packed) if packed else repeat("")
            for id, key in zip(range(last - count + 1, last + 1), keys, strict=False):
                end = start + next(sizes)
                records.append(Record(id, topic, key, self.data[start:end]))
                start = end
        return records


def _first(numbers: str) -> int:
    return int(numbers.partition(",")[0])


def split(text: str) -> list[int]:
    """The numbers in a list as SQLite joins it."""
    return list(map(int, text.split(",")))
