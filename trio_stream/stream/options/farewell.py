"""The last that a client hears of a stream whose producer had more to say.

An EventSource comes back after every end. Who reads the response with `fetch` takes a proper end
for the end of the whole, and never comes back, or shows half an answer as all of it; of a broken
one it says an error, or comes back.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from ...checks import check_callable, check_choice, naming
from ...codec import Format, ServerSentEvent
from ..answers.clients import is_event_source, names_what_it_accepts
from ..answers.error_answer import ErrorAnswerOption, check_error_answer
from ..requested import Facts

if TYPE_CHECKING:
    from ...transport.asgi import Scope

__all__ = [
    "Ends",
    "ErrorEnd",
    "ErrorEvent",
    "EventName",
    "Farewell",
    "FarewellEvent",
    "encode_farewell",
    "is_proper",
    "refuse_without_fields",
]

log: logging.Logger = logging.getLogger("trio_stream")

Farewell = Literal["auto", "proper", "broken"]
FarewellEvent = ServerSentEvent | Callable[[Any], ServerSentEvent | None]
EventName = str | Callable[[Any], str | None]
ErrorEnd = Literal["broken", "proper"]
ErrorEvent = ServerSentEvent | Callable[[BaseException], ServerSentEvent | None]


@dataclass(frozen=True, slots=True)
class Ends:
    """The keywords of `Stream` that say how a response ends."""

    error_event: ErrorEvent | None
    error_end: ErrorEnd
    farewell: Farewell
    farewell_event: FarewellEvent | None
    error_answer: ErrorAnswerOption | None

    @classmethod
    def checked(
        cls,
        wire: Format,
        error_event: ErrorEvent | None,
        error_end: ErrorEnd,
        farewell: Farewell,
        farewell_event: FarewellEvent | None,
        error_answer: ErrorAnswerOption | None,
    ) -> Ends:
        """What is wrong is a `TypeError` or `ValueError` of the caller's."""
        _check_event("error_event", error_event, wire, "takes the exception")
        _check_event("farewell_event", farewell_event, wire, "takes the stream")
        check_error_answer(error_answer)
        check_choice("error_end", error_end, get_args(ErrorEnd))
        check_choice("farewell", farewell, get_args(Farewell))
        if error_end == "proper" and error_event is None:
            raise ValueError("error_end='proper' needs error_event=: a failure would look whole")
        return cls(error_event, error_end, farewell, farewell_event, error_answer)


def refuse_without_fields(name: str, wire: Format) -> None:
    """Raise a `TypeError` for a keyword that only a stream of events has."""
    if not wire.has_fields:
        raise TypeError(
            f"{name}= needs format='sse': a {wire.name} stream has no events that could carry it"
        )


def _check_event(name: str, event: object, wire: Format, what: str) -> None:
    if event is not None:
        refuse_without_fields(name, wire)
    if isinstance(event, ServerSentEvent):
        with naming(name):  # not when a stream ends, and its client is to hear
            _encode(event, wire, None)
    else:
        check_callable(name, event, f"{what}, or a ServerSentEvent", takes=1, or_none=True)


def is_proper(farewell: Farewell, scope: Scope | None) -> bool:
    """Whether the response to this request is to end as if it were complete."""
    if farewell == "auto":
        return (
            scope is None
            or is_event_source(scope)
            or not (names_what_it_accepts(scope) or scope["method"] != "GET")
        )
    return farewell == "proper"


def encode_farewell(
    farewell_event: FarewellEvent,
    stream: object,
    wire: Format,
    name: EventName | None,
    facts: Facts,
) -> bytes:
    """The user's own last event, or nothing when there is none; its function may raise anything."""
    try:
        event = farewell_event(stream) if callable(farewell_event) else farewell_event
        # Without an id that `ids=` would make: nobody could go on from there. And without a name
        # that a function makes of items: this is none.
        return (
            b"" if event is None else _encode(event, wire, name if isinstance(name, str) else None)
        )
    except Exception as error:
        log.error(
            "farewell_event= failed, so the client is told nothing",
            {"error": error, **facts()},
            exc_info=error,
        )
        return b""


def _encode(event: object, wire: Format, name: str | None) -> bytes:
    if not isinstance(event, ServerSentEvent):
        raise TypeError(f"an event is a ServerSentEvent, not of type {type(event).__name__}")
    if event.data is None:
        raise ValueError("an event without data reaches nobody: give it data, if only ''")
    return wire.encode(event, name, None, None)
