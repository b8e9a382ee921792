"""SQLite's errors, by what a person can do about them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from ...errors import BrokerError, BrokerInUseError, BrokerStorageError

__all__ = ["copied", "named_errors"]


@contextmanager
def named_errors(path: str) -> Iterator[None]:
    """Raise SQLite's errors as the library's."""
    try:
        yield
    except sqlite3.Error as exc:
        raise _named(exc, path) from exc


def _named(exc: sqlite3.Error, path: str) -> BrokerError:
    code = getattr(exc, "sqlite_errorcode", 0) & 0xFF
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return BrokerInUseError(
            f"{path} is open already: a sqlite:// broker is for one process, so start one worker, "
            "or use redis://; to publish from outside, use trio_stream.publisher"
        )
    return BrokerStorageError(f"{path}: {exc}")


def copied(error: BaseException) -> BaseException:
    """One for each task that raises it: a traceback is one task's."""
    copy = type(error)(*error.args)
    copy.__cause__ = error.__cause__
    return copy
