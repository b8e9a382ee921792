"""HTTP/2 on Hypercorn: the backpressure it lacks, and ends that the client can tell apart."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from h2.connection import ConnectionState
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError

from ..asgi import body_message, pieces
from ..base import ClientGone
from .breaking import break_off, buffer_of, reset_stream
from .door import request_is_open
from .known import KnownTransport, Left

if TYPE_CHECKING:
    from ..asgi import Message

__all__ = ["PIECE", "Http2Transport"]

#: A frame's worth. Hypercorn's own buffer is not bounded, so each piece is waited for here.
PIECE = 2**14


class Http2Transport(KnownTransport):
    """One stream of an HTTP/2 connection, of which Hypercorn holds one piece at most."""

    __slots__ = ()

    async def write(self, data: bytes | memoryview) -> None:
        for piece in pieces(data, PIECE):
            await self._deliver(body_message(piece, more=True))

    async def _pass_on(self, message: Message) -> None:
        await super()._pass_on(message)
        if message.get("body"):
            buffer = buffer_of(self._connection)
            if buffer is None:
                raise ClientGone("the stream was closed")
            if buffer.buffer:  # a middleware may hold it back
                await buffer.drain()

    async def abort(self) -> None:
        # Queued events went out before; RFC 9113, 8.1: an incomplete response ends by RST_STREAM.
        self._connection.cut = True
        break_off(self._connection)

    def _body_is_coming(self) -> bool:
        # The endpoint may have read the body, so that no message says whether it was all.
        return request_is_open(self._connection)

    def _what_is_left(self) -> Left:
        connection = self._connection
        buffer = buffer_of(connection)
        waiting = 0 if buffer is None else len(buffer.buffer)
        h2 = connection.protocol.connection
        with suppress(ProtocolError):  # it is closed
            if h2.local_flow_control_window(connection.http.stream_id) <= 0:
                return Left("window", waiting)
        return Left("socket", waiting + connection.unacknowledged())

    def drop(self) -> None:
        if self._connection.is_writable():
            reset_stream(self._connection, ErrorCodes.CANCEL)
        else:
            # It is not this stream's window that is shut, it is the whole connection.
            self._connection.reset()

    def _has_left(self) -> bool:
        # After its 1,000th request (`keep_alive_max_requests`) Hypercorn closes the connection's
        # state and drops what open streams send, without a word to them.
        protocol = self._connection.protocol
        return (
            protocol.closed
            or buffer_of(self._connection) is None
            or protocol.connection.state_machine.state is ConnectionState.CLOSED
            or self._connection.peer_has_closed()
        )
