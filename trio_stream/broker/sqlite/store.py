"""The file of a ``sqlite://`` broker: its tables, and every statement there is.

Nothing here knows of Trio: all of it runs in the engine's one thread. Python's `sqlite3` lets go of
the interpreter's lock for each row that it inserts or reads, and beside a busy thread each time it
waits up to 5 ms to get it back. So rows are written and read many to a step.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import final

from ...errors import BrokerStorageError
from ..contract import Once, Page, Record, Retention
from ..contract.retention import DISCONNECTS
from ..contract.topics import EARLIEST, Selection
from .blocks import Block, Parts, insert, pack, read_blocks, runs_of
from .directory import Directory, TopicRow
from .expiry import Expiry
from .faults import named_errors
from .forgetting import forget_all, forget_one
from .once import OnceTable
from .opening import Synchronous, claim
from .place import Place
from .places import LookedAt, look_back, place_since

__all__ = ["SqliteStore", "Synchronous"]

log: logging.Logger = logging.getLogger("trio_stream")

#: Of each topic of which something was too old: its number, the id before that and its last id, and
#: how many events and bytes that was.
_GONE = """
SELECT json_group_array(json_array(topic, before, last, events, size)) FROM (
  SELECT topic, min(last - events) AS before, max(last) AS last, sum(events) AS events,
         sum(size) AS size
  FROM blocks WHERE last < ? GROUP BY topic)
