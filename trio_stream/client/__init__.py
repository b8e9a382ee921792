"""The client: `EventSource` connects, decodes and reconnects."""

from __future__ import annotations

from .attempts import AttemptEnded, AttemptOpened, Observer
from .event_source import EventSource
from .ready_state import ReadyState
from .reconnect import ReconnectPolicy

__all__ = [
    "AttemptEnded",
    "AttemptOpened",
    "EventSource",
    "Observer",
    "ReadyState",
    "ReconnectPolicy",
]
