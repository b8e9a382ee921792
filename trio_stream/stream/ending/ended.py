"""What is known of a stream when all of it has ended: it is counted, kept a while, and told."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...tally import lock
from ..core.statistics import StreamStatistics, statistics_of
from ..outcome import Outcome
from ..registry import current_registry
from ..requested import client_of, path_of, route_of, template_of
from ..tally import streams
from .end_line import tell_end

if TYPE_CHECKING:
    from ..core.state import StreamState

__all__ = ["EndedStream", "counted_name", "ended_streams", "note_end"]


@dataclass(frozen=True, slots=True)
class EndedStream:
    """A stream that has ended; got by `ended_streams`. No payload is in it."""

    #: What `OpenStream.number` was.
    number: int
    #: When all of it had ended, as `time.time` says it.
    at: float
    #: The request's method and path, without a query, and its route as `OpenStream.route`.
    request: str
    route: str | None
    #: ``address:port`` as the server knows it, or None on a Unix socket.
    client: str | None
    #: Its last ones, outcome included.
    statistics: StreamStatistics


def ended_streams() -> tuple[EndedStream, ...]:
    """The last hundred streams that ended in this Trio run, the newest last.

    With the requests that were answered without a stream: a HEAD, a refusal.

    Raises:
      RuntimeError: called from outside Trio.
    """
    return tuple(current_registry().ended)


def counted_name(state: StreamState) -> str | None:
    """What a stream is to be counted as: its label, or its route's template, if either is known."""
    return state.options.telling.label or template_of(state.scope)


def note_end(state: StreamState, number: int, counted_as: str | None = None) -> None:
    """All of it has ended: count it, keep what is known of it, and tell who wants to know.

    Called in the task of the request.

    Args:
      counted_as: None for a request that was answered without a stream.
    """
    registry, scope = current_registry(), state.scope
    statistics = _count(state, counted_as)
    registry.outcomes[state.outcome] += 1
    if scope is not None:
        registry.ended.append(
            EndedStream(
                number=number,
                at=time.time(),
                request=f"{scope['method']} {path_of(scope)}",
                route=route_of(scope, state.options.telling.label),
                client=client_of(scope),
                statistics=statistics,
            )
        )
    tell_end(state)


def _count(state: StreamState, counted_as: str | None) -> StreamStatistics:
    """It is no longer one of the open streams, and from the same moment on one that has ended."""
    outcome = str(state.outcome or Outcome.FAILED)
    with lock:
        state.unwatch()
        now = statistics_of(state)
        if counted_as is None:
            streams.answer(counted_name(state), outcome)
        else:
            streams.end(counted_as, outcome, now.seconds_open, now.events, now.bytes)
    return now
