"""How long a response's headers wait, so that a failure before the first event is a status."""

from __future__ import annotations

from math import inf

import trio

from ..answers.clients import is_event_source
from ..core.state import StreamState
from ..options.pings import DEFAULT_PING
from ..source import HeadersWaitFor

__all__ = ["headers_wait_for", "hold_headers"]


def headers_wait_for(state: StreamState) -> HeadersWaitFor:
    """What the headers of a stream wait for that begins."""
    if state.source is not None:
        return state.source.headers_wait_for
    return "nothing" if state.callback is None else "item"


def hold_headers(state: StreamState, wait_for: HeadersWaitFor) -> None:
    """Have the headers wait for that, unless they have gone out; for nothing: let them go out."""
    if state.headers_out or state.outcome is not None or state.transport is None:
        return
    until = state.opened_at + _seconds(state, wait_for)
    if until > trio.current_time():
        state.hold_headers(until)
    else:
        state.release_headers()


def _seconds(state: StreamState, wait_for: HeadersWaitFor) -> float:
    options = state.options
    hold = options.hold_headers
    if hold is None:
        # An EventSource cannot read a status, and never comes back after one: it comes back after a
        # stream that breaks off. And its `open` event would have to wait for the first item.
        hold = wait_for == "ready" or (wait_for == "item" and not is_event_source(state.scope))
    if not hold:
        return 0
    if options.timing.ping is not None:
        return options.timing.ping
    return inf if wait_for == "ready" else DEFAULT_PING
