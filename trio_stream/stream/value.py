"""`Stream.value`: a stream's bytes, pulled by whoever entered it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self, final

import trio

from ..codec import encode_retry

if TYPE_CHECKING:
    from .lifetime import Lifetime

__all__ = ["StreamValue"]


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
            data = self._first() + b"".join(await stream._channel.receive())
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
