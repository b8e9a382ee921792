"""HTTP/3 on Hypercorn: the backpressure, the leaving and the broken ends that it lacks."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import trio

from ..asgi import body_message, pieces
from ..base import ClientGone
from .http3_connection import REQUEST_CANCELLED, Http3Connection
from .known import KnownTransport, Left

if TYPE_CHECKING:
    from ..asgi import Message, Receive, Scope, Send

__all__ = ["Http3Transport", "warn_of_http3"]

log: logging.Logger = logging.getLogger("trio_stream")

#: Bytes that QUIC may hold unsent: as over HTTP/2.
_PIECE = 2**14

#: Seconds for the client to take what came before a reset: it may drop what it has not read.
_LAST_SECONDS = 1.0


class Http3Transport(KnownTransport):
    """One stream of a QUIC connection, which holds one piece unsent at most.

    Besides that it holds what it has sent and the client has not acknowledged, which its congestion
    control bounds.
    """

    __slots__ = ("_http3",)

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        connection: Http3Connection,
        stall_timeout: float,
    ) -> None:
        super().__init__(scope, receive, send, connection, stall_timeout)
        self._http3 = connection

    async def write(self, data: bytes | memoryview) -> None:
        for piece in pieces(data, _PIECE):
            await self._deliver(body_message(piece, more=True))

    async def _pass_on(self, message: Message) -> None:
        await super()._pass_on(message)
        await self._http3.wait_sent()
        if self._http3.left and not (self._http3.has_ended and not self._http3.unsent()):
            raise ClientGone("the stream was closed")

    async def abort(self) -> None:
        await self._http3.wait_taken(_LAST_SECONDS)
        self._break_off()

    def _break_off(self) -> None:
        self._http3.break_off()

    def close(self) -> None:
        super().close()
        if self._http3.proof is None:  # there is no `StreamMiddleware` to do that
            self._http3.release()

    def _body_is_coming(self) -> bool:
        return self._http3.request_is_open

    def _what_is_left(self) -> Left:
        return Left(
            "window" if self._http3.window_is_shut else "path", self._http3.unacknowledged()
        )

    def drop(self) -> None:
        if self._http3.window_is_shut:
            self._http3.break_off(REQUEST_CANCELLED)
        else:
            # Nothing is acknowledged at all, on no stream of the connection.
            self._http3.reset()


_warned: trio.lowlevel.RunVar[bool] = trio.lowlevel.RunVar("trio_stream_http3", False)


def warn_of_http3(*, is_known: bool) -> None:
    """Say once in a worker what cannot be had over HTTP/3, and what to do."""
    if _warned.get():
        return
    _warned.set(True)
    if is_known:
        log.warning(
            "HTTP/3: a defect of Hypercorn's can end this worker, and with it all its clients. "
            "End HTTP/3 at a proxy in front, which speaks HTTP/1.1 to Hypercorn",
            {"version": "3"},
        )
    else:
        log.warning(
            "HTTP/3: the connection behind this server's send() is not known. What a client does "
            "not take is not bounded, that it leaves may go unnoticed, and a stream that breaks "
            "off looks complete. End HTTP/3 at a proxy in front; on Hypercorn, put "
            "StreamMiddleware around the application",
            {"version": "3"},
        )
