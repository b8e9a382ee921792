"""HTTP/1 on Hypercorn: writes straight to the socket where that is proved to be right."""

from __future__ import annotations

from typing import TYPE_CHECKING

import h11
import trio

from ..asgi import AsgiTransport
from .proof import is_transparent

if TYPE_CHECKING:
    from ..asgi import Receive, Scope, Send
    from .connection import HypercornConnection

__all__ = ["Http1Transport"]

#: Seconds of a stuck client's silence that the kernel is asked to bear, added to the stream's own
#: limit: the stream's timer comes first, with its name in the log; the kernel's is for a peer that
#: vanished.
_KERNEL_MARGIN = 0.5


class Http1Transport(AsgiTransport):
    """Portable until the first chunk has been seen to pass every middleware; then direct."""

    __slots__ = ("_connection", "_may_be_direct", "_rest", "_send_proved", "direct")

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        connection: HypercornConnection,
        stall_timeout: float,
    ) -> None:
        super().__init__(scope, receive, send)
        self._connection = connection
        #: Wire bytes of a chunk whose beginning the kernel has taken; nothing may go before them.
        self._rest = b""
        self.direct = False
        # A TLS connection has its own framing, and HTTP/1.0 no chunks.
        self._may_be_direct = not connection.tls and self._http_version == "1.1"
        connection.set_user_timeout(stall_timeout + _KERNEL_MARGIN)

    async def write(self, data: bytes) -> None:
        if self.direct:
            await self._write_direct(data)
        elif data and self._may_be_direct:
            self._may_be_direct = False
            self.direct = await is_transparent(self._connection, self._deliver, data)
        else:
            await super().write(data)

    def write_nowait(self, data: bytes) -> bool:
        """Write one chunk from any task, without waiting; False when it must be queued instead.

        Raises:
          trio.BrokenResourceError: the client has gone.
        """
        server = self._connection.server
        if self.stuck_since is not None or server.send_lock.locked():
            return False
        frame = b"%x\r\n%b\r\n" % (len(data), data)
        taken = self._connection.write_nowait(frame)
        self.last_write = trio.current_time()
        if taken < len(frame):
            self._rest = frame[taken:]
            self.stuck_since = self.last_write
        return True

    async def _write_direct(self, data: bytes) -> None:
        frame = self._rest + (b"%x\r\n%b\r\n" % (len(data), data) if data else b"")
        # Hypercorn writes too, an error response or a "100 Continue": never in the middle of ours.
        lock = self._connection.server.send_lock
        try:
            lock.acquire_nowait()  # `async with` would be a checkpoint more: 10 us
        except trio.WouldBlock:
            await lock.acquire()
        try:
            await self._write_all(memoryview(frame))
        finally:
            lock.release()

    async def _write_all(self, rest: memoryview) -> None:
        connection = self._connection
        try:
            while True:
                taken = connection.write_nowait(rest)
                rest = rest[taken:]
                self.last_write = trio.current_time()
                if not rest:
                    break
                if taken or self.stuck_since is None:
                    self.stuck_since = self.last_write
                await _wait_writable(connection)
        except trio.Cancelled:
            # Half a chunk is out and nobody will send the other half.
            connection.reset()
            raise
        finally:
            self.stuck_since = None
            self._rest = b""
        await trio.lowlevel.cancel_shielded_checkpoint()

    def _body_is_coming(self) -> bool:
        # The endpoint may have read the body, so that no message says whether it was all.
        return self._connection.protocol.connection.their_state is h11.SEND_BODY

    async def finish(self) -> None:
        if self._rest:
            await self._write_direct(b"")
        # Restored, because the connection may be kept for other requests.
        self._connection.set_user_timeout(0)
        await super().finish()

    async def abort(self) -> None:
        if self._rest:
            await self._write_direct(b"")
        if self._http_version == "1.0":
            # Its end is the connection's end, so only a reset tells that something is missing.
            self._connection.reset()

    def drop(self) -> None:
        self._connection.reset()

    def is_gone(self) -> bool:
        return self._connection.peer_has_closed()


async def _wait_writable(connection: HypercornConnection) -> None:
    try:
        await trio.lowlevel.wait_writable(connection.socket)
    except (OSError, trio.ClosedResourceError) as error:
        raise trio.BrokenResourceError("the connection was closed") from error
