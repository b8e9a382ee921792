"""The engines by the schemes of their URLs."""

from __future__ import annotations

from typing import Any

from .contract import Engine, Retention
from .memory import MemoryEngine
from .urls import shown_url

__all__ = ["open_engine"]


def open_engine(url: str, retention: Retention, options: dict[str, Any]) -> Engine:
    """The engine that a URL names, not opened yet; `ValueError` lists the schemes there are."""
    scheme = url.partition(":")[0].lower()
    if scheme == "memory":
        if url[len(scheme) :].rstrip("/") != ":":
            raise ValueError(f"what is in memory has no address: memory://, not {shown_url(url)!r}")
        return MemoryEngine(**options)
    if scheme == "sqlite":
        from .sqlite import SqliteEngine

        return SqliteEngine(url, retention, **options)
    if scheme.startswith(("redis", "valkey")) or scheme == "unix":
        try:
            from .redis import RedisEngine
        except ImportError as exc:
            raise ImportError(f"a {scheme}:// broker needs coredis: trio-stream[redis]") from exc
        return RedisEngine(url, retention, **options)
    raise ValueError(
        f"no engine has the URL {shown_url(url)!r}: there are memory://, sqlite:///path/to/file, "
        "redis://host:port/db, rediss://, redis+sentinel:// and redis+cluster://, and the same "
        "with valkey"
    )
