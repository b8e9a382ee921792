"""Who hears of a stream's end: its user's `on_end`, and the log, in a line with its fields."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from ..core.statistics import statistics_of
from ..options.hooks import call_hook

if TYPE_CHECKING:
    from ..core.state import StreamState

__all__ = ["tell_end"]

log: logging.Logger = logging.getLogger("trio_stream")

_choice = logging.getLogger("trio_stream.ends")


def tell_end(state: StreamState) -> None:
    """Tell that all of a stream has ended: the hooks, then the log, at DEBUG or as is chosen.

    Called in the task of the request, so that filters find the request's context variables.
    """
    telling = state.options.telling
    telling.tell("on_end", state.handle, state.facts)
    call_hook("on_end", telling.on_end, state.handle(), state.facts)
    level = _chosen_level()
    if level is not None and log.isEnabledFor(level):
        log.log(
            level,
            "a stream ended: %(outcome)s after %(seconds).3f s, %(events)d events and "
            "%(bytes)d bytes; client %(client)s, %(method)s %(path)s",
            _facts(state),
        )


def _chosen_level() -> int | None:
    """By the level of a logger that is there for this choice alone; None for no line."""
    chosen = _choice.level
    if chosen > logging.INFO:
        return None
    return logging.INFO if chosen == logging.INFO else logging.DEBUG


def _facts(state: StreamState) -> dict[str, Any]:
    counted = statistics_of(state)
    return {
        "outcome": None if counted.outcome is None else str(counted.outcome),
        "seconds": counted.seconds_open,
        "events": counted.events,
        "bytes": counted.bytes,
        "peak_queued": counted.peak_queued,
        **state.facts(),
    }
