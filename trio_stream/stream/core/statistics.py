"""What `Stream.statistics` returns."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from ...codec import DroppedInput
from ..outcome import Outcome
from .state import StreamState

__all__ = ["StreamStatistics", "statistics_of"]


@dataclass(frozen=True, slots=True)
class StreamStatistics:
    """What a stream has done so far; got by `Stream.statistics`."""

    #: Events accepted from the producer, whether or not they have gone out.
    events: int
    #: Bytes of body handed to the transport, pings and other blocks of the library's included.
    bytes: int
    #: Events that wait to be written now.
    queued: int
    #: Their bytes, and how many senders wait for room besides.
    queued_bytes: int
    waiting_senders: int
    #: The most events that ever waited: helps to choose ``buffer``.
    peak_queued: int
    #: Seconds since the stream was served or entered, up to its end; 0 before.
    seconds_open: float
    #: How it ended, or None while it has not.
    outcome: Outcome | None
    #: What an upstream has sent that is in no event, over its last connection.
    dropped: DroppedInput


def statistics_of(state: StreamState) -> StreamStatistics:
    """What a stream has done so far; a snapshot."""
    channel = state.channel
    return StreamStatistics(
        events=state.events,
        bytes=state.written,
        queued=channel.queued_events,
        queued_bytes=channel.queued_bytes,
        waiting_senders=channel.waiting_senders,
        peak_queued=channel.peak_events,
        seconds_open=_seconds_open(state),
        outcome=state.outcome,
        dropped=state.dropped,
    )


def _seconds_open(state: StreamState) -> float:
    if state.clock is None:
        return 0.0
    # The clock of its own run: who asks may be in another thread, or come when the run is over.
    until = state.clock.current_time() if state.ended_at is inf else state.ended_at
    return until - state.opened_at
