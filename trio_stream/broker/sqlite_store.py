"""The file of a ``sqlite://`` broker: its tables, and every statement there is.

Nothing here knows of Trio: all of it runs in the engine's one thread. Python's `sqlite3` lets go of
the interpreter's lock for each row that it inserts or reads, and beside a busy thread each time it
waits up to 5 ms to get it back. So rows are written and read many to a step.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from typing import Literal, final

from ..codec import EncodedEvent
from ..errors import BrokerError, BrokerInUseError, BrokerStorageError
from .contract import PackedRecords, Page, Record, Retention
from .memory import first_id
from .topics import EARLIEST, Selection

__all__ = ["SqliteStore", "Synchronous"]

Synchronous = Literal["full", "normal", "off"]

#: "trio" and the layout's version, by which a file is known.
_APPLICATION, _LAYOUT = 0x7472696F, 1

_TABLES = """
CREATE TABLE log (last INTEGER NOT NULL, base INTEGER NOT NULL, clean INTEGER NOT NULL,
                  cut_from INTEGER NOT NULL, cut_to INTEGER NOT NULL);
CREATE TABLE topics (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,
                     trimmed INTEGER NOT NULL);
CREATE TABLE events (id INTEGER PRIMARY KEY, topic INTEGER NOT NULL, time REAL NOT NULL,
                     key TEXT NOT NULL, event BLOB NOT NULL);
CREATE INDEX events_of_topic ON events (topic, id);
"""

#: Rows that one statement inserts; SQLite takes 32,766 values.
_ROWS_AT_ONCE = (256, 64, 16, 4, 1)

#: A page in one row: the events' bytes, one after another, and lists of all else that they have.
_PAGE = """
SELECT CAST(group_concat(event, '') AS BLOB), group_concat(length(event)), group_concat(id),
       group_concat(topic), json_group_array(key)
FROM (SELECT * FROM events WHERE {} AND id > ? ORDER BY id LIMIT ?)
"""

#: The fewest of a topic's oldest events that are as many, and as many bytes, as has to be.
_OLDEST = """
SELECT count, size, id FROM (
    SELECT row_number() OVER oldest AS count, sum(length(event)) OVER oldest AS size, id
    FROM (SELECT id, event FROM events WHERE topic = ?1 ORDER BY id LIMIT ?2)
    WINDOW oldest AS (ORDER BY id ROWS UNBOUNDED PRECEDING))
