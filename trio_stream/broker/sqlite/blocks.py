"""How events lie in the file of a ``sqlite://`` broker: many of them in a row.

A block is what one transaction has added to a topic. Its ids follow one another, so that the last
one and their count say them all. To write 500 events as one row takes a third of the time of 500
rows, to read them a fifth. An event that was published alone is a block of one.
"""

from __future__ import annotations

import json
import sqlite3
from bisect import bisect_right
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import accumulate, chain, compress, groupby, repeat
from operator import attrgetter
from typing import NamedTuple

import msgspec

from ..contract import PackedRecords, Record
from ..contract.topics import Selection
from .directory import Directory, TopicRow

__all__ = [
    "BLOCK_TABLES",
    "Block",
    "Parts",
    "block_of",
    "insert",
    "pack",
    "read_blocks",
    "runs_of",
]

BLOCK_TABLES = """
CREATE TABLE blocks (last INTEGER PRIMARY KEY, events INTEGER NOT NULL, size INTEGER NOT NULL,
                     topic INTEGER NOT NULL, time REAL NOT NULL, parts TEXT NOT NULL,
                     data BLOB NOT NULL);
CREATE INDEX blocks_of_topic ON blocks (topic, last, events, size);
"""

#: Bytes of events in a block, and of blocks in a page, unless a single one has more.
PAGE_BYTES = 2**16

#: Blocks as one row: the events' bytes, one after another, and their parts, as a list in JSON.
_PAGE = """
SELECT CAST(group_concat(data, '') AS BLOB), group_concat(parts), sum(events), min(last - events),
       max(last)
FROM (SELECT * FROM blocks WHERE {} ORDER BY last LIMIT ?)
"""

_CHOSEN, _NEXT = "last IN (SELECT value FROM json_each(?))", "topic = ? AND last > ?"

#: The next blocks as one row, without what is in them.
_AHEAD = """
SELECT group_concat(last), group_concat(topic), group_concat(events), group_concat(size) FROM ({})
"""

_OF_ALL = "SELECT last, topic, events, size FROM blocks WHERE last > ? ORDER BY last LIMIT ?"

#: Of a single topic, its index says all that is wanted: the blocks themselves follow one another.
_AHEAD_OF_TOPIC = """
SELECT group_concat(events), group_concat(size) FROM (
  SELECT events, size FROM blocks WHERE topic = ? AND last > ? ORDER BY last LIMIT ?)
"""

#: Of some topics: one for each, which SQLite merges as it goes, and reads nothing but their index.
_OF_TOPIC = "SELECT last, topic, events, size FROM blocks WHERE topic = ? AND last > ?"

#: Blocks that are looked at first. Large ones fill a page with fewer.
_FEW = 4

#: Topics whose blocks are looked up topic by topic. Among the blocks of all, it would take long to
#: find those of a topic that has few.
_FEW_TOPICS = 16

#: Blocks that are looked at, whoever's they are, to find some that are wanted: some milliseconds.
_LOOKED_AT = 1024


#: Bytes of a block that is written bit by bit. Smaller ones take up to half longer so.
_LARGE = 2**22

#: Bytes of each bit. `sqlite3` lets go of the interpreter's lock for each.
_PIECE = 2**20

#: A block whose data is to come.
_INSERT_EMPTY = "INSERT INTO blocks VALUES (?, ?, ?, ?, ?, ?, zeroblob(?))"

#: Rows that one statement inserts; SQLite takes 32,766 values.
_ROWS_AT_ONCE = (256, 64, 16, 4, 1)

_by_topic, _data = attrgetter("topic"), attrgetter("data")
_key, _but = attrgetter("key"), attrgetter("but")


class Block(NamedTuple):
    """A row of the table.

    Attributes:
      last: the id of its last event.
      events: how many there are.
      size: their bytes.
      topic: its topic's number.
      time: when it was written, in seconds since 1970.
      parts: `Parts`, as JSON.
      data: the events' wire forms, one after another.
    """

    last: int
    events: int
    size: int
    topic: int
    time: float
    parts: str
    data: bytes


