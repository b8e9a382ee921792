"""The engines by the schemes of their URLs, and what each of them may be told."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

from .contract import Engine, Retention
from .memory import MemoryEngine
from .urls import shown_url

__all__ = ["ENGINE_OPTIONS", "check_options", "needing", "open_engine"]

#: The engines' own options, here because an engine is imported only when it is used.
ENGINE_OPTIONS: dict[str, tuple[str, ...]] = {
    "memory": (),
    "sqlite": ("synchronous", "max_topics"),
    "postgresql": ("outage", "max_topics"),
    "redis": ("outage", "prefix", "live_events", "live_bytes", "max_topics"),
}


#: What their modules import that an extra brings.
_NEEDED = {
    "postgresql": (
        "psycopg, trio-stream[postgres], and libpq: the system's, or that of psycopg[binary]"
    ),
    "redis": "coredis: trio-stream[redis]",
}


@contextmanager
def needing(engine: str, what: str) -> Iterator[None]:
    """Where a module of an engine is imported; the `ImportError` says what is to be installed."""
    try:
        yield
    except ImportError as exc:
        raise ImportError(f"{what} needs {_NEEDED[engine]}") from exc


def open_engine(
    url: str, retention: Retention, options: dict[str, Any], common: Collection[str] = ()
) -> Engine:
    """The engine that a URL names, not opened yet; `ValueError` lists the schemes there are.

    Args:
      common: names of options that every broker has, for who has mistyped one.
    """
    scheme = url.partition(":")[0].lower()
    if scheme == "memory":
        if url[len(scheme) :].rstrip("/") != ":":
            raise ValueError(f"what is in memory has no address: memory://, not {shown_url(url)!r}")
        check_options("memory", options, common)
        return MemoryEngine()
    if scheme == "sqlite":
        from .sqlite import SqliteEngine

        check_options("sqlite", options, common)
        return SqliteEngine(url, retention, **options)
    if scheme.startswith(("redis", "valkey")) or scheme == "unix":
        check_options("redis", options, common)
        with needing("redis", f"a {scheme}:// broker"):
            from .redis import RedisEngine
        return RedisEngine(url, retention, **options)
    if scheme in {"postgresql", "postgres"}:
        check_options("postgresql", options, common)
        with needing("postgresql", f"a {scheme}:// broker"):
            from .postgres import PostgresEngine
        return PostgresEngine(url, retention, **options)
    raise ValueError(
        f"no engine has the URL {shown_url(url)!r}: there are memory://, sqlite:///path/to/file, "
        "postgresql://host/database, redis://host:port/db, rediss://, redis+sentinel:// and "
        "redis+cluster://, and the same with valkey"
    )


def check_options(engine: str, options: Collection[str], common: Collection[str]) -> None:
    """`TypeError` for an option that this engine has not, with what was meant, if that is clear."""
    known = (*common, *ENGINE_OPTIONS[engine])
    for name in options:
        if name in known:
            continue
        others = [f"{other}://" for other, names in ENGINE_OPTIONS.items() if name in names]
        close = get_close_matches(name, known, n=1)
        if others:
            hint = f"it is for {' and '.join(others)}"
        elif close:
            hint = f"did you mean {close[0]}?"
        else:
            hint = f"there are {', '.join(known)}"
        raise TypeError(f"a {engine}:// broker has no option {name}: {hint}")
