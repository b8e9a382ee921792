"""What a client is told besides its topics' events: gaps and ends, in the shape that users give."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec

from ...checks import check_function, naming
from ...codec import EncodedEvent, ServerSentEvent, encode
from ...errors import GapError

if TYPE_CHECKING:
    from ...stream.source.contract import Sink

__all__ = [
    "DONE",
    "PLACE",
    "Notice",
    "check_notice",
    "failed_event",
    "gap_event",
    "put_notice",
    "shaped",
]

_About = ParamSpec("_About")

#: An event, or a function that makes one of what it is about, or decides that there is none, or
#: None: it is left out.
Notice = ServerSentEvent | Callable[_About, ServerSentEvent | None] | None

#: What a client is told when a resumable producer has returned.
DONE = ServerSentEvent("", event="done")

#: What a client is told that is how far it is, and nothing else.
PLACE = ServerSentEvent("", event="place")


async def put_notice(sink: Sink, event: EncodedEvent | None) -> None:
    """Send it, if there is one, as soon as there is room."""
    if event is None or sink.put_nowait(event):
        return
    if (wait := sink.put(event)) is not None:
        await wait


def gap_event(gap: GapError) -> ServerSentEvent:
    """What a stream's client is told where events are gone, unless ``gap=`` says otherwise."""
    known = {} if gap.missing is None else {"missing": gap.missing}
    return ServerSentEvent({"after": gap.after, "next": gap.next, **known}, event="gap")


def failed_event(reason: str) -> ServerSentEvent:
    """What it is told when a resumable producer has not returned."""
    return ServerSentEvent({"reason": reason}, event="failed")


def check_notice(name: str, notice: Any, takes: int) -> None:
    """Refuse at once what could not be sent later.

    Args:
      takes: how many arguments a function is called with.

    Raises:
      TypeError, ValueError: it is none of what a `Notice` may be, or an event that has no data, has
        an id, or cannot be encoded.
    """
    if isinstance(notice, ServerSentEvent):
        with naming(name):
            _encoded(name, notice, None)
    elif callable(notice):
        check_function(name, notice, takes=takes)
    elif notice is not None:
        raise TypeError(
            f"{name} must be a ServerSentEvent, a function that returns one, or None, "
            f"not a {type(notice).__name__}"
        )


def shaped(name: str, notice: Notice[...], id: int | None, *about: object) -> EncodedEvent | None:
    """A notice as it is sent, with the id that moves its client on; None when it is left out.

    Raises what the user's function does, and as `check_notice`.
    """
    event = notice(*about) if callable(notice) else notice
    return None if event is None else _encoded(name, event, id)


def _encoded(name: str, event: object, id: int | None) -> EncodedEvent:
    if not isinstance(event, ServerSentEvent):
        raise TypeError(f"{name}= gave a {type(event).__name__}, not a ServerSentEvent or None")
    if event.data is None:
        raise ValueError(f"{name}= gave an event without data, which reaches nobody: use None")
    if event.id is not None:
        raise ValueError(f"{name}= gave an event with an id, but ids are places in the log")
    return encode(event, id=id)
