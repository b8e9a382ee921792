"""A producer that says nothing: how long that is borne, and what comes of it.

Nothing here is called when an event is sent. At each look at a stream its events have been counted
on or not, and a client who is slower than the producer is no silence of the producer's.
"""

from __future__ import annotations

import logging
from math import inf

from ..core.state import StreamState
from ..ends import ProducerSilent
from ..outcome import Outcome
from ..writing.failing import fail

__all__ = ["LISTENS", "check_silence", "silent_at"]

log: logging.Logger = logging.getLogger("trio_stream")

#: So often in an `idle_timeout` an entered stream is looked at: it has no transport, which would
#: tell when the last event was written.
LISTENS = 20


def check_silence(state: StreamState, now: float) -> None:
    """Note whether the producer has been heard; end the stream if it has not, for too long."""
    timing = state.options.timing
    if state.outcome is not None or not timing.listens:
        return
    _listen(state, now)
    if now < silent_at(state):
        return
    first = not state.heard and timing.first_event_timeout is not None
    seconds = timing.first_event_timeout if first else timing.idle_timeout
    assert seconds is not None
    what = "first_event_timeout" if first else "idle_timeout"
    if state.headers_out or state.channel.queued_events:  # else the log has the answer's status
        log.warning(
            "a stream's producer sent nothing for %(option)s=%(seconds)g s: it is ended",
            {"option": what, "seconds": seconds, **state.facts()},
        )
    fail(state, ProducerSilent(what, seconds), Outcome.LATE if first else Outcome.IDLE)


def silent_at(state: StreamState) -> float:
    """When the producer will have been silent for too long, if it goes on saying nothing."""
    timing = state.options.timing
    if state.outcome is not None or not timing.listens:
        return inf
    if not state.heard and timing.first_event_timeout is not None:
        return state.opened_at + timing.first_event_timeout
    return inf if timing.idle_timeout is None else state.quiet_since + timing.idle_timeout


def _listen(state: StreamState, now: float) -> None:
    transport, channel = state.transport, state.channel
    heard = state.events
    waits = channel.queued_events or channel.waiting_senders
    if waits or (transport is not None and transport.stuck_since is not None):
        state.quiet_since = now  # it is the client who takes his time
    elif heard != state.heard:
        # Of what was written since the last look nothing but the last event was the last.
        state.quiet_since = now if transport is None else transport.last_write
    state.heard = heard
