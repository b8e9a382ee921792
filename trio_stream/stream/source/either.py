"""What says that it can be read in both ways, as some SDKs' stream objects do, though one fails."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from typing import Any, Self, cast

from ..answers.needs_asyncio import needs_asyncio
from .blocking import BlockingSource
from .contract import HeadersWaitFor, Sink, Source, close_within
from .iterables import AsyncSource

__all__ = ["open_either"]


#: Packages whose objects need asyncio to be read asynchronously, and are spoiled by an attempt.
_NEED_ASYNCIO = frozenset({"litellm"})


def open_either(source: Any) -> Source:
    """The `Source` for an iterable that is an async one, too."""
    package = type(source).__module__.partition(".")[0]
    return BlockingSource(source) if package in _NEED_ASYNCIO else EitherSource(source)


class EitherSource:
    """What is read asynchronously, or in a thread where its first item needs asyncio."""

    headers_wait_for: HeadersWaitFor = "item"

    def __init__(self, source: Any) -> None:
        self._source = source

    async def run(self, sink: Sink) -> None:
        side = _AsyncSide(self._source)
        await AsyncSource(side).run(sink)
        if side.refused is not None:
            counting = _Counting(sink)
            await BlockingSource(self._source).run(cast("Sink", counting))
            if not counting.count:
                # Perhaps there are none. But perhaps the first attempt has taken what there was.
                raise side.refused

    async def aclose(self) -> None:
        await AsyncSource(self._source).aclose()

    def close_unawaited(self) -> bool:
        return AsyncSource(self._source).close_unawaited()


class _Counting:
    """A sink that counts what it is given."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.count = 0

    def put(self, value: Any) -> Awaitable[None] | None:
        self.count += 1
        return self._sink.put(value)


class _AsyncSide:
    """The async iterable in ``source``: empty, and not closed, if its first item needs asyncio."""

    def __init__(self, source: Any) -> None:
        self._source = source
        self._iterator: AsyncIterator[Any] | None = None
        self._begun = False
        self.refused: Exception | None = None

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
            self.refused = error
            raise StopAsyncIteration from error
        self._begun = True
        return item

    async def aclose(self) -> None:
        if self.refused is not None:
            return
        if self._iterator is not None and self._iterator is not self._source:
            await close_within(self._iterator, repr(self._iterator))
        await close_within(self._source, repr(self._source))
