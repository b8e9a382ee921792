"""What says that it can be read in both ways, as some SDKs' stream objects do, though one fails."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Self

from ..needs_asyncio import needs_asyncio
from .blocking import BlockingSource
from .contract import Sink, close_within
from .iterables import AsyncSource

__all__ = ["EitherSource"]


class EitherSource:
    """An iterable that is an async one, too: read so, or in a thread where that needs asyncio.

    litellm's stream object is one, also of a sync call. What it can do shows at its first item.
    """

    holds_headers = False

    def __init__(self, source: Any) -> None:
        self._source = source

    async def run(self, sink: Sink) -> None:
        side = _AsyncSide(self._source)
        await AsyncSource(side).run(sink)
        if side.refused:
            await BlockingSource(self._source).run(sink)

    async def aclose(self) -> None:
        await AsyncSource(self._source).aclose()

    def close_unawaited(self) -> bool:
        return AsyncSource(self._source).close_unawaited()


class _AsyncSide:
    """The async iterable in ``source``: empty, and not closed, if its first item needs asyncio."""

    def __init__(self, source: Any) -> None:
        self._source = source
        self._iterator: AsyncIterator[Any] | None = None
        self._begun = False
        self.refused = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        try:
            if self._iterator is None:
                self._iterator = aiter(self._source)
            item = await anext(self._iterator)
        except (RuntimeError, TypeError) as error:
            if self._begun or not needs_asyncio(error):
                raise
            self.refused = True
            raise StopAsyncIteration from error
        self._begun = True
        return item

    async def aclose(self) -> None:
        if self.refused:
            return
        if self._iterator is not None and self._iterator is not self._source:
            await close_within(self._iterator, repr(self._iterator))
        await close_within(self._source, repr(self._source))