"""

_TRIM_GONE = """
UPDATE topics SET trimmed = (SELECT max(last) FROM blocks WHERE topic = number AND last < ?)
WHERE number IN (SELECT topic FROM blocks WHERE last < ?)
"""

#: Topics of which it is remembered between transactions how much they hold.
_CACHED_TOPICS = 10_000


@dataclass(slots=True)
class _Topic:
    """How much a topic holds, as known between transactions."""

    row: TopicRow
    kept: Retention
    events: int = 0
    bytes: int = 0
    #: The sizes of what is kept of its oldest block, and that block's last id; empty until needed.
    oldest: deque[int] = field(default_factory=deque)
    oldest_last: int = 0

    def drop(self, events: int, size: int) -> None:
        """Its oldest blocks are gone, of which nothing was gone before."""
        assert not self.oldest
        self.events -= events
        self.bytes -= size


@final
class SqliteStore:
    """An open file, exclusively this process's."""

    def __init__(
        self,
        path: str,
        retention: Retention,
        synchronous: Synchronous,
        max_topics: int = 100_000,
    ) -> None:
        self._path = path
        self._retention = retention
        self._max_topics = max_topics
        self._topics: dict[str, _Topic] = {}
        #: Of topics whose newest id is this or less, nothing is left: if there are many, it is time
        #: to forget some.
        self._empty = 0
        with named_errors(path):
            # isolation_level None: transactions begin and end where this module says so.
            self._db = sqlite3.connect(path, timeout=0, isolation_level=None)
            try:
                self.last: int
                self.last, self._cuts = claim(self._db, path, synchronous)
                self.known: OnceTable = OnceTable(self._db)
                self._expiry = Expiry(self._db, retention)
                self._directory: Directory | None = Directory(self._db, max_topics)
                self.place: Place = Place(path)
            except BaseException:
                self._db.close()
                raise

    def close(self) -> None:
        """Say that nothing was lost, and let go of the file."""
        try:
            self.place.check()
            self._db.execute("UPDATE log SET clean = 1")
        except (sqlite3.Error, BrokerStorageError) as exc:
            log.warning(
                "%(file)s: %(error)s, so the file cannot say that nothing is lost: at the next "
                "start ids jump ahead, and clients that come back with one in between are told of "
                "a gap",
                {"engine": "sqlite", "file": self._path, "error": exc},
            )
        finally:
            with named_errors(self._path):
                self._db.close()

    # Writing.

    def append(
        self, records: Sequence[Record], once: Mapping[int, Once] | None = None
    ) -> Mapping[int, int]:
        """Store all of them, whose ids this process has given, in one transaction.

        Args:
          once: of those by whose ids it is here, each is stored if none is known by the same key.

        Returns the ids of those that are not stored, with those that are known in their place.
        """
        self.place.check()
        with named_errors(self._path), self._transaction():
            now = time.time()
            known = self.known.enter(records, once, now) if once else {}
            if known:
                records = [record for record in records if record.id not in known]
            if records:
                self._append(records, now)
        if records:
            self.last = records[-1].id
        return known

    def _append(self, records: Sequence[Record], now: float) -> None:
        directory = self._known()
        blocks: list[Block] = []
        touched: dict[str, _Topic] = {}
        for name, run in runs_of(records):
            topic = touched.get(name)
            if topic is None:
                topic = touched[name] = self._topic(name)
            for block in pack(run, topic.row.number, now):
                topic.events += block.events
                topic.bytes += block.size
                blocks.append(block)
        insert(self._db, blocks)
        rows = directory.by_number
        for block in blocks:
            directory.published(rows[block.topic], block.last)
        for topic in touched.values():
            kept = topic.kept
            if topic.events > kept.events or topic.bytes > kept.bytes:
                self._trim(topic)
        self._expire(now)
        forgotten = directory.forget(self._empty)
        for row in forgotten:
            self._topics.pop(row.name, None)
        if not forgotten:
            self._empty = 0  # there are not many of them

    def forget(self, name: str, id: int | None) -> bool:
        """Delete an event of a topic, or all of them, also from the disk; whether it was there."""
        self.place.check()
        with named_errors(self._path):
            self._db.execute("PRAGMA secure_delete = ON")
            try:
                with self._transaction():
                    found = self._forget(name, id)
            finally:
                self._db.execute("PRAGMA secure_delete = OFF")
            if found:
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return found

    def _forget(self, name: str, id: int | None) -> bool:
        row = self._known().find(name)
        if row is None:
            return False
        self._topics.pop(name, None)  # count anew
        self._db.execute("UPDATE log SET last = ?", (self.last,))
        if id is None:
            return forget_all(self._db, self._known(), row)
        return forget_one(self._db, self._known(), row, id)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            self._topics.clear()  # what it counted may not have happened
            self._directory, self._empty = None, 0
            self._expiry.reset()
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def _known(self) -> Directory:
        if self._directory is None:
            self._directory = Directory(self._db, self._max_topics)
        return self._directory

    def _topic(self, name: str) -> _Topic:
        topic = self._topics.get(name)
        if topic is None:
            if len(self._topics) >= _CACHED_TOPICS:
                self._topics.clear()
            topic = self._topics[name] = self._load_topic(name)
        return topic

    def _load_topic(self, name: str) -> _Topic:
        directory = self._known()
        row = directory.find(name)
        if row is None:
            return _Topic(directory.add(name), self._retention.of(name))
        topic = _Topic(row, self._retention.of(name))
        topic.events, topic.bytes = self._db.execute(
            "SELECT coalesce(sum(events), 0), coalesce(sum(size), 0) FROM blocks WHERE topic = ?",
            (row.number,),
        ).fetchone()
        gone = self._load_oldest(topic)
        topic.events -= len(gone)
        topic.bytes -= sum(gone)
        topic.oldest.clear()  # it is only for who trims, and may be 2,000 numbers
        return topic

    def _load_oldest(self, topic: _Topic) -> Sequence[int]:
        """Look at its oldest block; returns the sizes of what is gone of it already."""
        oldest = self._db.execute(
            "SELECT parts FROM blocks WHERE topic = ? AND last > ? ORDER BY last LIMIT 1",
            (topic.row.number, topic.row.trimmed),
        ).fetchone()
        if oldest is None:
            return ()
        block = Parts.parse(oldest[0])
        gone = max(0, topic.row.trimmed - (block.last - len(block.sizes)))
        topic.oldest_last, topic.oldest = block.last, deque(block.sizes[gone:])
        return block.sizes[:gone]

    def _trim(self, topic: _Topic) -> None:
        """Drop its oldest events, but never the newest, until it is within its bounds.

        A block of which a part is dropped stays in the file; nobody reads that part any more.
        """
        kept = topic.kept
        while topic.events > kept.events or (topic.bytes > kept.bytes and topic.events > 1):
            if not topic.oldest:
                self._load_oldest(topic)
            topic.events -= 1
            topic.bytes -= topic.oldest.popleft()
            topic.row.trimmed = topic.oldest_last - len(topic.oldest)
        self._known().trim(topic.row, topic.row.trimmed)

    def _expire(self, now: float) -> None:
        """Delete what is too old. Ids and times grow together, so it is all at the beginning."""
        if self._retention.table or self._known().find(DISCONNECTS) is not None:
            for row in self._expiry.expire(self._known(), now):
                self._topics.pop(row.name, None)  # count anew
                self._db.execute("UPDATE log SET last = ?", (self.last,))
            return
        if self._retention.age is None:
            return
        limit = now - self._retention.age
        oldest = self._db.execute("SELECT time FROM blocks ORDER BY last LIMIT 1").fetchone()
        if oldest is None or oldest[0] >= limit:
            return
        kept = self._db.execute(
            "SELECT last FROM blocks WHERE time >= ? ORDER BY last LIMIT 1", (limit,)
        ).fetchone()
        before = (self.last + 1 if kept is None else kept[0],)
        [gone] = self._db.execute(_GONE, before).fetchone()
        self._db.execute("UPDATE log SET last = ?", (self.last,))
        self._db.execute(_TRIM_GONE, before * 2)
        self._db.execute("DELETE FROM blocks WHERE last < ?", before)
        for number, before_first, last, events, size in json.loads(gone):
            row = self._known().by_number[number]
            topic = self._topics.get(row.name)
            if topic is not None and row.trimmed > before_first:
                del self._topics[row.name]  # a part of the first block was gone already: count anew
            elif topic is not None:
                topic.drop(events, size)
            self._known().trimmed(row, last)
        self._empty = before[0] - 1

    # Reading.

    def read(self, selection: Selection, after: int, limit: int) -> Page:
        """As `Engine.read`."""
        with named_errors(self._path):
            self._expire_now()
            foreign = after > self.last
            if foreign:
                after = EARLIEST
            directory = self._known()
            gone = directory.gone(selection, after)
            if foreign:
                gone.setdefault("", directory.base)
            if lost := [lost for kept, lost in self._cuts if kept < after < lost]:
                gone[""] = max(*lost, gone.get("", 0))
            records, upto = read_blocks(self._db, directory, selection, after, limit)
        return Page(records, self.last if upto is None else upto, gone)

    def look_back(self, selection: Selection, count: int, before: int) -> LookedAt:
        """As `places.look_back`."""
        with named_errors(self._path):
            self._expire_now()
            return look_back(self._db, self._known(), selection, count, before)

    def place_since(self, seconds: float) -> int:
        """As `places.place_since`, so many seconds ago."""
        with named_errors(self._path):
            return place_since(self._db, time.time() - seconds)

    def _expire_now(self) -> None:
        if self._retention.ages:
            with self._transaction():
                self._expire(time.time())

    def backup(self, path: str) -> None:
        """Write all that is stored to a new file."""
        with named_errors(path):
            self._db.execute("VACUUM INTO ?", (path,))
