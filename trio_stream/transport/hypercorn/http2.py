"""HTTP/2 on Hypercorn: the backpressure it lacks, and ends that the client can tell apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio
from h2.connection import ConnectionState
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError
from h2.stream import StreamState

from ..asgi import AsgiTransport, body_message, pieces
from .connection import KERNEL_MARGIN

if TYPE_CHECKING:
    from hypercorn.protocol.h2 import StreamBuffer

    from ..asgi import Message, Receive, Scope, Send
    from .connection import HypercornConnection

__all__ = ["Http2Transport"]

#: A frame's worth. Hypercorn's own buffer is not bounded, so each piece is waited for here.
_PIECE = 2**14


class Http2Transport(AsgiTransport):
    """One stream of an HTTP/2 connection, of which Hypercorn holds one piece at most."""

    __slots__ = ("_connection", "_protocol", "_stream_id")

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
        self._protocol = connection.protocol
        self._stream_id: int = connection.http.stream_id
        connection.limit_silence(stall_timeout + KERNEL_MARGIN)

    def _buffer(self) -> StreamBuffer | None:
        """What waits in Hypercorn for the client's window; None when the stream is no more."""
        buffer: StreamBuffer | None = self._protocol.stream_buffers.get(self._stream_id)
        return buffer

    async def write(self, data: bytes | memoryview) -> None:
        for piece in pieces(data, _PIECE):
            await self._deliver(body_message(piece, more=True))

    async def _pass_on(self, message: Message) -> None:
        if not message.get("more_body", True):
            await self._end_stream()
            # All is out. Hypercorn would wait for its sending task to say so, which ends with the
            # connection.
            empty = self._buffer()
            if empty is not None:
                await empty.close()
        await super()._pass_on(message)
        if message.get("body"):
            buffer = self._buffer()
            if buffer is None:
                raise trio.BrokenResourceError("the stream was closed")
            await buffer.drain()

    async def _end_stream(self) -> None:
        """Say that the response is complete, before Hypercorn does.

        Its sending task says so only after the app has been told that it has been said. In between
        the connection may be closed, for the server's shutdown.
        """
        connection = self._protocol.connection
        unread = self._body_is_coming()
        try:
            connection.end_stream(self._stream_id)
            if unread:
                # RFC 9113, 8.1: "a server MAY request that the client abort transmission of a
                # request without error by sending a RST_STREAM with an error code of NO_ERROR
                # after sending a complete response". What still comes, h2 drops.
                connection.reset_stream(self._stream_id, error_code=ErrorCodes.NO_ERROR)
        except ProtocolError:
            return  # closed already
        await self._protocol._flush()

    async def abort(self) -> None:
        # Queued events went out before; RFC 9113, 8.1: an incomplete response ends by RST_STREAM.
        self._reset_stream(ErrorCodes.INTERNAL_ERROR)

    def close(self) -> None:
        super().close()
        buffer = self._buffer()
        if buffer is not None and not buffer.complete:
            # The client has reset the stream. While the connection's window is shut, Hypercorn
            # would keep what was not sent.
            self._protocol.task_group.spawn(self._let_go)

    def _body_is_coming(self) -> bool:
        # The endpoint may have read the body, so that no message says whether it was all.
        stream = self._protocol.connection.streams.get(self._stream_id)
        return stream is not None and stream.state_machine.state is StreamState.OPEN

    def drop(self) -> None:
        if self._connection.is_writable():
            self._reset_stream(ErrorCodes.CANCEL)
        else:
            # It is not this stream's window that is shut, it is the whole connection.
            self._connection.reset()

    def _reset_stream(self, code: ErrorCodes) -> None:
        try:
            self._protocol.connection.reset_stream(self._stream_id, error_code=code)
        except ProtocolError:
            return  # closed already
        # In the connection's own task, which outlives this stream.
        self._protocol.task_group.spawn(self._let_go)

    async def _let_go(self) -> None:
        """Do what Hypercorn does for a stream that its client has reset."""
        buffer = self._buffer()
        if buffer is not None:
            await buffer.close()
            await self._protocol._window_updated(self._stream_id)
        await self._protocol._flush()

    def is_gone(self) -> bool:
        # After its 1,000th request (`keep_alive_max_requests`) Hypercorn closes the connection's
        # state and drops what open streams send, without a word to them.
        protocol = self._protocol
        return (
            protocol.closed
            or self._buffer() is None
            or protocol.connection.state_machine.state is ConnectionState.CLOSED
            or self._connection.peer_has_closed()
        )
