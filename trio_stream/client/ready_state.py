"""`ReadyState`: what an `EventSource` is doing."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["ReadyState"]


class ReadyState(StrEnum):
    """What an `EventSource` is doing: the standard's ``readyState``, equal to a plain string."""

    #: It has no connection; receiving makes one.
    CONNECTING = "connecting"
    #: It has a connection that brings an event stream.
    OPEN = "open"
    #: It has none and never will.
    CLOSED = "closed"
