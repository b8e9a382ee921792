"""How a stream ended."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["CUT_OFF", "FAILURES", "LOST", "Outcome"]


class Outcome(StrEnum):
    """Why a stream ended; equal to its plain string, so that it goes into logs and metrics as is.

    The first cause wins, except that `DISCONNECTED` and `STALLED` replace it when what was still
    queued could not be delivered.
    """

    #: The source was exhausted, or the callback and every task of the stream finished.
    COMPLETED = "completed"
    #: `Stream.close` was called, or the ``async with`` block was left.
    CLOSED = "closed"
    #: The client went away.
    DISCONNECTED = "disconnected"
    #: The client took no byte for ``stall_timeout`` seconds while a write was unfinished.
    STALLED = "stalled"
    #: ``max_duration`` or ``expires_at`` was over.
    EXPIRED = "expired"
    #: `Broker.disconnect`, or ``authorize`` says at a re-check that it may not go on.
    REVOKED = "revoked"
    #: The server shut down, or the ASGI call was cancelled from outside.
    SHUTDOWN = "shutdown"
    #: The producer sent no first event within ``first_event_timeout`` seconds.
    LATE = "late"
    #: The producer sent nothing more for ``idle_timeout`` seconds.
    IDLE = "idle"
    #: The source, the callback or one of the stream's tasks raised.
    FAILED = "failed"
    #: The request was answered without a stream: the headers that a HEAD asks for.
    ANSWERED = "answered"
    #: The request was answered without a stream: one too many for ``limits``, or ``authorize`` or
    #: `Broker.disconnect` refuse it.
    REFUSED = "refused"


#: The client cannot be reached any more.
LOST = frozenset({Outcome.DISCONNECTED, Outcome.STALLED})

#: The producer had more to say, and nothing was wrong with it.
CUT_OFF = frozenset({Outcome.EXPIRED, Outcome.REVOKED, Outcome.SHUTDOWN})

#: Something was wrong with the producer.
FAILURES = frozenset({Outcome.FAILED, Outcome.LATE, Outcome.IDLE})
