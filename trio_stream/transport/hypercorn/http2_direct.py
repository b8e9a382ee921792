"""HTTP/2 on Hypercorn, with frames made here where that is proved to be right."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio
from h2.stream import H2Stream

from ...codec import EncodedEvent
from .http2 import PIECE, Http2Transport
from .known import OutletTransport
from .proof import chunks_to_prove

if TYPE_CHECKING:
    from hypercorn.protocol.h2 import StreamBuffer

    from ..asgi import Receive, Scope, Send
    from .connection import HypercornConnection
    from .frames import FrameWriter
    from .sockets import Write

__all__ = ["DirectHttp2Transport"]


class DirectHttp2Transport(OutletTransport, Http2Transport):
    """Through Hypercorn until the first chunks have passed every middleware; then past it.

    Past it as far as the peer's windows allow, and while Hypercorn holds nothing of the stream;
    what has to wait for a window waits in Hypercorn, a piece at a time.
    """

    __slots__ = (
        "_clock",
        "_frames",
        "_h2_stream",
        "_held",
        "_may_be_held",
        "_outlet",
        "_rest",
        "_waiting_since",
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
        frames: FrameWriter,
    ) -> None:
        self._frames = frames
        self._outlet = frames.outlet
        super().__init__(scope, receive, send, connection, stall_timeout)
        number = connection.http.stream_id
        self._h2_stream: H2Stream = connection.protocol.connection.streams[number]
        self._held: StreamBuffer = connection.protocol.stream_buffers[number]
        #: Of what was accepted, that for which the windows had no room; a view of what is many's.
        self._rest: bytes | memoryview = b""
        self._clock = trio.lowlevel.current_clock()
        self._to_prove = chunks_to_prove(connection, send)
        #: False when it is known that Hypercorn holds nothing of this stream.
        self._may_be_held = True

    async def write(self, data: bytes | memoryview) -> None:
        if self.direct:
            await self._write_direct(data)
        elif data and self._to_prove:
            if await self._prove(bytes(data[:PIECE])):
                self._frames.join()
                self.direct = True
            await self.write(memoryview(data)[PIECE:])
        else:
            await super().write(data)

    async def _write_direct(self, data: bytes | memoryview) -> None:
        for part in (self._rest, data):
            taken = 0 if self._is_held else self._write_frames(part)
            if taken < len(part):
                self._may_be_held = True
                await super().write(memoryview(part)[taken:])
        self._rest = b""
        self.stuck_since = None
        if not data:  # it was called for what the kernel has not taken yet
            await self._frames.wait_sent()
        await trio.lowlevel.cancel_shielded_checkpoint()

    def _write_frames(self, data: bytes | memoryview) -> int:
        """Write what there is room for; returns how many bytes that was."""
        done, left = 0, len(data)
        if 0 < left <= self._frames.room(self._h2_stream):  # nearly always
            self._frames.write(self._h2_stream, data)
            self.last_write = self._clock.current_time()
            return left
        while left and (room := self._frames.room(self._h2_stream)) > 0:
            piece = data if not done and room >= left else memoryview(data)[done : done + room]
            self._frames.write(self._h2_stream, piece)
            done += len(piece)
            left -= len(piece)
        if done:
            self.last_write = self._clock.current_time()
        return done

    @property
    def _is_held(self) -> bool:
        """Whether Hypercorn holds something of this stream that has to go first."""
        if self._may_be_held:
            self._may_be_held = bool(self._held.buffer) or self._held._complete
        return self._may_be_held

    @property
    def is_free(self) -> bool:
        return (
            self.direct
            and self._waiting_since is None
            and not self._is_held
            and self._frames.room(self._h2_stream) > 0
        )

    def write_nowait(self, data: bytes | EncodedEvent) -> bool:
        """Write DATA frames from any task, without waiting; False when it must be queued instead.

        Raises:
          ClientGone: the client has gone.
        """
        if not self.is_free:
            return False
        self._accept(data.data if isinstance(data, EncodedEvent) else data)
        return True

    def _accept(self, data: bytes | memoryview) -> None:
        """Write what there is room for; the rest is the writer's."""
        taken = self._write_frames(data)
        if taken < len(data):
            self._rest = memoryview(data)[taken:]
            self.stuck_since = self._clock.current_time()

    def sender(self, frame: bytes) -> Write | None:
        if not self.direct or self._waiting_since is not None:
            return None
        # Not asked for nothing: it would be another object of each client to look at.
        return None if self._may_be_held and self._is_held else self._send_chunk

    def _send_chunk(self, chunk: bytes | memoryview) -> int:
        """For a topic's clients, who all get the same chunk; here it is what it holds that goes."""
        if not self._frames.write_chunk(self._h2_stream, chunk):
            self._accept(self._frames.data_in(chunk))
            if self.stuck_since is not None:
                return 0
        return len(chunk)

    def keep_rest(self, frame: bytes, left: int) -> None:
        """`_accept` has kept it."""

    async def finish(self) -> None:
        if self._rest:
            await self._write_direct(b"")
        await super().finish()

    async def abort(self) -> None:
        if self._rest:
            await self._write_direct(b"")
        await super().abort()

    def close(self) -> None:
        if self.direct:
            self.direct = False
            self._frames.leave()
        super().close()
