"""The last step to Hypercorn's `send`, of whoever is outermost: a stream, or `StreamMiddleware`.

What has to be seen to where a message leaves, because on its way from the stream it may be changed,
held back, or handed over to another task.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import trio
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError
from h2.stream import StreamState

from ..asgi import body_message
from .breaking import break_off, buffer_of
from .http3_connection import Http3Connection

if TYPE_CHECKING:
    from ..asgi import Message, Send
    from .connection import HypercornConnection

__all__ = ["pass_on", "request_is_open"]


async def pass_on(connection: HypercornConnection, send: Send, message: Message) -> None:
    """Give Hypercorn's ``send`` a message of the response to this connection's request."""
    if isinstance(connection, Http3Connection):
        await connection.pass_on(send, message)
    elif message["type"] == "http.response.start":
        if connection.server.send_lock.locked():
            with _whole(connection):
                await send(message)
        else:  # it does not wait, and is written before anybody could cancel it
            await trio.lowlevel.checkpoint_if_cancelled()
            await send(message)
    elif not connection.streams or message.get("more_body", False):
        await send(message)
    elif connection.cut:
        # Something around the stream wants to end in order what was left unfinished.
        break_off(connection)
    else:
        await _end(connection, send, message)


async def _end(connection: HypercornConnection, send: Send, message: Message) -> None:
    try:
        if connection.is_http2:
            await _end_http2(connection, send, message.get("body", b""))
        else:
            await send(message)
    except trio.Cancelled:
        if connection.has_ended and connection.http.closed:
            connection.make_free()
        raise


@contextmanager
def _whole(connection: HypercornConnection) -> Iterator[None]:
    """Around what Hypercorn writes from this task: it goes out whole, or the connection is closed.

    Cancelled while it waits for its turn to write, Hypercorn has given up the bytes that it was to
    write, and what is written later would not fit. Over HTTP/2 h2 has them still: see `mending.py`.
    """
    if connection.is_http2:
        yield
        return
    with trio.CancelScope(shield=not connection.server.send_lock.locked()):
        try:
            yield
        except trio.Cancelled:
            connection.reset()
            raise


async def _end_http2(connection: HypercornConnection, send: Send, body: bytes) -> None:
    """Say that the response is complete, before Hypercorn does.

    Its sending task says so only after the app has been told that it has been said. In between the
    connection may be closed, for the server's shutdown.
    """
    if body:
        await send(body_message(body, more=True))
    buffer = buffer_of(connection)
    if buffer is not None and buffer.buffer:
        await buffer.drain()
    with _whole(connection):
        await _send_end_stream(connection)
    # All is out. Hypercorn would wait for its sending task to say so, which ends with the
    # connection.
    if buffer is not None:
        await buffer.close()
    await send(body_message(b"", more=False))


async def _send_end_stream(connection: HypercornConnection) -> None:
    protocol, stream_id = connection.protocol, connection.http.stream_id
    unread = request_is_open(connection)
    try:
        protocol.connection.end_stream(stream_id)
        if unread:
            # RFC 9113, 8.1: "a server MAY request that the client abort transmission of a request
            # without error by sending a RST_STREAM with an error code of NO_ERROR after sending a
            # complete response". What still comes, h2 drops.
            protocol.connection.reset_stream(stream_id, error_code=ErrorCodes.NO_ERROR)
    except ProtocolError:
        return  # closed already
    await protocol._flush()


def request_is_open(connection: HypercornConnection) -> bool:
    """Whether an HTTP/2 client has not sent all of the request's body yet."""
    stream = connection.protocol.connection.streams.get(connection.http.stream_id)
    return stream is not None and stream.state_machine.state is StreamState.OPEN
