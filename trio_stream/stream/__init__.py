"""The structured-concurrency core: `Stream`, its sources, its channel and its writer."""

from __future__ import annotations

from .app import StreamApp, stream_app
from .ended import EndedStream, ended_streams
from .error_answer import ErrorAnswer
from .hooks import StreamHooks
from .limits import LimitStatistics, StreamLimits, client_address
from .outcome import Outcome
from .overview import OpenStream, open_streams, outcome_counts
from .refusal import Refusal
from .responses import no_reconnect
from .serving import last_event_id
from .source import current_blocking_limiter
from .statistics import StreamStatistics
from .stream import Stream
from .task_tree import TaskView
from .together import NotSent

__all__ = [
    "EndedStream",
    "ErrorAnswer",
    "LimitStatistics",
    "NotSent",
    "OpenStream",
    "Outcome",
    "Refusal",
    "Stream",
    "StreamApp",
    "StreamHooks",
    "StreamLimits",
    "StreamStatistics",
    "TaskView",
    "client_address",
    "current_blocking_limiter",
    "ended_streams",
    "last_event_id",
    "no_reconnect",
    "open_streams",
    "outcome_counts",
    "stream_app",
]
