"""What a stream sends so that its silence is no riddle: a comment, or an event for the page."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from ...checks import check_callable, check_seconds, naming
from ...codec import Format, ServerSentEvent
from ..registry import current_registry
from ..requested import Facts
from .farewell import refuse_without_fields

__all__ = ["DEFAULT_PING", "PingEvent", "PingFunction", "ask_ping_event", "checked_pings"]

log: logging.Logger = logging.getLogger("trio_stream")

#: Seconds. Of 25 proxies that were tried, none calls it silence.
DEFAULT_PING = 8.0

PingFunction = Callable[[Any], ServerSentEvent | None]
PingEvent = ServerSentEvent | PingFunction


def checked_pings(
    wire: Format, ping: float | UnsetType | None, ping_event: PingEvent | None
) -> tuple[float | None, bytes | None, PingFunction | None]:
    """The seconds of silence, what is sent then, and who may be asked for something else."""
    seconds, comment = _silence(wire, ping)
    if ping_event is None:
        return seconds, comment, None
    refuse_without_fields("ping_event", wire)
    if isinstance(ping_event, ServerSentEvent):
        with naming("ping_event"):  # now, and not in the first silence
            comment = _encode(ping_event, wire)
    else:
        check_callable("ping_event", ping_event, "takes the stream, or a ServerSentEvent", takes=1)
    if seconds is None:
        raise ValueError("ping_event= needs seconds as ping=: with None there are no pings")
    return seconds, comment, None if isinstance(ping_event, ServerSentEvent) else ping_event


def ask_ping_event(
    ping_event: PingFunction, stream: object, wire: Format, facts: Facts
) -> bytes | None:
    """What the user's function has sent instead of a comment, or None; it may raise anything."""
    try:
        event = ping_event(stream)
        return None if event is None else _encode(event, wire)
    except Exception as error:
        # It fails for all streams, mostly, and at each ping.
        log.log(
            current_registry().news_level("ping_event", logging.ERROR),
            "ping_event= failed, so the ping is a comment",
            {"error": error, **facts()},
            exc_info=error,
        )
        return None


def _silence(wire: Format, ping: float | UnsetType | None) -> tuple[float | None, bytes | None]:
    """How much of it is borne, and what is sent then: of JSON lines nothing unasked.

    A blank line is nothing to who reads events, and many fail at one who read JSON lines.
    """
    if ping is UNSET:
        return DEFAULT_PING, wire.ping if wire.has_fields else None
    check_seconds("ping", ping, "None turns pings off", or_none=True)
    return ping, wire.ping


def _encode(event: object, wire: Format) -> bytes:
    if not isinstance(event, ServerSentEvent):
        raise TypeError(f"a ping is a ServerSentEvent, not of type {type(event).__name__}")
    if event.data is None:
        raise ValueError("an event without data reaches nobody: give it data, if only ''")
    if event.id is not None:
        raise ValueError("a ping is no place to go on from: leave out its id")
    # With a name of its own, whatever the stream calls its events: it is none of these.
    return wire.encode(event if event.event else replace(event, event="ping"), None, None, None)
