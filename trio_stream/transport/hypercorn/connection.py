"""Finding Hypercorn's connection behind an ASGI ``send``, and what can be done with its socket.

Everything here is private to Hypercorn 0.18, so every step is checked by type. Whatever differs
means None, and the portable transport.
"""

from __future__ import annotations

import os
import select
import socket
import struct
from contextlib import suppress
from math import inf
from typing import TYPE_CHECKING, Any

import trio
from hypercorn.protocol.h2 import H2Protocol
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.protocol.http_stream import HTTPStream
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext

if TYPE_CHECKING:
    from ..asgi import Send

__all__ = ["HypercornConnection", "find_connection"]

#: What `poll` says of a peer that has closed, or only half closed, its side.
_GONE = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR

#: `struct linger`: on, with no time to linger, so that `close` sends a RST.
_NO_LINGER = struct.pack("ii", 1, 0)


def find_connection(send: Send) -> HypercornConnection | None:
    """The connection that ``send`` writes to, or None when it is not exactly Hypercorn's own.

    ``send`` is `HTTPStream.app_send`; its ``send`` is `stream_send` of the protocol, whose ``send``
    is `TCPServer.protocol_send`.
    """
    http: Any = getattr(send, "__self__", None)
    if type(http) is not HTTPStream or getattr(send, "__name__", "") != "app_send":
        return None
    protocol: Any = getattr(http.send, "__self__", None)
    if type(protocol) not in {H11Protocol, H2Protocol}:
        return None
    server = getattr(protocol.send, "__self__", None)
    if type(server) is not TCPServer or not _has_what_we_use(server, protocol):
        return None
    stream = server.stream
    tls = isinstance(stream, trio.SSLStream)
    transport = stream.transport_stream if tls else stream
    if type(transport) is not trio.SocketStream:
        return None
    return HypercornConnection(http, protocol, server, transport.socket, tls=tls)


def _has_what_we_use(server: TCPServer, protocol: Any) -> bool:
    ours = isinstance(getattr(server, "context", None), WorkerContext) and isinstance(
        getattr(server, "send_lock", None), trio.Lock
    )
    if type(protocol) is H11Protocol:
        return ours
    return ours and isinstance(getattr(protocol, "stream_buffers", None), dict)


class HypercornConnection:
    """One request's way to its client: the stream, protocol, server and socket it goes through."""

    __slots__ = ("http", "proof", "protocol", "server", "socket", "tls")

    def __init__(
        self,
        http: HTTPStream,
        protocol: Any,
        server: TCPServer,
        sock: trio.socket.SocketType,
        *,
        tls: bool,
    ) -> None:
        self.http = http
        self.protocol = protocol
        self.server = server
        self.socket = sock
        self.tls = tls
        #: What `StreamMiddleware` is to see come out, and whether it has: see `proof.py`.
        self.proof: Any = None

    @property
    def is_http2(self) -> bool:
        return type(self.protocol) is H2Protocol

    @property
    def graceful_timeout(self) -> float:
        """Seconds that Hypercorn waits for its connections after it was told to stop."""
        return float(self.server.config.graceful_timeout)

    @property
    def context(self) -> WorkerContext:
        """Hypercorn's worker: knows of the shutdown before anybody else does."""
        context = self.server.context
        assert isinstance(context, WorkerContext)
        return context

    def set_user_timeout(self, seconds: float) -> None:
        """Let the kernel give up on a peer that acknowledges nothing for ``seconds``; 0 resets.

        Without it Linux retries for about a quarter of an hour. Not on Unix sockets, whose peer
        cannot vanish.
        """
        option = getattr(socket, "TCP_USER_TIMEOUT", None)
        if option is None or self.socket.family not in {socket.AF_INET, socket.AF_INET6}:
            return
        with suppress(OSError):  # closed in this very turn
            milliseconds = 0 if seconds == inf else min(int(seconds * 1000), 2**31 - 1)
            self.socket.setsockopt(socket.IPPROTO_TCP, option, milliseconds)

    def write_nowait(self, data: bytes | memoryview) -> int:
        """Write what the kernel takes at once; returns how many bytes that was, perhaps 0.

        The descriptor is asked for at every write and never kept: Hypercorn may have closed it in
        this very turn, and the number may be another client's by now.

        Raises:
          trio.BrokenResourceError: the connection is closed, on this side or the other.
        """
        try:
            # -1 after a close, which the kernel answers with EBADF.
            return os.write(self.socket.fileno(), data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise trio.BrokenResourceError("the client is gone") from error

    def peer_has_closed(self) -> bool:
        """Ask the kernel: Hypercorn may have paused its reader, and not know."""
        fd = self.socket.fileno()
        if fd < 0:
            return True
        poll = select.poll()
        poll.register(fd, _GONE)
        return bool(poll.poll(0))

    def is_writable(self) -> bool:
        """Whether the kernel would take a byte."""
        fd = self.socket.fileno()
        poll = select.poll()
        poll.register(fd, select.POLLOUT)
        return fd < 0 or bool(poll.poll(0))

    def reset(self) -> None:
        """Close the connection at once, by RST where there is one.

        That also ends Hypercorn's own writes, which it shields from cancellation.
        """
        with suppress(OSError):
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self.socket.close()
