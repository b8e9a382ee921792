"""The client: `EventSource` connects, decodes and reconnects."""

from __future__ import annotations

from .attempts import AttemptEnded, AttemptOpened, Observer
from .event_source import EventSource
from .next_request import NextRequest, StreamRequest
from .ready_state import ReadyState
from .reconnect import ReconnectPolicy

__all__ = [
    "AttemptEnded",
    "AttemptOpened",
    "EventSource",
    "NextRequest",
    "Observer",
    "ReadyState",
    "ReconnectPolicy",
    "StreamRequest",
]