WHERE (count >= ?3 AND size >= ?4) OR count = ?2 LIMIT 1
"""

_PAGE_BYTES = 2**16

#: Topics whose numbers are remembered between transactions.
_CACHED_TOPICS = 10_000


@dataclass(slots=True)
class _Topic:
    number: int
    trimmed: int
    events: int
    bytes: int


@contextmanager
def named_errors(path: str) -> Iterator[None]:
    """Raise SQLite's errors as the library's, by what a person can do about them."""
    try:
        yield
    except sqlite3.Error as exc:
        raise _named(exc, path) from exc


def _named(exc: sqlite3.Error, path: str) -> BrokerError:
    code = getattr(exc, "sqlite_errorcode", 0) & 0xFF
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return BrokerInUseError(
            f"{path} is open already: a sqlite:// broker is for one process, so start one worker, "
            "or use redis://"
        )
    return BrokerStorageError(f"{path}: {exc}")


@final
class SqliteStore:
    """An open file, exclusively this process's."""

    def __init__(self, path: str, retention: Retention, synchronous: Synchronous) -> None:
        self._path = path
        self._retention = retention
        self._topics: dict[str, _Topic] = {}
        with named_errors(path):
            # isolation_level None: transactions begin and end where this module says so.
            self._db = sqlite3.connect(path, timeout=0, isolation_level=None)
            try:
                self._claim(synchronous)
            except BaseException:
                self._db.close()
                raise

    def _claim(self, synchronous: Synchronous) -> None:
        db = self._db
        # Taken with the first write and kept until the process ends, however it ends.
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        [application] = db.execute("PRAGMA application_id").fetchone()
        [layout] = db.execute("PRAGMA user_version").fetchone()
        if tables and (application, layout) != (_APPLICATION, _LAYOUT):
            raise BrokerStorageError(f"{self._path} is a database of something else")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(f"PRAGMA synchronous = {synchronous.upper()}")
        db.execute("BEGIN IMMEDIATE")
        if not tables:
            self._create()
        # The newest event there is stands for itself; `last` is for those that were deleted.
        self.last, self.base, clean, self._cut_from, self._cut_to = db.execute(
            "SELECT max(last, (SELECT coalesce(max(id), 0) FROM events)), base, clean, cut_from, "
            "cut_to FROM log"
        ).fetchone()
        if not clean:
            # The last process crashed, and so, perhaps, did the machine: ids that it gave may be
            # lost along with their events. They are never given again.
            self._cut_from, self.last = self.last, max(self.last, first_id())
            self._cut_to = self.last
        db.execute(
            "UPDATE log SET last = ?, clean = 0, cut_from = ?, cut_to = ?",
            (self.last, self._cut_from, self._cut_to),
        )
        db.execute("COMMIT")

    def _create(self) -> None:
        for statement in _TABLES.split(";"):
            self._db.execute(statement)
        self._db.execute(f"PRAGMA application_id = {_APPLICATION}")
        self._db.execute(f"PRAGMA user_version = {_LAYOUT}")
        first = first_id()
        self._db.execute("INSERT INTO log VALUES (?, ?, 1, 0, 0)", (first, first))

    def close(self) -> None:
        """Say that nothing was lost, and let go of the file."""
        with named_errors(self._path):
            try:
                self._db.execute("UPDATE log SET clean = 1")
            finally:
                self._db.close()

    # Writing.

    def append(self, records: Sequence[Record]) -> None:
        """Store all of them, whose ids this process has given, in one transaction."""
        with named_errors(self._path), self._transaction():
            now = time.time()
            rows: list[object] = []
            touched: dict[str, _Topic] = {}
            for record in records:
                name, data = record.topic, record.event.data
                topic = touched.get(name) or touched.setdefault(name, self._topic(name))
                topic.events += 1
                topic.bytes += len(data)
                rows += (record.id, topic.number, now, record.key, data)
            self._insert(rows)
            for topic in touched.values():
                if topic.events > self._retention.events or topic.bytes > self._retention.bytes:
                    self._trim(topic)
            self._expire(now)
        self.last = records[-1].id

    def _insert(self, values: list[object]) -> None:
        """Insert rows of five values each."""
        start = 0
        for rows in _ROWS_AT_ONCE:
            statement = _insert_statement(rows)
            while len(values) - start >= rows * 5:
                self._db.execute(statement, values[start : start + rows * 5])
                start += rows * 5

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            self._topics.clear()  # what it counted may not have happened
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def _topic(self, name: str) -> _Topic:
        topic = self._topics.get(name)
        if topic is None:
            if len(self._topics) >= _CACHED_TOPICS:
                self._topics.clear()
            topic = self._topics[name] = self._load_topic(name)
        return topic

    def _load_topic(self, name: str) -> _Topic:
        row = self._db.execute(
            "SELECT number, trimmed FROM topics WHERE name = ?", (name,)
        ).fetchone()
        if row is None:
            added = self._db.execute("INSERT INTO topics VALUES (NULL, ?, ?)", (name, self.base))
            assert added.lastrowid is not None
            return _Topic(added.lastrowid, self.base, 0, 0)
        events, size = self._db.execute(
            "SELECT count(*), coalesce(sum(length(event)), 0) FROM events WHERE topic = ?", row[:1]
        ).fetchone()
        return _Topic(row[0], row[1], events, size)

    def _trim(self, topic: _Topic) -> None:
        while True:
            too_many = topic.events - self._retention.events
            too_large = topic.bytes - self._retention.bytes
            if too_many <= 0 and (too_large <= 0 or topic.events == 1):
                break
            # Of its oldest events, but never the newest: as many as make it small enough.
            most = min(max(too_many, 256), topic.events - 1)
            oldest = (topic.number, most, too_many, too_large)
            count, size, last = self._db.execute(_OLDEST, oldest).fetchone()
            self._db.execute("DELETE FROM events WHERE topic = ? AND id <= ?", (oldest[0], last))
            topic.events -= count
            topic.bytes -= size
            topic.trimmed = last
        self._db.execute(
            "UPDATE topics SET trimmed = ? WHERE number = ?", (topic.trimmed, topic.number)
        )

    def _expire(self, now: float) -> None:
        """Delete what is too old. Ids and times grow together, so it is all at the beginning."""
        if self._retention.age is None:
            return
        limit = now - self._retention.age
        oldest = self._db.execute("SELECT time FROM events ORDER BY id LIMIT 1").fetchone()
        if oldest is None or oldest[0] >= limit:
            return
        kept = self._db.execute(
            "SELECT id FROM events WHERE time >= ? ORDER BY id LIMIT 1", (limit,)
        ).fetchone()
        before = (self.last + 1 if kept is None else kept[0],)
        self._db.execute("UPDATE log SET last = ?", (self.last,))
        self._db.execute(
            "UPDATE topics SET trimmed = gone.id FROM (SELECT topic, max(id) AS id FROM events "
            "WHERE id < ? GROUP BY topic) AS gone WHERE number = gone.topic",
            before,
        )
        self._db.execute("DELETE FROM events WHERE id < ?", before)
        self._topics.clear()

    # Reading.

    def read(self, selection: Selection, after: int, limit: int) -> Page:
        """As `Engine.read`."""
        with named_errors(self._path):
            if self._retention.age is not None:
                with self._transaction():
                    self._expire(time.time())
            gap = after > self.last or self._cut_from < after < self._cut_to
            if after > self.last:
                after = EARLIEST
            topics = self._find_topics(selection)
            if after != EARLIEST:
                gap = gap or any(after < trimmed for _, trimmed in topics.values())
                gap = gap or (after < self.base and not topics.keys() >= set(selection.filters))
            names = {number: name for name, (number, _) in topics.items()}
            records, upto = self._read_rows(names, after, limit)
        return Page(records, upto, gap)

    def _find_topics(self, selection: Selection) -> dict[str, tuple[int, int]]:
        """By name: their numbers, and what was trimmed of them."""
        found: dict[str, tuple[int, int]] = {}
        for name in selection.names:
            for row in self._db.execute(
                "SELECT number, trimmed FROM topics WHERE name = ?", (name,)
            ):
                found[name] = row
        if selection.patterns:
            for name, *row in self._db.execute("SELECT name, number, trimmed FROM topics"):
                if name in selection:
                    found[name] = (row[0], row[1])
        return found

    def _read_rows(
        self, names: dict[int, str], after: int, limit: int
    ) -> tuple[Sequence[Record], int]:
        """Records, and up to where there are no others."""
        limit = min(limit, max(1, _PAGE_BYTES // self._typical_size(names)))
        if len(names) == 1:
            wanted, chosen = "topic = ?", str(*names)
        else:
            # In the order of ids already, which the unary plus leaves SQLite no choice about:
            # sorting all that is there for each page would cost more with every page.
            wanted = "+topic IN (SELECT value FROM json_each(?))"
            chosen = json.dumps(list(names))
        data, sizes, ids, *others = self._db.execute(
            _PAGE.format(wanted), (chosen, after, limit)
        ).fetchone()
        if data is None:
            return (), self.last
        count, last = ids.count(",") + 1, int(ids.rpartition(",")[2])
        unpack = partial(_unpack, names, data, sizes, ids, *others)
        upto = last if count == limit else self.last
        return PackedRecords(data, last, count, unpack), upto

    def _typical_size(self, names: Iterable[int]) -> int:
        """Bytes that an event has, by what is known of some of these topics."""
        topics = [topic for topic in self._topics.values() if topic.number in names]
        events = sum(topic.events for topic in topics)
        return sum(topic.bytes for topic in topics) // events if events else 256


@cache
def _insert_statement(rows: int) -> str:
    return "INSERT INTO events VALUES " + ", ".join(["(?, ?, ?, ?, ?)"] * rows)


def _unpack(
    names: dict[int, str], data: bytes, sizes: str, ids: str, topics: str, keys: str
) -> list[Record]:
    records = []
    start = 0
    each = zip(sizes.split(","), ids.split(","), topics.split(","), json.loads(keys), strict=True)
    for size, id, topic, key in each:
        end = start + int(size)
        event = EncodedEvent(data[start:end], id=id)
        records.append(Record(int(id), names[int(topic)], key, event))
        start = end
    return records
