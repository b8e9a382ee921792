"""What `Stream.statistics` returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .outcome import Outcome

__all__ = ["StreamStatistics"]


@dataclass(frozen=True, slots=True)
class StreamStatistics:
    """What a stream has done so far; got by `Stream.statistics`."""

    #: Events accepted from the producer, whether or not they have gone out.
    events: int
    #: Bytes of body handed to the transport, pings and other blocks of the library's included.
    bytes: int
    #: Events that wait to be written now.
    queued: int
    #: The most events that ever waited: helps to choose ``buffer``.
    peak_queued: int
    #: Seconds since the stream was served or entered, up to its end; 0 before.
    seconds_open: float
    #: How it ended, or None while it has not.
    outcome: Outcome | None
