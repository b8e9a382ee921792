"""Hypercorn 0.18's Trio worker: direct writes, aborts and the early word of a shutdown."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from ..asgi import AsgiTransport
from .connection import CONNECTION, HypercornConnection, find_connection
from .frames import find_frame_writer
from .http1 import Http1Transport
from .http1_tls import TlsTransport
from .http2 import Http2Transport
from .http2_direct import DirectHttp2Transport
from .http3 import Http3Transport, warn_of_http3
from .http3_connection import Http3Connection, find_http3
from .mending import mend
from .middleware import StreamMiddleware
from .serve import serve
from .signals import listen_in_worker
from .wire import find_wire

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
    connection = (
        find_connection(send) or find_http3(send) or scope.get("extensions", {}).get(CONNECTION)
    )
    is_known = isinstance(connection, HypercornConnection)
    if scope.get("http_version") == "3":
        warn_of_http3(is_known=is_known)
    if not is_known:
        return AsgiTransport(scope, receive, send, stall_timeout), None
    mend(connection)
    return _transport(connection)(scope, receive, send, connection, stall_timeout), connection


def _transport(connection: HypercornConnection) -> Callable[..., AsgiTransport]:
    if isinstance(connection, Http3Connection):
        return Http3Transport
    wire = find_wire(connection.server) if connection.tls or connection.is_http2 else None
    if not connection.is_http2:
        return Http1Transport if wire is None else partial(TlsTransport, wire=wire)
    frames = None if wire is None else find_frame_writer(connection.protocol, wire)
    return Http2Transport if frames is None else partial(DirectHttp2Transport, frames=frames)
