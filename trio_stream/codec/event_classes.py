"""Which classes are events, and no values: this library's, and those of others."""

from __future__ import annotations

from functools import lru_cache

__all__ = ["event_package"]

_NAMES = frozenset({"EncodedEvent", "ServerSentEvent"})
_PACKAGES = frozenset({"fastapi", "httpx2", "httpx_sse", "sse_starlette", "trio_stream"})


@lru_cache(maxsize=1024)
def event_package(kind: type) -> str | None:
    """The package that this class of events comes from, or was made from; None for another class.

    Known by their names, so that none of those libraries is imported or needed.
    """
    for base in kind.__mro__:
        package = base.__module__.partition(".")[0]
        if base.__name__ in _NAMES and package in _PACKAGES:
            return package
    return None
