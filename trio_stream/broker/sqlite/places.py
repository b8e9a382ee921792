"""Looking for a place in the file of a ``sqlite://`` broker: from its end, or by time."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from ..contract.topics import EARLIEST, Selection
from .directory import Directory

__all__ = ["LookedAt", "look_back", "place_since"]

#: Blocks that are looked at in one go: some milliseconds.
_AT_ONCE = 1000

#: Topics whose blocks are looked up topic by topic, by their index.
_FEW_TOPICS = 16

_OF_ALL = "SELECT last, topic, events FROM blocks WHERE last < ? ORDER BY last DESC LIMIT ?"
_OF_SOME = (
    "SELECT last, topic, events FROM blocks WHERE topic IN ({}) AND last < ? "
    "ORDER BY last DESC LIMIT ?"
)


class LookedAt(NamedTuple):
    """What was found going back.

    Attributes:
      place: the id behind which is what was looked for, or None: it is not found yet.
      missing: how many more have to be found.
      before: where to go on, or 0: there is nothing.
    """

    place: int | None
    missing: int
    before: int


def look_back(
    db: sqlite3.Connection, directory: Directory, selection: Selection, count: int, before: int
) -> LookedAt:
    """Look for the ``count`` newest events among those before this id."""
    few = None
    if not selection.patterns:
        rows = [row for row in map(directory.find, selection.names) if row is not None]
        few = [row.number for row in rows] if len(rows) <= _FEW_TOPICS else None
    if few is None:
        found = db.execute(_OF_ALL, (before, _AT_ONCE)).fetchall()
    else:
        query = _OF_SOME.format(", ".join("?" * len(few)))
        found = db.execute(query, (*few, before, _AT_ONCE)).fetchall()
    for last, number, events in found:
        topic = directory.by_number[number]
        if few is not None or topic.name in selection:
            kept = last - max(last - events, topic.trimmed)
            if kept >= count:
                return LookedAt(last - count, 0, 0)
            count -= max(0, kept)
    return LookedAt(None, count, found[-1][0] if len(found) == _AT_ONCE else 0)


def place_since(db: sqlite3.Connection, time: float) -> int:
    """The id of the last event before this time; 0 if there is none.

    By halves, as ids and times grow together; reading every row would take long.
    """
    low, high = db.execute("SELECT min(last), max(last) FROM blocks").fetchone()
    if low is None:
        return EARLIEST
    older, high = EARLIEST, high + 1
    while low < high:
        middle = (low + high) // 2
        last, when = db.execute(
            "SELECT last, time FROM blocks WHERE last >= ? ORDER BY last LIMIT 1", (middle,)
        ).fetchone()
        if when < time:
            older, low = last, last + 1
        else:
            high = middle
    return older
