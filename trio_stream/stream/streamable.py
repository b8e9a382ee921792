"""What a stream can be made of besides a callback, for type checkers.

`source` finds out what it is, and refuses what only looks like it: a `str`, a mapping, a `Stream`.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from .source import Source

__all__ = ["Streamable", "StreamedResponse"]


class StreamedResponse(Protocol):
    """A response of httpx or httpx2, whose body is still to be read."""

    @property
    def status_code(self) -> int:
        """Its status."""

    def aiter_raw(self) -> AsyncIterator[bytes]:
        """Its body as it arrives."""


Streamable = (
    AsyncIterable[Any]
    | Iterable[Any]
    | Awaitable[Any]
    | AbstractAsyncContextManager[Any, Any]
    | StreamedResponse
    | Source
)
