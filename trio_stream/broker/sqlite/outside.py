"""Publishing to the file of a ``sqlite://`` broker from another process of its machine."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, final

from ...errors import BrokerInUseError, BrokerStorageError
from ..contract import Entry, Record, Retention, wire_form
from .batch import once_of_entries
from .desk import Request, ask, too_long
from .engine import SqliteEngine
from .network import network_of
from .store import SqliteStore

__all__ = ["SqliteWay"]

#: Seconds that somebody else may have the file who does not answer: another publisher, mostly.
_PATIENCE = 5.0

#: Seconds between two looks.
_PAUSE = 0.01


@final
class SqliteWay:
    """Asks who has the file; where nobody has it, writes to it, and lets it go at once.

    A broker that starts is not kept out by a publisher that does nothing.
    """

    def __init__(self, url: str, retention: Retention, options: dict[str, Any]) -> None:
        self._path = SqliteEngine(url, retention, **options).path  # which checks them
        self._retention = retention
        self._options = {"synchronous": "full", **options}

    def append(self, entries: Sequence[Entry]) -> Sequence[int]:
        until = time.monotonic() + _PATIENCE
        while True:
            ids = ask(self._path, Request("append", list(entries)), _PATIENCE)
            if ids is not None:
                return ids
            try:
                return self._write(entries)
            except BrokerInUseError as exc:
                if time.monotonic() > until:
                    if (why := too_long(self._path)) is not None:
                        raise BrokerInUseError(f"{exc}, and cannot be asked: {why}") from None
                    raise
                time.sleep(_PAUSE)

    def _write(self, entries: Sequence[Entry]) -> Sequence[int]:
        if (kind := network_of(self._path)) is not None:
            raise BrokerStorageError(
                f"{self._path} is on a network file system ({kind}), where a broker on another "
                "machine may have it open: publish where that runs, by its publish_app, or use "
                "redis://"
            )
        # Made by who publishes first, as by a broker that opens it.
        with closing(SqliteStore(self._path, self._retention, **self._options)) as store:
            first = store.last + 1
            records = [
                Record(id, entry.topic, entry.key, wire_form(id, entry.body), entry.but)
                for id, entry in enumerate(entries, first)
            ]
            known = store.append(records, once_of_entries(entries, first))
            return [known.get(record.id, record.id) for record in records]

    def pass_on(self, entries: Sequence[Entry]) -> None:
        if (why := too_long(self._path)) is not None:
            raise BrokerInUseError(f"{self._path}: who has it open cannot be asked: {why}")
        # Where no broker has the file open, nobody is there.
        if Path(self._path).exists():
            ask(self._path, Request("pass_on", list(entries)), _PATIENCE)

    def close(self) -> None:
        """Nothing is held."""