class Parts(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What it takes to take a block apart; in one column, as each costs 0.06 us to put into a page.

    Attributes:
      last, topic: as of the block.
      sizes: its events' bytes.
      keys: its events' keys, or none at all if none has one.
      buts: likewise the streams that they are not for.
    """

    last: int
    topic: int
    sizes: list[int]
    keys: list[str]
    buts: list[str] = []

    @classmethod
    def parse(cls, text: str) -> Parts:
        """Those of one block."""
        return _decode(f"[{text}]")[0]


_decode = msgspec.json.Decoder(list[Parts]).decode
_decode_ints = msgspec.json.Decoder(list[int]).decode
_encode = msgspec.json.Encoder().encode


def block_of(parts: Parts, time: float, data: bytes) -> Block:
    """The block that these make."""
    sizes, buts = parts.sizes, parts.buts
    named = (parts.last, parts.topic, sizes, parts.keys if any(parts.keys) else ())
    text = _encode((*named, buts) if any(buts) else named).decode()
    return Block(parts.last, len(sizes), len(data), parts.topic, time, text, data)


def pack(records: Sequence[Record], topic: int, now: float) -> list[Block]:
    """The blocks for some records of one topic, whose ids follow one another."""
    data = list(map(_data, records))
    sizes = list(map(len, data))
    size = sum(sizes)
    if len(records) > 1 and size > PAGE_BYTES:
        half = len(records) // 2
        return pack(records[:half], topic, now) + pack(records[half:], topic, now)
    keys, buts = list(map(_key, records)), list(map(_but, records))
    return [block_of(Parts(records[-1].id, topic, sizes, keys, buts), now, b"".join(data))]


def runs_of(records: Sequence[Record]) -> Iterator[tuple[str, list[Record]]]:
    """What follows one another by topic and by id."""
    dense = records[-1].id - records[0].id == len(records) - 1
    for name, run in groupby(records, _by_topic):
        if dense:
            yield name, list(run)
        else:
            for _, part in groupby(enumerate(run), lambda pair: pair[1].id - pair[0]):
                yield name, [record for _, record in part]


def insert(db: sqlite3.Connection, blocks: Sequence[Block]) -> None:
    """Put these into the table."""
    large = [block for block in blocks if block.size > _LARGE]
    if large:
        blocks = [block for block in blocks if block.size <= _LARGE]
        for block in large:
            _insert_large(db, block)
    start = 0
    for rows in _ROWS_AT_ONCE:
        statement = _insert_statement(rows)
        while len(blocks) - start >= rows:
            db.execute(statement, list(chain.from_iterable(blocks[start : start + rows])))
            start += rows


def _insert_large(db: sqlite3.Connection, block: Block) -> None:
    """Put one into the table bit by bit; as a value SQLite would have it in memory twice."""
    *columns, data = block
    db.execute(_INSERT_EMPTY, (*columns, block.size))
    with db.blobopen("blocks", "data", block.last) as blob, memoryview(data) as view:
        for start in range(0, block.size, _PIECE):
            blob.write(view[start : start + _PIECE])


@cache
def _insert_statement(rows: int) -> str:
    row = f"({', '.join('?' * len(Block._fields))})"
    return "INSERT INTO blocks VALUES " + ", ".join([row] * rows)


class _Ahead(NamedTuple):
    """The next blocks, without what is in them: their columns."""

    last: Sequence[int]
    topic: Sequence[int]
    events: Sequence[int]
    size: Sequence[int]

    def of(self, topics: Container[int]) -> _Ahead:
        wanted = [topic in topics for topic in self.topic]
        return self if all(wanted) else _Ahead(*[list(compress(column, wanted)) for column in self])


def read_blocks(
    db: sqlite3.Connection, directory: Directory, selection: Selection, after: int, limit: int
) -> tuple[Sequence[Record], int | None]:
    """A page: the oldest records of these topics, and up to where, if others may follow.

    As many as fit, or a single one. None, if it would take long to find one.
    """
    few = directory.select(selection, after)
    if few is not None and len(few) == 1:
        return _read_topic(db, few[0], after, limit)
    if few is not None and len(few) > _FEW_TOPICS:
        few = None
    for most in (_FEW, limit if few is not None else _LOOKED_AT):
        ahead = _look_ahead(db, few, after, most)
        topics = {number: directory.by_number[number] for number in {*ahead.topic}}
        if few is None:
            topics = {number: row for number, row in topics.items() if row.name in selection}
        wanted = ahead.of(topics)
        fitting = _that_fit(wanted.events, wanted.size, limit)
        if fitting < len(wanted.last) or len(ahead.last) < most:
            break  # else more of them may fit
    upto = ahead.last[-1] if len(ahead.last) == most else None
    if not fitting:
        return (), upto
    chosen = json.dumps(wanted.last[:fitting])
    columns = db.execute(_PAGE.format(_CHOSEN), (chosen, fitting)).fetchone()
    records, last = _Page(topics, *columns).after(after, limit)
    return records, upto if last == wanted.last[-1] else last


def _read_topic(
    db: sqlite3.Connection, row: TopicRow, after: int, limit: int
) -> tuple[Sequence[Record], int | None]:
    """Likewise, of a single topic: in two thirds of the time, where each event is a block."""
    place = row.number, after
    for most in (_FEW, limit):
        columns = db.execute(_AHEAD_OF_TOPIC, (*place, most)).fetchone()
        events, sizes = [_decode_ints(f"[{column or ''}]") for column in columns]
        fitting = _that_fit(events, sizes, limit)
        if fitting < len(events) or len(events) < most:
            break  # else more of them may fit
    if not fitting:
        return (), None
    page = _Page({row.number: row}, *db.execute(_PAGE.format(_NEXT), (*place, fitting)).fetchone())
    records, last = page.after(after, limit)
    return records, None if fitting == len(events) < most and last == page.last else last


def _that_fit(events: Sequence[int], sizes: Sequence[int], limit: int) -> int:
    """How many of these blocks make a page: at least one, if there is any."""
    by_events = bisect_right(list(accumulate(events)), limit)
    by_bytes = bisect_right(list(accumulate(sizes)), PAGE_BYTES)
    return max(min(1, len(events)), min(by_events, by_bytes))


def _look_ahead(
    db: sqlite3.Connection, few: Sequence[TopicRow] | None, after: int, most: int
) -> _Ahead:
    if few is None:
        found = db.execute(_AHEAD.format(_OF_ALL), (after, most))
    elif few:
        each = " UNION ALL ".join([_OF_TOPIC] * len(few))
        chosen = chain.from_iterable((row.number, after) for row in few)
        found = db.execute(_AHEAD.format(f"{each} ORDER BY last LIMIT ?"), (*chosen, most))
    else:
        return _Ahead((), (), (), ())
    return _Ahead(*[_decode_ints(f"[{column or ''}]") for column in found.fetchone()])


@dataclass(frozen=True)
class _Page:
    """Blocks that were read, oldest first."""

    topics: Mapping[int, TopicRow]
    data: bytes
    parts: str
    #: How many events they have, the id before the first one's, and the last one's.
    total: int
    before: int
    last: int

    def after(self, cursor: int, limit: int) -> tuple[Sequence[Record], int]:
        """What is kept after the cursor, at most so many records, and the last one's id."""
        number = self._blocks[0].topic if len(self.topics) > 1 else next(iter(self.topics))
        if len(self.topics) > 1 and self._has_holes():
            trimmed = {topic.name: topic.trimmed for topic in self.topics.values()}
            kept = [r for r in self._unpack() if r.id > max(cursor, trimmed[r.topic])]
            return kept, self.last
        skip = max(0, max(cursor, self.topics[number].trimmed) - self.before)
        end = min(self.total, skip + limit)
        data = self.data
        if skip or end < self.total:
            sizes = [size for block in self._blocks for size in block.sizes]
            start = sum(sizes[:skip])
            data = data[start : start + sum(sizes[skip:end])]
        last = self.last - (self.total - end)  # what does not fit is of a block that is alone here
        return PackedRecords(
            *(data, last, end - skip, lambda: self._unpack()[skip:end], self.parts)
        ), last

    @cached_property
    def _blocks(self) -> list[Parts]:
        return _decode(f"[{self.parts}]")

    def _has_holes(self) -> bool:
        """Whether something was trimmed in the middle: of another topic's oldest block, a part."""
        return any(
            self.topics[block.topic].trimmed > block.last - len(block.sizes)
            for block in self._blocks[1:]
        )

    def _unpack(self) -> list[Record]:
        """All that is in them, kept or not."""
        records: list[Record] = []
        start = 0
        for block in self._blocks:
            topic = self.topics[block.topic].name
            first = block.last - len(block.sizes) + 1
            for id, size, key, but in zip(
                range(first, block.last + 1),
                block.sizes,
                block.keys or repeat(""),
                block.buts or repeat(""),
                strict=False,
            ):
                records.append(Record(id, topic, key, self.data[start : start + size], but))
                start += size
        return records
