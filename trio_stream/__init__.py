"""The streaming toolkit for Trio."""

from __future__ import annotations

from .codec import EncodedEvent, EventStreamDecoder, ServerSentEvent, encode
from .errors import (
    EventTooLargeError,
    RemoteProtocolError,
    TrioStreamError,
    UpstreamStatusError,
)
from .stream import (
    Outcome,
    Stream,
    StreamApp,
    StreamStatistics,
    current_blocking_limiter,
    stream_app,
)

__all__ = [
    "EncodedEvent",
    "EventStreamDecoder",
    "EventTooLargeError",
    "Outcome",
    "RemoteProtocolError",
    "ServerSentEvent",
    "Stream",
    "StreamApp",
    "StreamStatistics",
    "TrioStreamError",
    "UpstreamStatusError",
    "current_blocking_limiter",
    "encode",
    "stream_app",
]
