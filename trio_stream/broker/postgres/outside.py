"""Publishing to a ``postgresql://`` broker's topics where there is no Trio run."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, final

import psycopg

from ..contract import Entry, Retention
from ..thread_way import ThreadWay
from ..transaction import INSERT, insert_values
from ..troubles import UnreachableError
from .address import conninfo_of
from .engine import PostgresEngine
from .faults import RefusedError

__all__ = ["OutboxWay", "open_way"]

#: What PostgreSQL says to a role that may not.
_MAY_NOT = "42501"


def open_way(url: str, retention: Retention, options: dict[str, Any]) -> ThreadWay | OutboxWay:
    """The way that this role may go: as a broker's, or by the outbox."""
    engine = PostgresEngine(url, retention, **options)
    try:
        return ThreadWay(engine)
    except RefusedError as exc:
        if exc.state != _MAY_NOT:
            raise
        return OutboxWay(url)


@final
class OutboxWay:
    """For a role that may publish and nothing else: it is told no ids.

    Each publish is a transaction. After an outage a new connection is made; an event on whose way
    it was lost may be stored or not, and is not sent again.
    """

    def __init__(self, url: str) -> None:
        self._conninfo = conninfo_of(url)
        self._lock = threading.Lock()
        self._connection: psycopg.Connection[Any] | None = None

    def append(self, entries: Sequence[Entry]) -> Sequence[int]:
        self._insert(entries, keep=True)
        return [0] * len(entries)

    def pass_on(self, entries: Sequence[Entry]) -> None:
        self._insert(entries, keep=False)

    def _insert(self, entries: Sequence[Entry], keep: bool) -> None:
        values = [insert_values(entry, keep=keep, ring=True) for entry in entries]
        with self._lock:
            try:
                if self._connection is None or self._connection.broken:
                    self._connection = psycopg.connect(self._conninfo)
                with self._connection.transaction(), self._connection.cursor() as cursor:
                    cursor.executemany(INSERT, values)
            except psycopg.OperationalError as exc:
                first = next(iter(str(exc).splitlines()), "")
                raise UnreachableError(f"PostgreSQL: {first}") from None
            except psycopg.Error as exc:
                message, state = f"PostgreSQL: {exc.diag.message_primary}", exc.sqlstate or ""
                if state == _MAY_NOT:
                    message += (
                        ": the owner of its topics lets a role publish to some of them by "
                        "SELECT trio_stream.let_publish(role, pattern)"
                    )
                raise RefusedError(message, state) from None

    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
