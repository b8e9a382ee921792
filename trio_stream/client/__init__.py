"""The client: `EventSource` connects, decodes and reconnects."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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

#: Where these are. They are imported when they are first asked for: they bring httpx, and that a
#: terminal's colours, all of which a server's garbage collector would look at for ever.
_MODULES = {
    "AttemptEnded": "connecting.attempts",
    "AttemptOpened": "connecting.attempts",
    "EventSource": "event_source",
    "NextRequest": "connecting.next_request",
    "Observer": "connecting.attempts",
    "ReadyState": "ready_state",
    "ReconnectPolicy": "connecting.reconnect",
    "StreamRequest": "connecting.next_request",
}

if not TYPE_CHECKING:  # a checker would believe that there is any name

    def __getattr__(name: str) -> object:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = getattr(import_module(f".{_MODULES[name]}", __name__), name)
        globals()[name] = found
        return found
