"""Finding a QUIC connection of Hypercorn's behind an ASGI ``send``, and what can be done with it.

Everything here is private to Hypercorn 0.18 and aioquic 1.7, so every step is checked by type.
Whatever differs means None, and the portable transport.
"""

from __future__ import annotations

import sys
from functools import partial
from math import inf
from time import time
from types import MethodType
from typing import TYPE_CHECKING, Any

import trio

try:
    from hypercorn.config import Config
    from hypercorn.protocol.http_stream import ASGIHTTPState
    from hypercorn.trio.task_group import TaskGroup
    from hypercorn.trio.udp_server import UDPServer
    from hypercorn.trio.worker_context import TrioSingleTask, WorkerContext
except ImportError:  # they have moved
    _is_known = False
else:
    _is_known = True

from ..asgi import body_message
from .connection import HypercornConnection, bound_to, find_http_stream, has
from .quic_clock import QuicClock

if TYPE_CHECKING:
    from ..asgi import Message, Send

__all__ = ["INTERNAL_ERROR", "NO_ERROR", "REQUEST_CANCELLED", "Http3Connection", "find_http3"]

# RFC 9114, 8.1.
NO_ERROR = 0x100
INTERNAL_ERROR = 0x102
REQUEST_CANCELLED = 0x10C


def find_http3(send: Send) -> Http3Connection | None:
    """The stream of a QUIC connection that ``send`` writes to, or None if it is not Hypercorn's.

    ``send`` is `HTTPStream.app_send`; its ``send`` is `H3Protocol.stream_send`, whose ``send`` is
    `QuicProtocol.send_all` for one connection, and that one's is `UDPServer.protocol_send`.
    """
    # Only a server that speaks HTTP/3 has imported these, and aioquic with them.
    h3 = sys.modules.get("hypercorn.protocol.h3")
    quic = sys.modules.get("hypercorn.protocol.quic")
    http: Any = find_http_stream(send)
    if not _is_known or h3 is None or quic is None or http is None:
        return None
    protocol = bound_to(getattr(http, "send", None), "stream_send", h3.H3Protocol)
    sending = getattr(protocol, "send", None)
    if type(sending) is not partial or len(sending.args) != 1:
        return None
    manager, connection = bound_to(sending.func, "send_all", quic.QuicProtocol), sending.args[0]
    server = bound_to(getattr(manager, "send", None), "protocol_send", UDPServer)
    if (
        server is None
        or type(connection) is not quic._Connection
        or type(connection.quic) is not quic.QuicConnection
        or not _has_what_we_use(protocol, manager, server, connection)
    ):
        return None
    stream = connection.quic._streams.get(http.stream_id)
    if not _is_known_stream(stream):
        return None
    return Http3Connection(http, protocol, server, stream, QuicClock.of(manager, connection))


def _has_what_we_use(protocol: Any, manager: Any, server: Any, connection: Any) -> bool:
    return (
        has(server, config=Config, context=WorkerContext, socket=trio.socket.SocketType)
        and has(manager, task_group=TaskGroup, _handle_events=MethodType)
        and has(protocol, task_group=TaskGroup, streams=dict, handle=MethodType)
        and has(protocol.connection, _receive_stop_sending=MethodType)
        and type(connection.task) in {TrioSingleTask, QuicClock}
        and has(connection.quic, _streams=dict, _remote_max_data=int, _remote_max_data_used=int)
        and hasattr(connection.quic, "_close_event")
    )


def _is_known_stream(stream: Any) -> bool:
    sender, receiver = getattr(stream, "sender", None), getattr(stream, "receiver", None)
    return (
        has(stream, max_stream_data_remote=int)
        and has(receiver, is_finished=bool)
        and has(sender, _buffer=bytearray, _buffer_start=int, _buffer_stop=int)
        and has(sender, next_offset=int, highest_offset=int)
        and hasattr(sender, "_reset_error_code")
    )


