"""How events lie in the file of a ``sqlite://`` broker: many of them in a row.

A block is what one transaction has added to a topic without another's in between. Their ids follow
one another, so the last one and their count say them all. To write 500 events as one row costs a
fifth of what 500 rows cost, and to read them a third; an event that was published alone is a block
of one.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import NamedTuple

from .contract import PackedRecords, Record

__all__ = ["BLOCK_TABLES", "PAGE_BYTES", "Block", "TopicRow", "pack", "read_blocks", "split"]

BLOCK_TABLES = """
CREATE TABLE blocks (last INTEGER PRIMARY KEY, events INTEGER NOT NULL, topic INTEGER NOT NULL,
                     time REAL NOT NULL, sizes TEXT NOT NULL, keys TEXT NOT NULL,
                     data BLOB NOT NULL);
CREATE INDEX blocks_of_topic ON blocks (topic, last);
"""

#: Bytes of events in a block or a page, unless a single one has more.
PAGE_BYTES = 2**16

#: Blocks as one row: the events' bytes, one after another, and lists of all else that they have.
#: What comes after the block that fills the page is left for the next one.
_PAGE = """
SELECT CAST(group_concat(data, '') AS BLOB), group_concat(sizes), group_concat(last),
       group_concat(events), group_concat(topic), json_group_array(keys), max(found)
FROM (SELECT *, count(*) OVER () AS found,
             sum(length(data)) OVER before AS bytes_before, sum(events) OVER before AS events_before
      FROM (SELECT * FROM blocks WHERE {} AND last > :after ORDER BY last LIMIT :blocks)
      WINDOW before AS (ORDER BY last ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING))
WHERE events_before IS NULL OR (events_before < :limit AND bytes_before < :bytes)
"""


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
    data = [record.data for record in records]
    sizes = list(map(len, data))
    if len(records) > 1 and sum(sizes) > PAGE_BYTES:
        half = len(records) // 2
        return pack(records[:half], topic, now) + pack(records[half:], topic, now)
    keys = [record.key for record in records]
    return [
        Block(
            last=records[-1].id,
            events=len(records),
            topic=topic,
            time=now,
            sizes=",".join(map(str, sizes)),
            keys=json.dumps(keys) if any(keys) else "",
            data=b"".join(data),
        )
    ]


def read_blocks(
    db: sqlite3.Connection, topics: Mapping[int, TopicRow], after: int, limit: int, blocks: int
) -> tuple[Sequence[Record], bool]:
    """The oldest records of these topics, by number; and whether there may be others after them.

    Looks at so many blocks at most.
    """
    if len(topics) == 1:
        wanted, chosen = "topic = :topics", str(*topics)
    else:
        # In the order of ids already, which the unary plus leaves SQLite no choice about:
        # sorting all that is there for each page would cost more with every page.
        wanted, chosen = "+topic IN (SELECT value FROM json_each(:topics))", json.dumps([*topics])
    data, sizes, lasts, counts, numbers, keys, found = db.execute(
        _PAGE.format(wanted),
        {"topics": chosen, "after": after, "blocks": blocks, "limit": limit, "bytes": PAGE_BYTES},
    ).fetchone()
    if data is None:
        return (), False
    of = [topics[number] for number in split(numbers)]
    page = _Page(of, split(lasts), split(counts), sizes, keys, data)
    records = page.after(after, limit)
    return records, len(of) < found or found == blocks or records[-1].id < page.lasts[-1]


@dataclass(frozen=True, slots=True)
class _Page:
    """Blocks that were read, oldest first: their columns, of which the last three are joined."""

    topics: Sequence[TopicRow]
    lasts: Sequence[int]
    counts: Sequence[int]
    sizes: str
    keys: str
    data: bytes

    def after(self, cursor: int, limit: int) -> Sequence[Record]:
        """What is kept after the cursor, at most so many records."""
        total = sum(self.counts)
        skip = max(0, max(cursor, self.topics[0].trimmed) - self.lasts[0] + self.counts[0])
        if self._has_holes():
            trimmed = dict(self.topics)
            kept = [r for r in self.unpack() if r.id > max(cursor, trimmed[r.topic])]
            return kept[:limit]
        count = min(total - skip, limit)
        data = self.data
        if count < total:
            sizes = split(self.sizes)
            start = sum(sizes[:skip])
            data = data[start : start + sum(sizes[skip : skip + count])]
        last = self.lasts[-1] - (total - skip - count)
        return PackedRecords(data, last, count, lambda: self.unpack()[skip : skip + count])

    def _has_holes(self) -> bool:
        """Whether something was trimmed in the middle: of another topic's oldest block, a part."""
        each = zip(self.topics[1:], self.lasts[1:], self.counts[1:], strict=True)
        return any(topic.trimmed > last - count for topic, last, count in each)

    def unpack(self) -> list[Record]:
        """All that is in them, kept or not."""
        records: list[Record] = []
        sizes, all_keys = iter(split(self.sizes)), json.loads(self.keys)
        start = 0
        for topic, last, count, packed in zip(
            self.topics, self.lasts, self.counts, all_keys, strict=True
        ):
            keys = json.loads(packed) if packed else repeat("")
            for id, key in zip(range(last - count + 1, last + 1), keys, strict=False):
                end = start + next(sizes)
                records.append(Record(id, topic.name, key, self.data[start:end]))
                start = end
        return records


def split(text: str) -> list[int]:
    """The numbers in a list as SQLite joins it."""
    return list(map(int, text.split(",")))
