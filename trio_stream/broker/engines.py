"""The engines by the schemes of their URLs."""

from __future__ import annotations

from typing import Any

from .contract import Engine, Retention
from .memory import MemoryEngine
from .urls import without_login

__all__ = ["open_engine"]


def open_engine(url: str, retention: Retention, options: dict[str, Any]) -> Engine:
    """The engine that a URL names, not opened yet; `ValueError` lists the schemes there are."""
    scheme, _, _ = url.partition(":")
    if scheme == "memory":
        return MemoryEngine(**options)
    if scheme == "sqlite":
        from .sqlite import SqliteEngine

        return SqliteEngine(url, retention, **options)
    if scheme.startswith("redis") or scheme == "unix":
        try:
            from .redis import RedisEngine
        except ImportError as exc:
            raise ImportError("a redis:// broker needs coredis: trio-stream[redis]") from exc
        return RedisEngine(url, retention, **options)
    raise ValueError(
        f"no engine has the URL {without_login(url)!r}: there are memory://, "
        "sqlite:///path/to/file, redis://host:port/db, rediss://, redis+sentinel:// and redis+cluster://"
    )
