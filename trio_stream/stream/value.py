"""`Stream.value`: a stream's bytes, pulled by whoever entered it."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self, final

import trio

from ..codec import encode_retry, join_events
from .lifetime import Lifetime
from .options import StreamOptions
from .outcome import Outcome
from .producer import produce

__all__ = ["Enterable", "StreamValue"]


@final
class StreamValue:
    """An async iterator over the body of an entered stream: `bytes`, as much as is there at once.

    Raises what the producer failed with after the last chunk.
    """

    __slots__ = ("_begun", "_stream")

    def __init__(self, stream: Lifetime) -> None:
        self._stream = stream
        self._begun = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        stream = self._stream
        await trio.lowlevel.checkpoint()
        try:
            data = self._first() + join_events(await stream._channel.receive())
        except trio.EndOfChannel:
            stream._raise_failure()
            raise StopAsyncIteration from None
        stream._written += len(data)
        return data

    def _first(self) -> bytes:
        if self._begun:
            return b""
        self._begun = True
        retry = self._stream._retry
        self._stream._headers_out = True  # from now on a change of `retry` has to be sent
        return b"" if retry is None else encode_retry(retry)


class Enterable(Lifetime):
    """A `Lifetime` that can be used without a server."""

    __slots__ = ("_entered", "_value")

    def __init__(self, source: Any, options: StreamOptions) -> None:
        super().__init__(source, options)
        self._value: StreamValue | None = None
        self._entered: Any = None

    @property
    def value(self) -> StreamValue:
        """The stream's bytes, for use without a server: ``async for chunk in stream.value``.

        Pull only: no ping, no stall timer. The stream must have been entered.
        """
        if self._value is None:
            raise RuntimeError("enter the stream first: async with Stream(...) as stream")
        return self._value

    async def __aenter__(self) -> Self:
        if self._used:
            raise RuntimeError("a Stream can be served or entered once: make one for each use")
        self._used = True
        self._value = StreamValue(self)
        self._entered = trio.open_nursery()
        helpers = self._helpers = await self._entered.__aenter__()
        self._open(None)
        helpers.start_soon(produce, self)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end(Outcome.CLOSED)
        # Without the body's exception: it goes on as it is, and not in a group of this nursery's.
        # Shielded, so that it isn't replaced by `Cancelled` either. Cancelled first: a shield alone
        # would take a cancellation from outside back from tasks that are about to receive it, and
        # Trio's own checkpoints fail then.
        assert self._helpers is not None
        self._helpers.cancel_scope.cancel()
        self._helpers.cancel_scope.shield = True
        await self._entered.__aexit__(None, None, None)
        self._call_on_end()
        if exc is None:
            self._raise_failure()
