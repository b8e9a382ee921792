"""A response in a content coding, on whatever transport it goes."""

from __future__ import annotations

from collections.abc import Callable

import trio

from ..codec import EncodedEvent
from ..codec.compressor import Compressor, open_compressor
from .base import Headers, Transport

__all__ = ["VARIES", "CompressedTransport"]

#: What a response that may be compressed says, compressed or not.
VARIES = (b"vary", b"accept-encoding")

#: Seconds of silence after which what is written stands alone: nothing is held for what may follow.
#: The pings of a silent stream are further apart.
_REST = 5.0


class CompressedTransport:
    """Compresses what is written, and writes it on; all of a write can be read when it is out.

    Only a response whose headers say `VARIES`: what is answered instead of a stream is not.
    """

    __slots__ = ("_compressor", "_inner", "_name")

    def __init__(self, inner: Transport, name: str) -> None:
        self._inner = inner
        self._name = name
        self._compressor: Compressor | None = None

    async def start(self, status: int, headers: Headers) -> None:
        if VARIES in headers and status != 204:  # "No Content": an upstream's, passed on
            self._compressor = open_compressor(self._name)
            headers = (*headers, (b"content-encoding", self._name.encode()))
        await self._inner.start(status, headers)

    async def write(self, data: bytes) -> None:
        await self._inner.write(self._compressed(data))

    def write_nowait(self, data: bytes | EncodedEvent) -> bool:
        """What is compressed has to go out, so it is asked before whether it will."""
        if not self._inner.is_free:
            return False
        return self._inner.write_nowait(
            self._compressed(data.data if isinstance(data, EncodedEvent) else data)
        )

    def _compressed(self, data: bytes) -> bytes:
        if self._compressor is None or not data:
            return data
        made = self._compressor.compress(data)
        if trio.current_time() - self.last_write > _REST:
            self._compressor.rest()
        return made

    async def finish(self) -> None:
        if self._compressor is not None:
            await self._inner.write(self._compressor.end())
        await self._inner.finish()

    @property
    def coding(self) -> str | None:
        return None if self._compressor is None else self._name

    # All else is the inner one's.

    @property
    def direct(self) -> bool:
        return self._inner.direct

    @property
    def last_write(self) -> float:
        return self._inner.last_write

    @last_write.setter
    def last_write(self, when: float) -> None:
        self._inner.last_write = when

    @property
    def stuck_since(self) -> float | None:
        return self._inner.stuck_since

    @stuck_since.setter
    def stuck_since(self, when: float | None) -> None:
        self._inner.stuck_since = when

    @property
    def sees_progress(self) -> bool:
        return self._inner.sees_progress

    @property
    def is_free(self) -> bool:
        return self._inner.is_free

    def sender(self) -> Callable[[bytes], int] | None:
        return None

    def keep_rest(self, frame: bytes, left: int) -> None:
        raise AssertionError("there is no sender")

    async def abort(self) -> None:
        await self._inner.abort()

    def close(self) -> None:
        self._inner.close()

    async def wait_disconnected(self) -> None:
        await self._inner.wait_disconnected()

    def drop(self) -> None:
        self._inner.drop()

    def look(self) -> None:
        self._inner.look()

    def is_gone(self) -> bool:
        return self._inner.is_gone()