class Http3Connection(HypercornConnection):
    """One request's way to its client over QUIC: the stream, protocol, connection and server."""

    __slots__ = (
        "_acknowledged",
        "_clock",
        "_moved",
        "_quic",
        "_silence",
        "_stream",
        "_waits",
        "left",
    )

    def __init__(
        self, http: Any, protocol: Any, server: Any, stream: Any, clock: QuicClock
    ) -> None:
        super().__init__(http, protocol, server, server.socket, tls=True)
        self._stream = stream
        self._clock = clock
        self._quic = clock.quic
        #: The client has reset the stream, or the connection has ended.
        self.left: bool = False
        #: Since when something waits for its acknowledgement, and how much had been acknowledged.
        self._waits: float | None = None
        self._acknowledged = 0
        self._silence = inf
        #: Set when the client, or the pace at which datagrams may go out, has let more through.
        self._moved: trio.Event | None = None

    def watch(self) -> None:
        """Look at this stream whenever anything happens on its connection, until `release`."""
        self._clock.watched[self.http.stream_id] = self

    def release(self) -> None:
        """The response is over, on this side."""
        self.look()
        if self._clock.watched.get(self.http.stream_id) is self:
            del self._clock.watched[self.http.stream_id]

    @property
    def is_http3(self) -> bool:
        return True

    @property
    def has_begun(self) -> bool:
        return self.http.state is not ASGIHTTPState.REQUEST

    @property
    def request_is_open(self) -> bool:
        """Whether the client has not sent all of the request's body yet."""
        return not self._stream.receiver.is_finished

    # What the client has taken.

    def unacknowledged(self) -> int:
        return len(self._stream.sender._buffer)

    def unsent(self) -> int:
        """How many bytes QUIC has not sent yet, or has to send again."""
        sender = self._stream.sender
        return 0 if sender.buffer_is_empty else int(sender._buffer_stop - sender.next_offset)

    async def wait_sent(self) -> None:
        """Wait until all has been sent, or the client has left."""
        while self.unsent() and not self.left:
            await self._until_moved()

    async def wait_taken(self, seconds: float) -> None:
        with trio.move_on_after(seconds):
            while self.unacknowledged() and not self.left:
                await self._until_moved()

    @property
    def window_is_shut(self) -> bool:
        """Whether the client lets this stream, or all of them, send no more."""
        quic, stream = self._quic, self._stream
        return bool(
            stream.sender.highest_offset >= stream.max_stream_data_remote
            or quic._remote_max_data_used >= quic._remote_max_data
        )

    def limit_silence(self, seconds: float) -> None:
        """Take a client that acknowledges nothing for ``seconds`` for gone, as kernels do."""
        self._silence = seconds

    def unlimit_silence(self) -> None:
        self._silence = inf

    # Its leaving.

    def peer_has_closed(self) -> bool:
        self.look()
        return self.left

    def look(self) -> None:
        """Find out whether the client has left, or has taken anything."""
        if not self.left and self._has_left():
            self.left = True
            if not self.has_ended:
                self._end()
        if self._moved is not None:
            self._moved.set()
            self._moved = None

    def _has_left(self) -> bool:
        sender = self._stream.sender
        if self._quic._close_event is not None:
            return True
        if sender._reset_error_code is not None:
            return not self.cut  # else it was this side that reset it
        if not sender._buffer:
            self._waits = None
            return False
        now = trio.current_time()
        if self._waits is None or sender._buffer_start != self._acknowledged:
            self._waits, self._acknowledged = now, sender._buffer_start
        if now - self._waits <= self._silence:
            return False
        self.break_off(REQUEST_CANCELLED)
        return True

    def _end(self) -> None:
        """What Hypercorn does over HTTP/2 when a client has reset a stream."""
        self.http.closed = True
        self.protocol.streams.pop(self.http.stream_id, None)
        self.protocol.task_group.spawn(_tell, self.http)

    async def _until_moved(self) -> None:
        if self._moved is None:
            self._moved = trio.Event()
        await self._moved.wait()

    # The end.

    async def pass_on(self, send: Send, message: Message) -> None:
        """Give Hypercorn's ``send`` a message, of a stream's response or any other."""
        body, ends = message.get("body", b""), not message.get("more_body", False)
        if ends and body and message["type"] == "http.response.body":
            await self._pass_on(send, body_message(body, more=True))
            message = {**message, "body": b""}
        await self._pass_on(send, message)
        if ends and self.streams and self.has_ended and self.request_is_open:
            # RFC 9114, 4.1: "it MAY abort reading the request stream, send a complete response, and
            # cleanly close the sending part of the stream."
            self._quic.stop_stream(self.http.stream_id, NO_ERROR)
            await self.protocol.send()

    async def _pass_on(self, send: Send, message: Message) -> None:
        self.look()  # the client may have left since: aioquic raises then
        if not self.left and not self.cut:
            # Whole: datagrams that were not handed to the kernel would count as lost on their way.
            with trio.CancelScope(shield=True):
                await send(message)

    def break_off(self, code: int = INTERNAL_ERROR) -> None:
        """Reset the stream; what the client has not taken yet, it may not get."""
        stream_id = self.http.stream_id
        if self._quic._streams.get(stream_id) is self._stream:
            self.cut = True
            self._quic.reset_stream(stream_id, code)
            self.protocol.connection._receive_stop_sending(stream_id)  # the same, for HTTP/3's part
            if self.request_is_open:
                self._quic.stop_stream(stream_id, code)
        self.protocol.task_group.spawn(self.protocol.send)

    def reset(self) -> None:
        """Close the whole connection."""
        self._quic.close(error_code=REQUEST_CANCELLED, reason_phrase="nothing is acknowledged")
        self.protocol.task_group.spawn(self.protocol.send)


async def _tell(http: Any) -> None:
    """The access log, and the app."""
    await http.config.log.access(http.scope, None, time() - http.start_time)
    await http.app_put({"type": "http.disconnect"})
