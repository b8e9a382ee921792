"""Publishing where there is no Trio run: in cron jobs, workers and other frameworks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Protocol, Self, final
from uuid import uuid4

import trio

from ..checks import check_kind, check_seconds, check_several
from .contract import Entry, Retention
from .contract.entries import body_of, check_once, check_published, known_together, special_entry
from .contract.records import ONCE_FOR
from .contract.retention import retention_of
from .disconnects import check_disconnect, disconnect_entry
from .engines import check_options, needing
from .thread_way import ThreadWay
from .urls import shown_url

__all__ = ["TopicPublisher", "publisher"]

_COMMON = ("history", "history_age", "history_bytes", "retention", "once_for")


class Way(Protocol):
    """How a publisher's entries get into the log."""

    def append(self, entries: Sequence[Entry]) -> Sequence[int]:
        """As `Engine.append`, but that it blocks."""

    def pass_on(self, entries: Sequence[Entry]) -> None:
        """As `FullEngine.pass_on`, likewise."""

    def close(self) -> None:
        """Let go of what it holds. Idempotent."""


def publisher(
    url: str,
    *,
    history: int = 10_000,
    history_age: float | None = None,
    history_bytes: int = 2**20,
    retention: Mapping[str, Retention] | None = None,
    once_for: float = ONCE_FOR,
    **options: Any,
) -> TopicPublisher:
    """Publish to topics from a program that does not run Trio: a script, a worker, a Django view.

    ::

        with trio_stream.publisher("redis://host") as topics:
            topics.publish("orders/17", {"status": "paid"}, event="paid", once=payment.id)

    What it appends is numbered, kept and fanned out as a broker's own. It blocks, so in a Trio
    program use `open_broker`. Any thread may use it, but no process that was forked since.

    Args:
      url: ``sqlite:///path``, where the broker that has the file open is asked to append, and where
        none is, it is written to directly; ``postgresql://host/database``; or ``redis://host`` and
        the like.
      history, history_age, history_bytes, retention, once_for, options: as for `open_broker`; all
        who publish should say the same. On SQLite they count where no broker has the file open. On
        PostgreSQL and Redis an outage is waited for, however long it is; ``outage="raise"`` tells
        of it at once.

    Raises:
      TypeError, ValueError: no engine has such a URL, or an option is out of its range; memory://
        is of one process.
      BrokerError: PostgreSQL or Redis cannot be reached.
    """
    check_kind("url", url, str, "a URL, such as sqlite:///log.db or redis://host")
    kept = retention_of(Retention(history, history_age, history_bytes), retention)
    check_seconds("once_for", once_for)
    scheme = url.partition(":")[0].lower()
    if scheme == "sqlite":
        check_options("sqlite", options, _COMMON)
        from .sqlite.outside import SqliteWay

        return TopicPublisher(SqliteWay(url, kept, options), once_for)
    if scheme.startswith(("redis", "valkey")) or scheme == "unix":
        check_options("redis", options, _COMMON)
        with needing("redis", f"a {scheme}:// publisher"):
            from .redis.engine import RedisEngine
        return TopicPublisher(ThreadWay(RedisEngine(url, kept, **options)), once_for)
    if scheme in {"postgresql", "postgres"}:
        check_options("postgresql", options, _COMMON)
        with needing("postgresql", f"a {scheme}:// publisher"):
            from .postgres.outside import open_way
        return TopicPublisher(open_way(url, kept, options), once_for)
    if scheme == "memory":
        raise ValueError(
            "memory:// is of one process, and nobody else can publish there: use its broker, "
            "publish_app, or sqlite://, postgresql:// or redis://"
        )
    raise ValueError(
        f"no publisher has the URL {shown_url(url)!r}: sqlite:///, postgresql:// or redis://"
    )


@final
class TopicPublisher:
    """Publishes to topics, and blocks while it does; made by `publisher`. Close it, or use `with`.

    Its methods take and raise what those of `Broker` do, and `trio.ClosedResourceError` when it is
    closed.
    """

    def __init__(self, way: Way, once_for: float) -> None:
        self._way = way
        self._once_for = once_for
        self._closed = False

    def publish(
        self,
        topic: str,
        data: Any,
        *,
        event: str | None = None,
        key: str = "",
        once: str | None = None,
        keep: bool = True,
        but: str | None = None,
    ) -> str:
        """Append one event to a topic; returns its id, ``""`` with ``keep=False``.

        Nor has it one for a role of PostgreSQL that may publish and nothing else.
        """
        entry = Entry(check_published(topic, key), body_of(data, event), key)
        entry = special_entry(entry, once, keep, but, self._once_for)
        return self._send([entry], keep)[0]

    def publish_many(
        self,
        topic: str,
        values: Iterable[Any],
        *,
        event: str | None = None,
        key: str = "",
        once: str | None = None,
        keep: bool = True,
        but: str | None = None,
    ) -> list[str]:
        """Append several events to a topic at once, all or none; returns their ids."""
        check_several(values, "publish")
        name = check_published(topic, key)
        entries: Sequence[Entry] = [
            special_entry(Entry(name, body_of(data, event), key), None, keep, but, 1.0)
            for data in values
        ]
        if once is not None:
            check_once(once, keep)
            entries = known_together(entries, once, self._once_for)
        return self._send(entries, keep)

    def disconnect(
        self, principal: str | int, *, refuse_for: float = 0.0, runs: bool = False
    ) -> None:
        """End all streams of a principal, in every process that shares the log, very soon."""
        whose = check_disconnect(principal, refuse_for, runs)
        self._send([disconnect_entry(whose, float(refuse_for), runs, uuid4().hex)], keep=True)

    def _send(self, entries: Sequence[Entry], keep: bool) -> list[str]:
        if self._closed:
            raise trio.ClosedResourceError("the publisher is closed")
        if trio.lowlevel.in_trio_run():
            raise RuntimeError(
                "a publisher blocks, and all of this Trio run with it: use open_broker here, or "
                "call it in a thread"
            )
        if not entries:
            return []
        if keep:
            return [str(id) if id else "" for id in self._way.append(entries)]
        self._way.pass_on(entries)
        return [""] * len(entries)

    def close(self) -> None:
        """Publish no more. Idempotent."""
        self._closed = True
        self._way.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
