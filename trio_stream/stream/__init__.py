"""The structured-concurrency core: `Stream`, its sources, its channel and its writer."""

from __future__ import annotations

from .answers.error_answer import ErrorAnswer
from .answers.refusal import Refusal
from .answers.responses import no_reconnect
from .app import StreamApp, stream_app
from .core.statistics import StreamStatistics
from .ending.ended import EndedStream, ended_streams
from .life.serving import last_event_id
from .options.hooks import StreamHooks
from .options.limits import LimitStatistics, StreamLimits, client_address
from .outcome import Outcome
from .overview import OpenStream, open_streams, outcome_counts
from .source import current_blocking_limiter
from .stream import Stream
from .task_tree import TaskView
from .writing.together import NotSent

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
