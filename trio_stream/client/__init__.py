"""The client: `EventSource` connects, decodes and reconnects."""

from __future__ import annotations

from .connecting.attempts import AttemptEnded, AttemptOpened, Observer
from .connecting.next_request import NextRequest, StreamRequest
from .connecting.reconnect import ReconnectPolicy
from .event_source import EventSource
from .ready_state import ReadyState

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
