"""Deleting events of a ``sqlite://`` broker that somebody wants to be gone."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from .blocks import Block, Parts, block_of, insert
from .directory import Directory, TopicRow

__all__ = ["forget_all", "forget_one"]


def forget_all(db: sqlite3.Connection, directory: Directory, row: TopicRow) -> bool:
    """Delete what a topic has, in the transaction that is open; whether it had anything."""
    db.execute("DELETE FROM once WHERE topic = ?", (row.name,))
    found = db.execute(
        "SELECT max(last) FROM blocks WHERE topic = ? AND last > ?", (row.number, row.trimmed)
    ).fetchone()[0]
    if found is not None:
        directory.trim(row, row.newest)
    return found is not None


def forget_one(db: sqlite3.Connection, directory: Directory, row: TopicRow, id: int) -> bool:
    """Delete an event, in the transaction that is open; whether it was there."""
    found = db.execute(
        "SELECT * FROM blocks WHERE topic = ? AND last >= ? ORDER BY last LIMIT 1",
        (row.number, id),
    ).fetchone()
    if found is None or id <= max(row.trimmed, found[0] - found[1]):
        return False
    block = Block(*found)
    db.execute("DELETE FROM blocks WHERE last = ?", (block.last,))
    insert(db, list(_around(block, id)))
    directory.punch(row, id)
    return True


def _around(block: Block, id: int) -> Iterator[Block]:
    """What is before an event of a block, and what is behind it, as blocks of their own."""
    parts = Parts.parse(block.parts)
    first = block.last - block.events + 1
    index = id - first
    for start, end in ((0, index), (index + 1, block.events)):
        if start < end:
            begin, sizes = sum(parts.sizes[:start]), parts.sizes[start:end]
            yield block_of(
                Parts(
                    first + end - 1,
                    block.topic,
                    sizes,
                    parts.keys[start:end],
                    parts.buts[start:end],
                ),
                block.time,
                block.data[begin : begin + sum(sizes)],
            )
