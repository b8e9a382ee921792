"""Which topics there are in the file of a ``sqlite://`` broker, by heart, and which are forgotten.

They are in the order in which they were published to last. So those that are forgotten are the
first ones, those that a cursor has not seen the newest of are the last ones, and nobody has to look
at all of them: the one thread that would do it is the one that stores what is published.
"""

from __future__ import annotations

import json
import sqlite3
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, islice, takewhile
from typing import final

from ..contract.topics import Selection

__all__ = ["HOLE_TABLES", "TOPIC_TABLES", "Directory", "TopicRow"]

#: Of topics of which events were deleted from among others: the newest of these, and how many.
HOLE_TABLES = """
CREATE TABLE IF NOT EXISTS holes (topic INTEGER PRIMARY KEY, hole INTEGER NOT NULL,
                                  holes INTEGER NOT NULL)
"""

TOPIC_TABLES = """
CREATE TABLE topics (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, base INTEGER NOT NULL,
                     trimmed INTEGER NOT NULL);
"""

#: Topics of which no event is left that are kept nevertheless, so that a cursor can be told exactly
#: whether it has missed something.
_EMPTY_TOPICS = 1000

#: Blocks, or topics without any, that are deleted at once: some milliseconds.
_AT_ONCE = 1000

#: Topics that are looked at for those that a pattern selects.
_LOOKED_AT = 1000

_COUNT = """
SELECT group_concat(blocks) FROM (
  SELECT (SELECT count(*) FROM (SELECT 1 FROM blocks WHERE topic = value LIMIT :most)) AS blocks
  FROM json_each(:topics) ORDER BY key)
"""

_THESE = "IN (SELECT value FROM json_each(?))"


@dataclass(slots=True, eq=False)
class TopicRow:
    """A topic.

    Attributes:
      number: by which its blocks know it.
      base: `Directory.base` when it was made: one of the same name may have been forgotten.
      trimmed: the newest id of its own that is gone, or 0.
      newest: the newest there ever was.
      hole: the newest that was deleted from among others, or 0; ``holes``: how many were.
    """

    number: int
    name: str
    base: int
    trimmed: int
    newest: int
    hole: int = 0
    holes: int = 0

    @property
    def gone(self) -> int:
        """Up to where something is gone."""
        return max(self.base, self.trimmed, self.hole)

    @property
    def mark(self) -> int:
        """Another number whenever more has gone."""
        return max(self.base, self.trimmed) + self.holes


