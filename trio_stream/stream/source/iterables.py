"""Sources that can be iterated without a thread, and awaitables of any source."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable
from typing import Any

import trio

from .contract import HeadersWaitFor, Sink, Source, close_within
from .leaving import leave

__all__ = ["AsyncSource", "AwaitableSource", "ChannelSource", "InlineSource"]


class InlineSource:
    """A list, tuple or range: nothing in it can block, so no thread is needed."""

    headers_wait_for: HeadersWaitFor = "nothing"

    def __init__(self, values: Iterable[Any]) -> None:
        self._values = values

    async def run(self, sink: Sink) -> None:
        put = sink.put
        for value in self._values:
            if (wait := put(value)) is not None:
                await wait

    async def aclose(self) -> None:
        pass

    def close_unawaited(self) -> bool:
        return True


class AsyncSource:
    """An async iterable: a generator, a receive channel, an SDK's stream object."""

    headers_wait_for: HeadersWaitFor = "item"

    def __init__(self, iterable: AsyncIterable[Any]) -> None:
        self._iterable = iterable

    async def run(self, sink: Sink) -> None:
        iterator = aiter(self._iterable)
        put = sink.put
        try:
            async for value in iterator:
                if (wait := put(value)) is not None:
                    await wait
        finally:
            # A generator left at its `yield` finishes here, in the stream's own task, and not
            # some time later in the garbage collector's.
            await leave(iterator)
            if iterator is not self._iterable:
                await close_within(iterator, repr(iterator))
            await self.aclose()

    async def aclose(self) -> None:
        await close_within(self._iterable, repr(self._iterable))

    def close_unawaited(self) -> bool:
        # A generator that never started has nothing to clean up, and a memory channel closes
        # without waiting. (Python 3.11 does not tell whether one has started; Trio warns then.)
        if isinstance(self._iterable, trio.MemoryReceiveChannel):
            self._iterable.close()
            return True
        if inspect.isasyncgen(self._iterable):
            iterable = self._iterable
            return not (iterable.ag_running or getattr(iterable, "ag_suspended", False))
        if hasattr(self._iterable, "aclose"):
            return False
        close = getattr(self._iterable, "close", None)
        if close is None:
            return True
        if inspect.iscoroutinefunction(close):  # anthropic's and groq's streams
            return False
        close()
        return True


class ChannelSource(AsyncSource):
    """A memory channel: like any async iterable, but all that waits in it is taken at once."""

    headers_wait_for: HeadersWaitFor = "nothing"

    def __init__(self, channel: trio.MemoryReceiveChannel[Any]) -> None:
        super().__init__(channel)
        self._channel = channel

    async def run(self, sink: Sink) -> None:
        channel, put = self._channel, sink.put
        with channel:
            async for first in channel:
                value = first
                while True:
                    if (wait := put(value)) is not None:
                        await wait
                    try:
                        value = channel.receive_nowait()
                    except (trio.WouldBlock, trio.EndOfChannel):
                        break


class AwaitableSource:
    """An awaitable of any other source: awaited inside the stream, before the headers go out."""

    headers_wait_for: HeadersWaitFor = "ready"

    def __init__(self, awaitable: Awaitable[Any], open_source: Callable[[Any], Source]) -> None:
        self._awaitable = awaitable
        self._open_source = open_source

    async def run(self, sink: Sink) -> None:
        result = await self._awaitable
        if result is None:
            sink.ready()
            return
        source = self._open_source(result)
        sink.found(source)
        await source.run(sink)

    async def aclose(self) -> None:
        self.close_unawaited()

    def close_unawaited(self) -> bool:
        close = getattr(self._awaitable, "close", None)  # a coroutine's; a future has none
        if close is not None:
            close()
        return True
