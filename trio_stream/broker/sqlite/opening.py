"""How the file of a ``sqlite://`` broker is opened, and made where there is none."""

from __future__ import annotations

import sqlite3
from typing import Literal

from ...errors import BrokerStorageError
from ..memory import first_id
from .blocks import BLOCK_TABLES
from .directory import HOLE_TABLES, TOPIC_TABLES
from .once import ONCE_TABLES

__all__ = ["Synchronous", "claim"]

Synchronous = Literal["full", "normal", "off"]

#: "trio" and the layout's version, by which a file is known.
_APPLICATION, _LAYOUT = 0x7472696F, 3

_TABLES = """
CREATE TABLE log (last INTEGER NOT NULL, base INTEGER NOT NULL, clean INTEGER NOT NULL);
CREATE TABLE cuts (kept INTEGER NOT NULL, lost INTEGER NOT NULL);
"""

#: Newer than the layout, which they leave as it is.
_NEWER_TABLES = f"{ONCE_TABLES};{HOLE_TABLES}"


def claim(
    db: sqlite3.Connection, path: str, synchronous: Synchronous
) -> tuple[int, list[tuple[int, int]]]:
    """Take a file for this process alone; returns the newest id, and ranges of ids that are lost.

    Raises:
      sqlite3.Error: it is another's, or cannot be read.
      BrokerStorageError: it is something else's.
    """
    # Taken with the first write and kept until the process ends, however it ends.
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
    tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    [application] = db.execute("PRAGMA application_id").fetchone()
    [layout] = db.execute("PRAGMA user_version").fetchone()
    if tables and application != _APPLICATION:
        raise BrokerStorageError(f"{path} is a database of something else")
    if tables and layout != _LAYOUT:
        raise BrokerStorageError(
            f"{path} was written by another version of trio_stream, which laid it out "
            "differently: go on with that one, or with a new file"
        )
    db.execute("PRAGMA journal_mode = WAL")
    db.execute(f"PRAGMA synchronous = {synchronous.upper()}")
    db.execute("BEGIN IMMEDIATE")
    if not tables:
        _create(db)
    for statement in _NEWER_TABLES.split(";"):
        db.execute(statement)
    # The newest event there is stands for itself; `last` is for those that were deleted.
    last: int
    last, clean = db.execute(
        "SELECT max(last, (SELECT coalesce(max(last), 0) FROM blocks)), clean FROM log"
    ).fetchone()
    if not clean:
        # The last process crashed, and so, perhaps, did the machine: ids that it gave may be
        # lost along with their events. They are never given again.
        kept, last = last, max(last, first_id())
        db.execute("INSERT INTO cuts VALUES (?, ?)", (kept, last))
    cuts: list[tuple[int, int]] = db.execute("SELECT kept, lost FROM cuts").fetchall()
    db.execute("UPDATE log SET last = ?, clean = 0", (last,))
    db.execute("COMMIT")
    return last, cuts


def _create(db: sqlite3.Connection) -> None:
    for statement in (_TABLES + TOPIC_TABLES + BLOCK_TABLES).split(";"):
        db.execute(statement)
    db.execute(f"PRAGMA application_id = {_APPLICATION}")
    db.execute(f"PRAGMA user_version = {_LAYOUT}")
    first = first_id()
    db.execute("INSERT INTO log VALUES (?, ?, 1)", (first, first))
