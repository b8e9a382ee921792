"""The structured-concurrency core: `Stream`, its sources, its channel and its writer."""

from __future__ import annotations

from .app import StreamApp, stream_app
from .outcome import Outcome
from .source import current_blocking_limiter
from .stream import Stream, StreamStatistics

__all__ = [
    "Outcome",
    "Stream",
    "StreamApp",
    "StreamStatistics",
    "current_blocking_limiter",
    "stream_app",
]
