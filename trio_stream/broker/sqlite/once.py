"""What was stored under which key, in the file of a ``sqlite://`` broker."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping, Sequence
from typing import final

from ..contract import Once, Record

__all__ = ["ONCE_TABLES", "OnceTable"]

ONCE_TABLES = """
CREATE TABLE IF NOT EXISTS once (topic TEXT NOT NULL, key TEXT NOT NULL, id INTEGER NOT NULL,
                                 until REAL NOT NULL, PRIMARY KEY (topic, key)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS once_until ON once (until)
"""


@final
class OnceTable:
    """The ids by topic and key, in the transactions of the store."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def enter(
        self, records: Sequence[Record], once: Mapping[int, Once], now: float
    ) -> dict[int, int]:
        """Enter what is stored for the first time; returns what is known already, by its new id."""
        self._db.execute("DELETE FROM once WHERE until <= ?", (now,))
        known: dict[int, int] = {}
        for record in records:
            mine = once.get(record.id)
            if mine is None:
                continue
            found = self.find(record.topic, mine.key, now)
            if found is not None:
                known[record.id] = found
            else:
                values = (record.topic, mine.key, record.id, now + mine.seconds)
                self._db.execute("INSERT OR REPLACE INTO once VALUES (?, ?, ?, ?)", values)
        return known

    def find(self, topic: str, key: str, now: float | None = None) -> int | None:
        """The id that is known by a key, or None."""
        row = self._db.execute(
            "SELECT id FROM once WHERE topic = ? AND key = ? AND until > ?",
            (topic, key, time.time() if now is None else now),
        ).fetchone()
        return None if row is None else int(row[0])
