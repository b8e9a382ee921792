"""A response that was left unfinished: its client must not take it for a whole one.

Over HTTP/1.1 the connection is closed without the last chunk, over HTTP/1.0, where the connection's
end is the body's, it is reset, and over HTTP/2 the stream is. Whatever the application, or what is
around it, sends after that goes nowhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import h11
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError

if TYPE_CHECKING:
    from hypercorn.protocol.h2 import StreamBuffer

    from .connection import HypercornConnection

__all__ = ["break_off", "buffer_of", "let_go", "reset_stream"]


def break_off(connection: HypercornConnection) -> None:
    """End the response of this request so that its client can tell that something is missing."""
    if connection.is_http2:
        reset_stream(connection, ErrorCodes.INTERNAL_ERROR)
        return
    protocol = connection.protocol
    protocol.connection = _BrokenOff()
    # Hypercorn does this itself, but not when it knows already that the client has gone.
    protocol.can_read._event.set()
    if connection.http.scope["http_version"] == "1.0":
        connection.reset()


class _BrokenOff:
    """In place of an h11 connection whose response broke off: says nothing and takes all.

    Hypercorn's reader may wait for that response's end. Woken, it finds no further request here,
    goes on to see that the connection is closed, and lets go of it.
    """

    our_state = their_state = h11.ERROR
    they_are_waiting_for_100_continue = False

    def receive_data(self, data: bytes) -> None:
        """Part of a request that nobody will answer."""

    def next_event(self) -> type[h11.NEED_DATA]:
        return h11.NEED_DATA

    def send(self, event: h11.Event) -> bytes:
        return b""


def reset_stream(connection: HypercornConnection, code: ErrorCodes) -> None:
    """Reset an HTTP/2 stream, unless it is closed, and have Hypercorn forget what it keeps."""
    try:
        connection.protocol.connection.reset_stream(connection.http.stream_id, error_code=code)
    except ProtocolError:
        buffer = buffer_of(connection)
        if buffer is None or buffer.complete:
            return
        # The client has reset it. While the connection's window is shut, Hypercorn would keep what
        # was not sent.
    # In the connection's own task, which outlives this stream.
    connection.protocol.task_group.spawn(let_go, connection)


async def let_go(connection: HypercornConnection) -> None:
    """Do what Hypercorn does for a stream that its client has reset."""
    buffer = buffer_of(connection)
    if buffer is not None:
        await buffer.close()
        await connection.protocol._window_updated(connection.http.stream_id)
    await connection.protocol._flush()


def buffer_of(connection: HypercornConnection) -> StreamBuffer | None:
    """What waits in Hypercorn for the client's window; None when the stream is no more."""
    buffers: dict[int, StreamBuffer] = connection.protocol.stream_buffers
    return buffers.get(connection.http.stream_id)
