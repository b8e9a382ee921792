"""HTTP/1 on Hypercorn: writes straight to the socket where that is proved to be right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import h11
import trio

from ...codec import EncodedEvent, to_chunk
from ..asgi import PIECE
from ..base import LARGE
from .known import KnownTransport
from .proof import NONE_BETWEEN, chunks_to_prove
from .sockets import Write, sender, wait_writable, write_nowait

if TYPE_CHECKING:
    from hypercorn.events import RawData

    from ..asgi import Receive, Scope, Send
    from ..base import Headers
    from .connection import HypercornConnection

__all__ = ["Http1Transport"]

#: Seconds that a client has to take what was written before its connection is reset.
_LINGER = 1.0

#: How h11 writes that a body is framed in chunks.
_CHUNKED = b"\r\nTransfer-Encoding: chunked\r\n"


class Http1Transport(KnownTransport):
    """Portable until the first chunks have passed every middleware; then, or if none is, direct."""

    __slots__ = (
        "_clock",
        "_rest",
        "_send_lock",
        "_sender",
    )

    direct: bool
    last_write: float

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        connection: HypercornConnection,
        stall_timeout: float,
    ) -> None:
        super().__init__(scope, receive, send, connection, stall_timeout)
        # Kept here for `write_nowait`: where an event goes to thousands of clients, every object
        # on the way is out of the processor's cache, and costs a tenth of a microsecond.
        self._sender = sender(connection.socket)
        self._clock = trio.lowlevel.current_clock()
        self._send_lock = connection.server.send_lock
        #: Of a chunk whose beginning the kernel has taken, the rest; nothing may go before it. As a
        #: view, because the chunk is mostly one for many clients.
        self._rest: tuple[bytes | memoryview, ...] = ()
        # A TLS connection has its own framing, and HTTP/1.0 no chunks.
        if not connection.tls and self._http_version == "1.1":
            self._to_prove = chunks_to_prove(connection, send)

    @property
    def begins_at_once(self) -> bool:
        # Over TLS a write may have to wait for what others have to say.
        return self._holds_head and not self._connection.tls and not self._send_lock.locked()

    async def begin(self, status: int, headers: Headers, first: Callable[[], bytes]) -> None:
        await self._make_head(status, headers)
        if not self.direct:  # as of a CONNECT: that waits
            await self._write_direct(b"")
            await self.write(first())
            return
        parts: Sequence[bytes | memoryview] = (*self._rest, *_frame_parts(first()))
        if sum(map(len, parts)) <= LARGE:
            parts = (b"".join(parts),)
        self._rest = ()
        self.stuck_since = None
        self._write_parts_nowait(parts)

    async def start(self, status: int, headers: Headers) -> None:
        if self._holds_head:
            await self._make_head(status, headers)
            if not self.direct:
                await self._write_direct(b"")
        else:
            await super().start(status, headers)

    @property
    def _holds_head(self) -> bool:
        """Whether the head goes out with the first chunk, as nothing is between."""
        return self._to_prove == NONE_BETWEEN and self._connection.http.scope["method"] != "HEAD"

    async def _make_head(self, status: int, headers: Headers) -> None:
        """Have h11 make the head, and hold it back for the first chunk to go out with it.

        Each write of Hypercorn's is a lock, a cancel scope, a system call and two turns of Trio's
        scheduler.
        """
        protocol = self._connection.protocol
        send, protocol.send = protocol.send, self._keep_head
        try:
            # As it is, one for all streams that were told alike: nobody is there to append to it.
            await self._start(status, headers)
        finally:
            protocol.send = send
        self._to_prove = 0
        if any(_CHUNKED in head for head in self._rest):
            self.direct = True
            self.stuck_since = self.last_write
        # Else it has another framing, or no body: that goes on through Hypercorn.

    async def _keep_head(self, event: RawData) -> None:
        """In place of Hypercorn's own write."""
        self._rest += (event.data,)

    async def write(self, data: bytes | memoryview) -> None:
        if self.direct:
            if data or self._is_unfinished:
                await self._write_direct(data)
        elif data and self._to_prove:
            self.direct = await self._prove(bytes(data[:PIECE]))
            await self.write(memoryview(data)[PIECE:])
        else:
            await super().write(data)

    @property
    def is_free(self) -> bool:
        # Hypercorn writes too, an error response or a "100 Continue": never in the middle of ours.
        return self.direct and self.stuck_since is None and not self._send_lock.locked()

    def write_nowait(self, data: bytes | EncodedEvent) -> bool:
        """Write one chunk from any task, without waiting; False when it must be queued instead.

        Raises:
          ClientGone: the client has gone.
        """
        # `is_free`, without a call more for each of thousands of clients.
        if not self.direct or self.stuck_since is not None or self._send_lock.locked():
            return False
        body = data.data if isinstance(data, EncodedEvent) else data
        if len(body) > LARGE:
            self._write_parts_nowait(_frame_parts(body))
        else:
            self._offer(data.frame if isinstance(data, EncodedEvent) else to_chunk(data))
        return True

    @property
    def _is_unfinished(self) -> bool:
        """Whether something that was accepted is not out yet."""
        return bool(self._rest)

    def sender(self, frame: bytes) -> Write | None:
        # `is_free` once more, and what `Lock.locked` does: for each of thousands of clients that is
        # a call, and a thirtieth of an event's cost.
        if not self.direct or self.stuck_since is not None or self._send_lock._owner is not None:
            return None
        return self._sender

    def keep_rest(self, frame: bytes, left: int) -> None:
        self._keep(frame, left)

    def _keep(self, frame: bytes | memoryview, left: int) -> None:
        self._rest = (memoryview(frame)[-left:],)
        self.stuck_since = self.last_write

    def _offer(self, frame: bytes | memoryview) -> None:
        left = len(frame) - write_nowait(self._sender, frame)
        self.last_write = self._clock.current_time()
        if left:
            self._keep(frame, left)

    def _write_parts_nowait(self, parts: Sequence[bytes | memoryview]) -> None:
        for number, part in enumerate(parts, 1):
            self._offer(part)
            if self._rest:
                self._rest += (*parts[number:],)
                break

    async def _write_direct(self, data: bytes | memoryview) -> None:
        parts: Sequence[bytes | memoryview] = (*self._rest, *_frame_parts(data))
        if sum(map(len, parts)) <= LARGE:
            parts = (b"".join(parts),)
        # Hypercorn writes too, an error response or a "100 Continue": never in the middle of ours.
        lock = self._send_lock
        try:
            lock.acquire_nowait()  # `async with` would be a checkpoint more: 10 us
        except trio.WouldBlock:
            await lock.acquire()
        try:
            await self._write_all(parts)
        finally:
            lock.release()

    async def _write_all(self, parts: Sequence[bytes | memoryview]) -> None:
        try:
            await self._write_parts(parts)
        except trio.Cancelled:
            # Half a chunk is out and nobody will send the other half.
            self._connection.reset()
            raise
        finally:
            self.stuck_since = None
            self._rest = ()
        await trio.lowlevel.cancel_shielded_checkpoint()

    async def _write_parts(self, parts: Sequence[bytes | memoryview]) -> None:
        for part in parts:
            rest = memoryview(part)
            while rest:
                taken = write_nowait(self._sender, rest)
                rest = rest[taken:]
                self.last_write = trio.current_time()
                if taken or self.stuck_since is None:
                    self.stuck_since = self.last_write
                if rest:
                    await wait_writable(self._connection.socket)

    def _body_is_coming(self) -> bool:
        # The endpoint may have read the body, so that no message says whether it was all.
        return self._connection.protocol.connection.their_state is h11.SEND_BODY

    async def finish(self) -> None:
        if self._is_unfinished:
            await self._write_direct(b"")
        self._connection.unlimit_silence()
        await super().finish()

    async def abort(self) -> None:
        if self._is_unfinished:
            await self._write_direct(b"")
        if self._http_version == "1.0":
            # Its end is the connection's end, so only a reset tells that something is missing. It
            # also throws away what is still on its way.
            await self._connection.wait_taken(_LINGER)
            self._connection.reset()

    def drop(self) -> None:
        self._connection.reset()


def _frame_parts(data: bytes | memoryview) -> Sequence[bytes | memoryview]:
    """``data`` as one chunk, in parts if it is large: it may be many clients' and is not copied."""
    if len(data) > LARGE:
        return b"%x\r\n" % len(data), data, b"\r\n"
    return (to_chunk(bytes(data)),)
