"""Who hears of a stream's end: its user's `on_end`, and the log, in a line with its fields."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from .ends import call_on_end
from .requested import client_of, path_of, route_of
from .statistics import statistics_of

if TYPE_CHECKING:
    from .state import StreamState

__all__ = ["tell_end"]

log: logging.Logger = logging.getLogger("trio_stream")


def tell_end(state: StreamState) -> None:
    """Tell that all of a stream has ended: `on_end`, then the log, at DEBUG.

    Called in the task of the request, so that filters find the request's context variables.
    """
    call_on_end(state.options.telling.on_end, state.handle())
    if log.isEnabledFor(logging.DEBUG):
        fields = _fields(state)
        log.debug(
            "a stream ended: %(outcome)s after %(seconds).3f s, %(events)d events and "
            "%(bytes)d bytes; client %(client)s, %(method)s %(path)s",
            fields,
            extra=fields,
        )


def _fields(state: StreamState) -> dict[str, Any]:
    scope, counted = state.scope or {}, statistics_of(state)
    return {
        "outcome": None if counted.outcome is None else str(counted.outcome),
        "seconds": counted.seconds_open,
        "events": counted.events,
        "bytes": counted.bytes,
        "peak_queued": counted.peak_queued,
        "client": client_of(scope),
        "method": scope.get("method"),
        "path": path_of(scope),
        "route": route_of(scope, state.options.telling.label),
    }
