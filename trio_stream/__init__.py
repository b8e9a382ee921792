"""The streaming toolkit for Trio."""

from __future__ import annotations

from .client import AttemptEnded, AttemptOpened, EventSource, ReadyState, ReconnectPolicy
from .codec import EncodedEvent, EventStreamDecoder, ServerSentEvent, encode
from .errors import (
    ConnectionLostError,
    ContentTypeError,
    EventTooLargeError,
    RedirectError,
    RemoteProtocolError,
    TrioStreamError,
    UpstreamStatusError,
)
from .stream import (
    LimitStatistics,
    OpenStream,
    Outcome,
    Stream,
    StreamApp,
    StreamLimits,
    StreamStatistics,
    client_address,
    current_blocking_limiter,
    no_reconnect,
    open_streams,
    outcome_counts,
    stream_app,
)
from .transport.hypercorn import StreamMiddleware, serve

__all__ = [
    "AttemptEnded",
    "AttemptOpened",
    "ConnectionLostError",
    "ContentTypeError",
    "EncodedEvent",
    "EventSource",
    "EventStreamDecoder",
    "EventTooLargeError",
    "LimitStatistics",
    "OpenStream",
    "Outcome",
    "ReadyState",
    "ReconnectPolicy",
    "RedirectError",
    "RemoteProtocolError",
    "ServerSentEvent",
    "Stream",
    "StreamApp",
    "StreamLimits",
    "StreamMiddleware",
    "StreamStatistics",
    "TrioStreamError",
    "UpstreamStatusError",
    "client_address",
    "current_blocking_limiter",
    "encode",
    "no_reconnect",
    "open_streams",
    "outcome_counts",
    "serve",
    "stream_app",
]
