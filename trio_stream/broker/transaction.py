"""Publishing in somebody's transaction, by a connection of psycopg's: seen when it commits."""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine, Sequence
from typing import Any, LiteralString, Protocol, overload

from ..checks import check_flag, check_seconds
from .contract.entries import body_of, check_published, special_entry
from .contract.records import ONCE_FOR, Entry

__all__ = ["AsyncConnection", "Connection", "publish"]

_INTO: LiteralString = (
    "INSERT INTO trio_stream.outbox (topic, key, but, body, keep, once, once_for, ring) VALUES "
)

#: Binary values: psycopg would write bytes as text, in twice as many of them.
_INSERT: LiteralString = _INTO + "(%b, %b, %b, %b, %b, %b, %b, %b)"

_RAW_INSERT: LiteralString = _INTO + "($1, $2, $3, $4, $5, $6, $7, $8)"


class Connection(Protocol):
    """A `psycopg.Connection`."""

    @property
    def pgconn(self) -> Any:
        """What no other library's connections have."""

    def execute(self, query: LiteralString, params: Sequence[Any], /) -> Any:
        """Ask, and wait for the answer."""


class AsyncConnection(Protocol):
    """A `psycopg.AsyncConnection`, which needs asyncio."""

    @property
    def pgconn(self) -> Any:
        """What no other library's connections have."""

    def execute(self, query: LiteralString, params: Sequence[Any], /) -> Coroutine[Any, Any, Any]:
        """Likewise."""


def _values(entry: Entry, *, keep: bool, ring: bool) -> tuple[object, ...]:
    once = entry.once
    return (
        *(entry.topic.encode(), entry.key.encode(), entry.but.encode(), entry.body, keep),
        *(None if once is None else once.key.encode(), ONCE_FOR if once is None else once.seconds),
        ring,
    )


@overload
def publish(
    connection: AsyncConnection,
    topic: str,
    data: Any,
    *,
    event: str | None = None,
    key: str = "",
    once: str | None = None,
    keep: bool = True,
    but: str | None = None,
    once_for: float = ONCE_FOR,
    ring: bool = True,
) -> Awaitable[None]: ...
@overload
def publish(
    connection: Connection,
    topic: str,
    data: Any,
    *,
    event: str | None = None,
    key: str = "",
    once: str | None = None,
    keep: bool = True,
    but: str | None = None,
    once_for: float = ONCE_FOR,
    ring: bool = True,
) -> None: ...
def publish(
    connection: AsyncConnection | Connection,
    topic: str,
    data: Any,
    *,
    event: str | None = None,
    key: str = "",
    once: str | None = None,
    keep: bool = True,
    but: str | None = None,
    once_for: float = ONCE_FOR,
    ring: bool = True,
) -> Awaitable[None] | None:
    """Publish to a topic of a ``postgresql://`` broker: seen when, and only if, this commits.

    ::

        with psycopg.connect("postgresql://localhost/shop") as connection:
            connection.execute("UPDATE orders SET state = 'paid' WHERE id = 17")
            publish(connection, "orders/17", {"state": "paid"}, event="order")

    It needs no Trio. It has no id yet: the events of a transaction are numbered when it has
    committed, in the order in which they were published.

    Args:
      connection: psycopg 3's, to the broker's database. With an asynchronous one, which needs
        asyncio, await what this returns.
      topic, data, event, key, keep, but: as for `Broker.publish`.
      once: likewise; where it is known when this is numbered, it is left out.
      once_for: seconds for which that is known, as for `open_broker`.
      ring: False for a transaction that will be prepared (``tpc_prepare``), as such a one may not
        notify: then it may take half a second longer.

    Raises:
      TypeError, ValueError: as `Broker.publish`; or it is no connection of psycopg's.
      psycopg.Error: whatever the connection raises.
    """
    entry = Entry(check_published(topic, key), body_of(data, event), key)
    check_seconds("once_for", once_for)
    check_flag("ring", ring)
    entry = special_entry(entry, once, keep, but, once_for)
    if not (hasattr(connection, "pgconn") and hasattr(connection, "execute")):
        raise TypeError(
            f"publish takes a connection of psycopg 3, not {type(connection).__name__}: "
            "SQLAlchemy's is session.connection().connection.driver_connection, Django's "
            "connection.connection; whatever else speaks SQL can SELECT trio_stream.publish(...)"
        )
    statement = _RAW_INSERT if _is_raw(connection) else _INSERT
    asked = connection.execute(statement, _values(entry, keep=keep, ring=ring))
    return _done(asked) if isinstance(asked, Coroutine) else None


def _is_raw(connection: object) -> bool:
    """Whether its own cursors take PostgreSQL's placeholders, and not psycopg's."""
    from psycopg import AsyncRawCursor, RawCursor  # which is there, as its connection is

    kind = getattr(connection, "cursor_factory", None)
    return isinstance(kind, type) and issubclass(kind, RawCursor | AsyncRawCursor)


async def _done(asked: Coroutine[Any, Any, Any]) -> None:
    await asked
