"""Finding Hypercorn's connection behind an ASGI ``send``, and what can be done with its socket.

Everything here is private to Hypercorn 0.18, so every step is checked by type. Whatever differs
means None, and the portable transport.
"""

from __future__ import annotations

import fcntl
import select
import socket
import sys
import termios
from contextlib import suppress
from types import CodeType, MethodType
from typing import TYPE_CHECKING, Any

import h11
import trio
from h2.connection import H2Connection

try:
    from hypercorn.config import Config
    from hypercorn.protocol.events import StreamClosed
    from hypercorn.protocol.h2 import H2Protocol, StreamBuffer
    from hypercorn.protocol.h11 import H11Protocol
    from hypercorn.protocol.http_stream import ASGIHTTPState, HTTPStream
    from hypercorn.trio.task_group import TaskGroup
    from hypercorn.trio.tcp_server import TCPServer
    from hypercorn.trio.worker_context import EventWrapper, WorkerContext

    from .tcp_server import StreamServer
except ImportError:  # they have moved
    _is_known = False
else:
    _is_known = True

from .outlet import Outlet
from .sockets import reset

if TYPE_CHECKING:
    from ..asgi import Message, Receive, Send

__all__ = [
    "CONNECTION",
    "KERNEL_MARGIN",
    "HypercornConnection",
    "bound_to",
    "find_connection",
    "find_http_stream",
    "has",
]

#: Where in ``scope["extensions"]`` `StreamMiddleware` offers a connection.
CONNECTION = "trio_stream.connection"

#: Seconds of a stuck client's silence that the kernel is asked to bear on top of the stream's own
#: limit: the stream's timer comes first, with its name in the log; the kernel's is for a peer that
#: vanished.
KERNEL_MARGIN = 0.5

#: What `poll` says of a peer that has closed, or only half closed, its side.
_GONE = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR

#: Seconds between two looks at what the kernel does not announce.
_POLL = 0.01

#: What an h11 connection is in before a response.
_NOTHING_SENT = {h11.IDLE, h11.SEND_RESPONSE}

#: Not every system has it.
_USER_TIMEOUT: int | None = getattr(socket, "TCP_USER_TIMEOUT", None)

#: Seconds that Linux retries for by itself, roughly (`tcp_retries2`).
_RETRIES = 900.0


def find_connection(send: Send) -> HypercornConnection | None:
    """The connection that ``send`` writes to, or None when it is not exactly Hypercorn's own.

    ``send`` is `HTTPStream.app_send`; its ``send`` is `stream_send` of the protocol, whose ``send``
    is `TCPServer.protocol_send`.
    """
    http: Any = find_http_stream(send)
    if http is None:
        return None
    protocol = bound_to(getattr(http, "send", None), "stream_send", H11Protocol, H2Protocol)
    server = bound_to(getattr(protocol, "send", None), "protocol_send", TCPServer, StreamServer)
    if server is None or not _has_what_we_use(http, protocol, server):
        return None
    stream = server.stream
    tls = type(stream) is trio.SSLStream
    transport = stream.transport_stream if tls else stream
    if type(transport) not in {trio.SocketStream, Outlet}:
        return None
    return HypercornConnection(http, protocol, server, transport.socket, tls=tls)


def find_http_stream(send: Send) -> HTTPStream | None:
    """Hypercorn's own stream, of whatever protocol, whose `app_send` this is."""
    if not _is_known:
        return None
    http = bound_to(send, "app_send", HTTPStream)
    known = has(http, stream_id=int, scope=dict, closed=bool, state=ASGIHTTPState)
    return http if known else None


def bound_to(method: Any, name: str, *kinds: type) -> Any:
    """The object whose method this is, if it is of one of these very types and not wrapped."""
    owner = getattr(method, "__self__", None)
    code = getattr(method, "__code__", None)
    if type(owner) in kinds and isinstance(code, CodeType):
        return owner if code.co_qualname in [f"{kind.__name__}.{name}" for kind in kinds] else None
    return None


def _has_what_we_use(http: Any, protocol: Any, server: Any) -> bool:
    if not (
        has(server, config=Config, context=WorkerContext, send_lock=trio.Lock, stream=object)
        and has(server, _close=MethodType)
        and hasattr(server.send_lock, "_owner")
        and has(protocol, task_group=TaskGroup)
    ):
        return False
    if type(protocol) is H11Protocol:
        return has(protocol, connection=h11.Connection, can_read=EventWrapper) and has(
            protocol.can_read, _event=trio.Event
        )
    methods = {"_flush": MethodType, "_window_updated": MethodType}
    return (
        has(protocol, connection=H2Connection, closed=bool, streams=dict, **methods)
        and has(protocol, stream_buffers=dict)
        and type(protocol.stream_buffers.get(http.stream_id)) is StreamBuffer
    )


def has(owner: object, **attributes: type) -> bool:
    """Whether it has these attributes, of these types."""
    for name, kind in attributes.items():  # noqa: SIM110  # `all` is a third slower
        if not isinstance(getattr(owner, name, None), kind):
            return False
    return True


