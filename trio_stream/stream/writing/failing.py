"""A stream that fails: what its client is still told."""

from __future__ import annotations

import logging

from ...codec import ServerSentEvent
from ..answers.needs_asyncio import advise
from ..core.state import StreamState
from ..options.farewell import ErrorEvent
from ..outcome import Outcome
from .sending import encode

__all__ = ["fail"]

log: logging.Logger = logging.getLogger("trio_stream")


def fail(state: StreamState, failure: BaseException, outcome: Outcome = Outcome.FAILED) -> None:
    """End the stream because of this, the error event before its end."""
    advise(failure)
    error_event = state.options.ends.error_event
    # What was sent before goes out as a 200, whether or not the writer has had its turn.
    begun = state.headers_out or state.channel.queued_events
    if state.outcome is None and begun and error_event is not None:
        try:
            _push_error_event(state, error_event, failure)
        except Exception as error:  # the user's function may raise anything
            log.error(
                "error_event= failed, so the client is told nothing",
                {"error": error, **state.facts()},
                exc_info=error,
            )
        except (KeyboardInterrupt, SystemExit) as error:  # the program is to end
            failure = error
    state.fail(failure, outcome)


def _push_error_event(state: StreamState, error_event: ErrorEvent, failure: BaseException) -> None:
    event = error_event if isinstance(error_event, ServerSentEvent) else error_event(failure)
    if event is not None:
        if not isinstance(event, ServerSentEvent):
            raise TypeError(f"error_event= gave a {type(event).__name__}, not a ServerSentEvent")
        state.channel.push(_encode_error_event(state, event))
        state.failure_told = event.data is not None


def _encode_error_event(state: StreamState, event: ServerSentEvent) -> bytes:
    # It is no item, for a function to make its name of.
    name = state.event if isinstance(state.event, str) else "message"
    try:
        return encode(state, event, name, None, None)
    except Exception:  # perhaps `ids` is what has failed: better without an id than not at all
        if state.options.ids is None:
            raise
        return state.format.encode(event, name, None, None)
