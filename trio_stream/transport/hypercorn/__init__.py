"""Hypercorn 0.18's Trio worker: direct writes, aborts and the early word of a shutdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..asgi import AsgiTransport
from .connection import HypercornConnection, find_connection
from .http1 import Http1Transport
from .http2 import Http2Transport
from .mending import mend
from .middleware import CONNECTION, StreamMiddleware
from .serve import serve
from .signals import listen_in_worker

if TYPE_CHECKING:
    from ..asgi import Receive, Scope, Send

__all__ = [
    "HypercornConnection",
    "StreamMiddleware",
    "choose_transport",
    "listen_in_worker",
    "serve",
]


def choose_transport(
    scope: Scope, receive: Receive, send: Send, stall_timeout: float
) -> tuple[AsgiTransport, HypercornConnection | None]:
    """The best transport for a request, and Hypercorn's connection where it was found."""
    listen_in_worker()
    connection = find_connection(send) or scope.get("extensions", {}).get(CONNECTION)
    if not isinstance(connection, HypercornConnection):
        return AsgiTransport(scope, receive, send, stall_timeout), None
    mend(connection)
    kind = Http2Transport if connection.is_http2 else Http1Transport
    return kind(scope, receive, send, connection, stall_timeout), connection
