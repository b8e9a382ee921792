"""Writing past Hypercorn to a connection that others write to, too: over TLS, over HTTP/2."""

from __future__ import annotations

import _ssl
import ssl
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final, final

import trio

from ..base import LARGE, ClientGone
from .outlet import Outlet
from .sockets import Write

if TYPE_CHECKING:
    from hypercorn.trio.tcp_server import TCPServer

__all__ = ["PIECE", "Wire", "find_wire"]

#: Bytes of a large event that are encrypted at a time: a TLS record. Each client that does not read
#: keeps the ciphertext of one.
PIECE = 2**14


@final
class Wire:
    """What a connection sends, before TLS encrypts it: written in order with all that others send.

    Hypercorn sends under its `send_lock`; below it `SSLStream` does what TLS itself has to say,
    under a lock of its own. Nothing is written here while somebody holds either, or while the
    kernel has not taken what was written before.
    """

    __slots__ = (
        "_inner_lock",
        "_outgoing",
        "_server",
        "_tls",
        "outlet",
        "send_lock",
    )

    def __init__(self, server: TCPServer, outlet: Outlet, tls: Any) -> None:
        self._server: Final = server
        #: Hypercorn's own: nobody writes while it is held but who holds it.
        self.send_lock: Final[trio.Lock] = server.send_lock
        self.outlet: Final = outlet
        self._inner_lock: Final[trio.StrictFIFOLock | None] = tls and tls._inner_send_lock
        # What `SSLObject.write` does nothing but call. Itself, as the BIO, and no bound methods of
        # these, which in thousands of connections would be two objects more to look at.
        self._tls: Final[Any] = tls and tls._ssl_object._sslobj
        self._outgoing: Final[Any] = tls and tls._outgoing

    @property
    def is_held(self) -> bool:
        """Whether somebody else is about to write, or in the middle of it."""
        return self.send_lock.locked() or self._tls_is_busy

    @property
    def _tls_is_busy(self) -> bool:
        return self._inner_lock is not None and self._inner_lock.locked()

    @property
    def is_free(self) -> bool:
        """Whether `write` may be called now."""
        return self.outlet.stuck_since is None and not self.is_held

    def push(self, data: bytes | memoryview) -> int:
        """Write as a socket's `send` does: returns of how many bytes it has taken charge.

        In pieces, because of what the kernel does not take of one its ciphertext is kept.

        Raises:
          ClientGone: the connection is closed.
        """
        if self.outlet.stuck_since is not None or self._tls_is_busy:
            return 0
        if len(data) <= LARGE:
            self.write(data)
            return len(data)
        taken, view = 0, memoryview(data)
        while taken < len(view) and self.outlet.stuck_since is None:
            piece = view[taken : taken + PIECE]
            self.write(piece)
            taken += len(piece)
        return taken

    def seal(self, data: bytes) -> Write | None:
        """Encrypt it now, of a connection by TLS; what is returned writes that, and is called next.

        So it is done for many clients before any is written to, for `MANY`'s reason: that, and
        the calls that are spared here, `Lock.locked` too, was a sixth of a topic's cost over TLS.

        Returns None when nothing may be written now, and when TLS has ended, as `write` tells.
        """
        lock, outlet = self._inner_lock, self.outlet
        if outlet.stuck_since is not None or outlet.unsent or lock is None or lock._owner:
            return None
        try:
            self._tls.write(data)
        except ssl.SSLError:
            return None
        outlet.unsent = self._outgoing.read()
        return outlet.flush

    def write(self, data: bytes | memoryview) -> None:
        """Write all of it, from any task, without waiting; what is left of it goes with `send_all`.

        Raises:
          ClientGone: the connection is closed.
        """
        if self._tls is not None:
            try:
                self._tls.write(data)
            except ssl.SSLError as error:
                raise ClientGone("TLS has ended") from error
            data = self._outgoing.read()
        self.outlet.write(data)

    async def send_all(self, data: bytes | memoryview = b"") -> None:
        """Write behind all that is left, for whoever holds the `send_lock`; wait until it is out.

        Raises:
          ClientGone: the connection is closed.
        """
        try:
            if data:
                await self._server.stream.send_all(data)
            elif self.outlet.stuck_since is not None:
                async with AsyncExitStack() as locks:
                    if self._inner_lock is not None:
                        await locks.enter_async_context(self._inner_lock)
                    await self.outlet.send_all(b"")
        except ClientGone:
            raise
        except (trio.ClosedResourceError, trio.BrokenResourceError) as error:  # `SSLStream`'s own
            raise ClientGone("the connection was closed") from error


def find_wire(server: TCPServer) -> Wire | None:
    """The connection's wire, or None where Trio's stream is not what is known; put in its place.

    Everything private to Trio 0.31 to 0.35 that is used here is checked by type.
    """
    stream: Any = server.stream
    tls = stream if type(stream) is trio.SSLStream else None
    if tls is not None and not _is_known(tls):
        return None
    inner = stream if tls is None else stream.transport_stream
    if type(inner) is trio.SocketStream:
        inner = Outlet(inner)
        if tls is None:
            server.stream = inner  # type: ignore[assignment]
        else:
            stream.transport_stream = inner
    return Wire(server, inner, tls) if type(inner) is Outlet else None


def _is_known(tls: Any) -> bool:
    return (
        type(getattr(tls, "_ssl_object", None)) is ssl.SSLObject
        and type(getattr(tls._ssl_object, "_sslobj", None)) is _ssl._SSLSocket  # type: ignore[attr-defined]
        and type(getattr(tls, "_outgoing", None)) is ssl.MemoryBIO
        and type(getattr(tls, "_inner_send_lock", None)) is trio.StrictFIFOLock
        and hasattr(tls._inner_send_lock, "_owner")
        # Session tickets that `SSLStream` has held back: the response's head takes them along.
        and hasattr(tls, "_delayed_outgoing")
    )
