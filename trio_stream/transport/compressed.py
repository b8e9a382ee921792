"""A response in a content coding, on whatever transport it goes."""

from __future__ import annotations

from collections.abc import Callable

import trio

from ..codec import EncodedEvent, Uncompressed
from ..codec.compressor import Compressor, open_compressor
from ..codec.groups import Mark, SharedEvent
from .base import Headers, Transport

__all__ = ["VARIES", "CompressedTransport"]

#: What a response that may be compressed says, compressed or not. This very object: an error's own
#: headers may say the same.
VARIES = (b"vary", b"accept-encoding")

#: Seconds of silence after which what is written stands alone: nothing is held for what may follow.
#: The pings of a silent stream are further apart.
_REST = 5.0

#: Writes after which a transport that is not direct will not become so: Hypercorn's proof is four.
_PROVED = 5


class CompressedTransport:
    """Compresses what is written, and writes it on; all of a write can be read when it is out.

    Only a response whose headers have `VARIES`: what is answered instead of a stream is not.

    Of a stream that is to be sent what many are, see `share`, what it is sent by itself is mostly
    little, and holds nothing: ten thousand of them have no window each.

    Attributes:
      inner: the transport on which it goes.
      read: how far the client has read what many are sent, if that was the last that it was sent;
        whoever sends it more of that by ``inner.sender`` moves it on.
    """

    __slots__ = ("_compressor", "_joined", "_name", "_shares", "_written", "inner", "read")

    def __init__(self, inner: Transport, name: str) -> None:
        self.inner: Transport = inner
        self._name = name
        self._compressor: Compressor | None = None
        self._shares = False
        self.read: Mark | None = None
        #: How much of it there was, before the first of it that the client was sent.
        self._joined = Mark(None, 0, 0)
        self._written = 0

    async def begin(self, status: int, headers: Headers, first: Callable[[], bytes]) -> None:
        await self.inner.begin(
            status, self._opened(status, headers), lambda: self._compressed(first())
        )

    async def start(self, status: int, headers: Headers) -> None:
        await self.inner.start(status, self._opened(status, headers))

    def _opened(self, status: int, headers: Headers) -> Headers:
        """The headers, with the coding's if there is to be one, and what compresses then."""
        may_be = any(pair is VARIES for pair in headers)
        if may_be and status != 204:  # "No Content": an upstream's, passed on
            self._compressor = open_compressor(self._name)
            headers = (*headers, (b"content-encoding", self._name.encode()))
        return headers

    async def write(self, data: bytes) -> None:
        made = self._compressed(data)
        if self._compressor is not None and trio.current_time() - self.last_write > _REST:
            self._compressor.rest()
        await self.inner.write(made)

    def write_nowait(self, data: bytes | EncodedEvent) -> bool:
        """What is compressed has to go out, so it is asked before whether it will."""
        inner = self.inner
        if not inner.is_free:
            return False
        before = inner.last_write
        taken = inner.write_nowait(
            self._compressed(data.data if isinstance(data, EncodedEvent) else data)
        )
        # Both times are the transport's own: to ask for the time is as much as all else here.
        if inner.last_write - before > _REST and self._compressor is not None:
            self._compressor.rest()
        return taken

    def _compressed(self, data: bytes) -> bytes:
        if self._compressor is None or not data:
            return data
        read = self.read
        if read is not None:
            self._leave(read)
            if read.group is not None:
                read.group.awaited = True
        self._written += 1
        if type(data) is Uncompressed:
            return self._compressor.alone(data, stored=True)
        if self._shares and (self.inner.direct or self._written <= _PROVED):
            return self._compressor.alone(data)
        return self._compressor.compress(data)

    async def finish(self) -> None:
        if self._compressor is not None:
            if self.read is not None:
                self._leave(self.read)
            await self.inner.write(self._compressor.end())
        await self.inner.finish()

    @property
    def coding(self) -> str | None:
        return None if self._compressor is None else self._name

    # What many are sent.

    def share(self) -> str:
        """From now on it is sent mostly what many are, by ``inner.sender`` or `write_shared`.

        Returns the coding's name.
        """
        self._shares = True
        return self._name

    def write_shared(self, event: SharedEvent) -> bool:
        """Write it, if the client can read it, and takes anything now."""
        reads_on = self.read is event.before
        if (
            not (reads_on or event.beginning is not None)
            or self._compressor is None
            or not self.inner.is_free
        ):
            return False
        wire: bytes | EncodedEvent = event.wire
        if event.beginning is not None and not reads_on:
            if self.read is not None:
                self._leave(self.read)
            before = self._compressor.lead_in()
            wire = before + event.beginning.data if before else event.beginning
            self._joined = Mark(None, event.before.checksum, event.before.size)
        self.read = event.after
        return self.inner.write_nowait(wire)

    def _leave(self, read: Mark) -> None:
        """What follows is not what many were sent next."""
        self.read = None
        assert self._compressor is not None
        self._compressor.note_shared(self._joined, read)

    # All else is the inner one's.
    @property
    def direct(self) -> bool:
        return self.inner.direct

    @property
    def begins_at_once(self) -> bool:
        return self.inner.begins_at_once

    @property
    def last_write(self) -> float:
        return self.inner.last_write

    @last_write.setter
    def last_write(self, when: float) -> None:
        self.inner.last_write = when

    @property
    def stuck_since(self) -> float | None:
        return self.inner.stuck_since

    @stuck_since.setter
    def stuck_since(self, when: float | None) -> None:
        self.inner.stuck_since = when

    @property
    def sees_progress(self) -> bool:
        return self.inner.sees_progress

    @property
    def is_free(self) -> bool:
        return self.inner.is_free

    def sender(self, frame: bytes) -> Callable[[bytes], int] | None:
        return None

    def keep_rest(self, frame: bytes, left: int) -> None:
        raise AssertionError("there is no sender")

    async def abort(self) -> None:
        await self.inner.abort()

    def close(self) -> None:
        # Nothing is held for whoever keeps the stream itself.
        self.read = None
        if self._compressor is not None:
            self._compressor.rest()
        self.inner.close()

    async def wait_disconnected(self) -> None:
        await self.inner.wait_disconnected()

    async def tell_disconnected(self, tell: Callable[[], None]) -> bool:
        return await self.inner.tell_disconnected(tell)

    def drop(self) -> None:
        self.inner.drop()

    def look(self) -> None:
        self.inner.look()

    def is_gone(self) -> bool:
        return self.inner.is_gone()