class HypercornConnection:
    """One request's way to its client: the stream, protocol, server and socket it goes through."""

    __slots__ = ("cut", "http", "proof", "protocol", "server", "socket", "streams", "tls")

    def __init__(
        self,
        http: HTTPStream,
        protocol: Any,
        server: TCPServer,
        sock: trio.socket.SocketType,
        *,
        tls: bool,
    ) -> None:
        self.http: HTTPStream = http
        self.protocol: Any = protocol
        self.server: TCPServer = server
        self.socket: trio.socket.SocketType = sock
        self.tls: bool = tls
        #: What `StreamMiddleware` is to see come out, and whether it has: see `proof.py`.
        self.proof: Any = None
        #: Whether a stream answers this request, and whether it was left unfinished.
        self.streams: bool = False
        self.cut: bool = False

    @property
    def has_begun(self) -> bool:
        """Whether anything of the response has been given to the protocol."""
        if self.http.state is not ASGIHTTPState.REQUEST:
            return True
        # It may have been cancelled while it waited for its turn to write.
        if self.is_http2:
            stream = self.protocol.connection.streams.get(self.http.stream_id)
            return stream is not None and bool(stream.state_machine.headers_sent)
        return self.protocol.connection.our_state not in _NOTHING_SENT

    @property
    def has_ended(self) -> bool:
        """Whether all of the response has been given to the protocol, its end included."""
        return self.http.state is ASGIHTTPState.CLOSED

    def find_channel(self, receive: Receive) -> trio.MemorySendChannel[Message] | None:
        """Where Hypercorn puts what is for the application, if ``receive`` alone reads it.

        What is between the two means None.
        """
        reads = bound_to(receive, "receive", trio.MemoryReceiveChannel)
        puts = bound_to(getattr(self.http, "app_put", None), "send", trio.MemorySendChannel)
        state = getattr(reads, "_state", None)
        if state is None or getattr(puts, "_state", None) is not state:
            return None
        channel: trio.MemorySendChannel[Message] = puts
        return channel

    def make_free(self) -> None:
        """All of the response is out, but Hypercorn was cancelled before it could go on."""
        closed = StreamClosed(stream_id=self.http.stream_id)
        self.protocol.task_group.spawn(self.protocol.stream_send, closed)

    def withdraw(self) -> None:
        """No further stream can answer the request: its scope and this would be a circle."""
        self.http.scope["extensions"].pop(CONNECTION, None)

    def release(self) -> None:
        """The response is over, on this side."""

    @property
    def is_http3(self) -> bool:
        return False

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

    def limit_silence(self, seconds: float) -> None:
        """Let the kernel give up on a peer that acknowledges nothing for ``seconds``.

        Without it Linux retries for about a quarter of an hour, which is also the most that is
        asked for here. Another stream of the same connection may have asked for more: that stays.
        """
        self._set_user_timeout(int(min(seconds, _RETRIES) * 1000), at_least=self.is_http2)

    def unlimit_silence(self) -> None:
        """Back to the kernel's own way: the connection may be kept for other requests."""
        self._set_user_timeout(0)

    def _set_user_timeout(self, milliseconds: int, *, at_least: bool = False) -> None:
        # Not on Unix sockets, whose peer cannot vanish.
        if _USER_TIMEOUT is None or self.socket.family not in {socket.AF_INET, socket.AF_INET6}:
            return
        with suppress(OSError):  # closed in this very turn
            if at_least:
                set_before = self.socket.getsockopt(socket.IPPROTO_TCP, _USER_TIMEOUT)
                milliseconds = max(milliseconds, set_before)
            self.socket.setsockopt(socket.IPPROTO_TCP, _USER_TIMEOUT, milliseconds)

    def peer_has_closed(self) -> bool:
        """Ask the kernel: Hypercorn may have paused its reader, and not know."""
        return self._poll(_GONE)

    def is_writable(self) -> bool:
        """Whether the kernel would take a byte."""
        return self._poll(select.POLLOUT)

    def _poll(self, events: int) -> bool:
        """Whether one of these has happened; True of a closed connection."""
        fd = self.socket.fileno()
        if fd < 0:
            return True
        poll = select.poll()
        poll.register(fd, events)
        return bool(poll.poll(0))

    async def wait_taken(self, seconds: float) -> None:
        """Wait until the peer has acknowledged all, but not longer than this."""
        for _ in range(int(seconds / _POLL)):
            if not self.unacknowledged():
                break
            await trio.sleep(_POLL)

    def unacknowledged(self) -> int:
        """How many bytes the kernel still holds for the peer."""
        count = bytearray(4)
        try:
            fcntl.ioctl(self.socket.fileno(), termios.TIOCOUTQ, count)
        except (OSError, ValueError):  # not of this kind of socket; closed
            return 0
        return int.from_bytes(count, sys.byteorder)

    def reset(self) -> None:
        """Close the connection at once, by RST where there is one.

        That also ends Hypercorn's own writes, which it shields from cancellation.
        """
        reset(self.socket)