@final
class Directory:
    """The topics, as they are in the file within the transaction that is open.

    When that is rolled back, this is wrong, and to be made anew.

    Args:
      db: the file.
      max_topics: how many are kept; those that were published to last.
    """

    def __init__(self, db: sqlite3.Connection, max_topics: int) -> None:
        self._db = db
        self._max_topics = max_topics
        #: Of topics that are not here, everything up to this id may be gone.
        self.base: int = db.execute("SELECT base FROM log").fetchone()[0]
        rows = db.execute(
            "SELECT number, name, base, trimmed, max(trimmed, coalesce(hole, 0), coalesce("
            "(SELECT max(last) FROM blocks WHERE blocks.topic = number), 0)) AS newest, "
            "coalesce(hole, 0), coalesce(holes, 0) "
            "FROM topics LEFT JOIN holes ON topic = number ORDER BY newest"
        )
        self._by_name = OrderedDict((row[1], TopicRow(*row)) for row in rows)
        self.by_number: dict[int, TopicRow] = {row.number: row for row in self._by_name.values()}
        #: Those of which something is gone.
        self._trimmed = {
            row.number: row for row in self._by_name.values() if row.trimmed or row.hole
        }

    def __len__(self) -> int:
        return len(self._by_name)

    def find(self, name: str) -> TopicRow | None:
        return self._by_name.get(name)

    def add(self, name: str) -> TopicRow:
        """Make one, for an event that follows at once."""
        number = self._db.execute(
            "INSERT INTO topics VALUES (NULL, ?, ?, 0)", (name, self.base)
        ).lastrowid
        assert number is not None
        row = self._by_name[name] = self.by_number[number] = TopicRow(number, name, self.base, 0, 0)
        return row

    def published(self, row: TopicRow, newest: int) -> None:
        """To be called in the order of ids."""
        row.newest = newest
        self._by_name.move_to_end(row.name)

    def trim(self, row: TopicRow, upto: int) -> None:
        """Delete what it has up to this id."""
        self.trimmed(row, upto)
        self._db.execute("DELETE FROM blocks WHERE topic = ? AND last <= ?", (row.number, upto))
        self._db.execute("UPDATE topics SET trimmed = ? WHERE number = ?", (upto, row.number))

    def trimmed(self, row: TopicRow, upto: int) -> None:
        """What it had up to this id is deleted."""
        row.trimmed = upto
        self._trimmed[row.number] = row

    def punch(self, row: TopicRow, id: int) -> None:
        """An event is deleted from among others."""
        row.hole, row.holes = max(row.hole, id), row.holes + 1
        self._trimmed[row.number] = row
        values = (row.number, row.hole, row.holes)
        self._db.execute("INSERT OR REPLACE INTO holes VALUES (?, ?, ?)", values)

    # Forgetting.

    def forget(self, empty: int) -> Sequence[TopicRow]:
        """Delete some of the topics that are too many, with their events; returns what was changed.

        What a reader may have missed with them is what `base` says from now on.

        Args:
          empty: of topics whose newest id is this or less, nothing is left.
        """
        victims = self._too_many(empty)
        if not victims:
            return ()
        numbers = json.dumps([row.number for row in victims])
        [counts] = self._db.execute(_COUNT, {"topics": numbers, "most": _AT_ONCE + 1}).fetchone()
        fitting = bisect_right(list(accumulate(json.loads(f"[{counts}]"))), _AT_ONCE)
        if not fitting:
            [upto] = self._db.execute(
                "SELECT last FROM blocks WHERE topic = ? ORDER BY last LIMIT 1 OFFSET ?",
                (victims[0].number, _AT_ONCE - 1),
            ).fetchone()
            self.trim(victims[0], upto)
            return victims[:1]
        self._delete(victims[:fitting])
        return victims[:fitting]

    def _too_many(self, empty: int) -> Sequence[TopicRow]:
        """Those that were published to longest ago; if there are many, not all of them at once."""
        count = len(self) - self._max_topics
        if len(self) > _EMPTY_TOPICS:
            first = islice(self._by_name.values(), _EMPTY_TOPICS, _EMPTY_TOPICS + _AT_ONCE)
            count = max(count, sum(row.newest <= empty for row in first))
        return list(islice(self._by_name.values(), max(0, min(count, _AT_ONCE))))

    def _delete(self, rows: Sequence[TopicRow]) -> None:
        numbers = (json.dumps([row.number for row in rows]),)
        self._db.execute(f"DELETE FROM blocks WHERE topic {_THESE}", numbers)
        self._db.execute(f"DELETE FROM topics WHERE number {_THESE}", numbers)
        self._db.execute(f"DELETE FROM holes WHERE topic {_THESE}", numbers)
        self.base = rows[-1].newest  # the largest that any topic had that is not here any more
        self._db.execute("UPDATE log SET base = ?", (self.base,))
        for row in rows:
            del self._by_name[row.name], self.by_number[row.number]
            self._trimmed.pop(row.number, None)

    # Reading.

    def select(self, selection: Selection, after: int) -> Sequence[TopicRow] | None:
        """The selected topics that had events after the cursor, or None: too many to look at."""
        if not selection.patterns:
            named = map(self._by_name.get, selection.names)
            return [row for row in named if row is not None and row.newest > after]
        newer = self._newer(after)
        return None if newer is None else [row for row in newer if row.name in selection]

    def _newer(self, after: int) -> Sequence[TopicRow] | None:
        """All topics that had events after the cursor, likewise."""
        last = islice(reversed(self._by_name.values()), _LOOKED_AT + 1)
        newer = list(takewhile(lambda row: row.newest > after, last))
        return newer if len(newer) <= _LOOKED_AT else None

    def gone(self, selection: Selection, after: int) -> dict[str, int]:
        """As of `Page`; `base` under ``""``."""
        gone: dict[str, int] = {}
        named = [self._by_name.get(name) for name in selection.names]
        if after < self.base and (selection.patterns or None in named):
            gone[""] = self.base
        for row in named:
            if row is not None and after < row.gone:
                gone[row.name] = row.mark
        if selection.patterns:
            # What was forgotten before they were made, `base` has told already.
            newer = self._newer(after)
            for row in self._trimmed.values() if newer is None else newer:
                if max(row.trimmed, row.hole) > after and row.name in selection:
                    gone[row.name] = max(row.trimmed + row.holes, gone.get(row.name, 0))
        return gone
