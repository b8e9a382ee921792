"""What is too old in the file of a ``sqlite://`` broker, where topics have ages of their own."""

from __future__ import annotations

import sqlite3
from typing import final

from ..contract import Retention
from .directory import Directory, TopicRow

__all__ = ["Expiry"]

#: Blocks that are looked at in one go.
_AT_ONCE = 1000


@final
class Expiry:
    """Looks at each block once for each age: ids and times grow together."""

    def __init__(self, db: sqlite3.Connection, retention: Retention) -> None:
        self._db = db
        self._retention = retention
        #: By age, up to where all that is so old has been deleted.
        self._done = dict.fromkeys(retention.ages, 0)

    def reset(self) -> None:
        """What was done is undone."""
        self._done = dict.fromkeys(self._done, 0)

    def expire(self, directory: Directory, now: float) -> list[TopicRow]:
        """Delete what is too old, in the transaction that is open; returns whose that was."""
        changed: dict[int, int] = {}
        for age in self._done:
            changed |= self._too_old(directory, age, now - age)
        rows = [directory.by_number[number] for number in changed]
        for row in rows:
            directory.trim(row, changed[row.number])
        return rows

    def _too_old(self, directory: Directory, age: float, before: float) -> dict[int, int]:
        """By the numbers of topics with this age, up to where they are too old."""
        found: dict[int, int] = {}
        while True:
            blocks = self._db.execute(
                "SELECT last, topic, time FROM blocks WHERE last > ? ORDER BY last LIMIT ?",
                (self._done[age], _AT_ONCE),
            ).fetchall()
            for last, number, time in blocks:
                if time >= before:
                    return found
                self._done[age] = last
                if self._retention.of(directory.by_number[number].name).age == age:
                    found[number] = last
            if len(blocks) < _AT_ONCE:
                return found
