"""A connection's socket, in place of Trio's stream around it: what several write stays in order.

Over TLS and HTTP/2 a stream's bytes pass through what others use, too: Trio's `SSLStream` and h2.
What is written past Hypercorn goes through the very same objects, and what the kernel does not take
of it has to go out before anything else. `SSLStream` and Hypercorn know the socket as a
`trio.SocketStream`; this takes its place.
"""

from __future__ import annotations

from typing import Any, Final, final

import trio

from ..base import ClientGone
from .sockets import Sending, reset, sending, wait_writable, write_nowait

__all__ = ["Outlet"]


@final
class Outlet(trio.abc.HalfCloseableStream):
    """A `trio.SocketStream` that can also be written to without waiting.

    Memory: what the kernel did not take of one `write`; nobody writes more until it is out.
    """

    __slots__ = (
        "_clock",
        "_inner",
        "_looked",
        "_sending",
        "_unacknowledged",
        "shared",
        "socket",
        "stuck_since",
        "unsent",
    )

    def __init__(self, inner: trio.SocketStream) -> None:
        self._inner: Final = inner
        self.socket: Final = inner.socket
        self._sending: Final[Sending] = sending(inner.socket)
        self._clock: Final = trio.lowlevel.current_clock()
        #: What was accepted and is not out yet; goes before all else.
        self.unsent: bytes | memoryview = b""
        #: When bytes were last taken of a write that is not finished, or None while there is none.
        self.stuck_since: float | None = None
        #: What the peer had not acknowledged at the last look, and `stuck_since` after it.
        self._unacknowledged = 0
        self._looked: float | None = None
        #: What the requests of this connection have in common; theirs to set.
        self.shared: Any = None

    def look(self, unacknowledged: int) -> None:
        """Move `stuck_since` if the peer has acknowledged anything since last asked.

        The kernel takes no byte before it has room for many; a slow peer is not a stuck one.
        """
        if self.stuck_since is not None:
            if self.stuck_since != self._looked or unacknowledged < self._unacknowledged:
                self.stuck_since = self._looked = self._clock.current_time()
            self._unacknowledged = unacknowledged

    def write(self, data: bytes | memoryview) -> None:
        """Write ``data``; what the kernel does not take now goes out with the next `send_all`.

        Only while `stuck_since` is None, and nobody is about to call `send_all`.

        Raises:
          ClientGone: the connection is closed.
        """
        self.unsent = bytes(self.unsent) + data if self.unsent else data
        try:  # `write_nowait`, without its call for each of many clients
            self.flush(data)
        except OSError as error:
            raise ClientGone("the client is gone") from error

    def flush(self, data: bytes | memoryview) -> int:
        """Write what is `unsent`, in place of a socket's `send` for ``data``, which it stands for.

        Returns 0 when the kernel does not take it all now: that goes out with the next `send_all`.

        Raises:
          OSError: the connection is closed.
        """
        unsent, self.unsent = self.unsent, b""
        try:
            taken = self._sending.send(unsent)
        except BlockingIOError:
            taken = 0
        if taken < len(unsent):
            self.unsent = memoryview(unsent)[taken:]
            self.stuck_since = self._clock.current_time()
            return 0
        return len(data)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await trio.lowlevel.checkpoint_if_cancelled()
        rest = memoryview(bytes(self.unsent) + bytes(data)) if self.unsent else memoryview(data)
        self.unsent = b""
        try:
            while rest:
                taken = write_nowait(self._sending.send, rest)
                rest = rest[taken:]
                if rest:
                    if taken or self.stuck_since is None:
                        self.stuck_since = self._clock.current_time()
                    await wait_writable(self.socket)
        except trio.Cancelled:
            # Half a record or a frame is out, and nobody will send the other half.
            reset(self.socket)
            raise
        finally:
            self.stuck_since = None
        await trio.lowlevel.cancel_shielded_checkpoint()

    async def wait_send_all_might_not_block(self) -> None:
        await self._inner.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        return await self._inner.receive_some(max_bytes)

    async def send_eof(self) -> None:
        await self._inner.send_eof()

    async def aclose(self) -> None:
        await self._inner.aclose()
