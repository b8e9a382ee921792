"""Event ids as ``Last-Event-ID`` headers, as far as a header can carry them."""

from __future__ import annotations

import logging
import re

from ...checks import check_text

__all__ = ["can_be_sent", "check_last_event_id", "to_header"]

log: logging.Logger = logging.getLogger("trio_stream")

#: Bytes. A header line of more than 8 KiB is refused by most servers.
MAX_BYTES = 8000

#: "Field values containing CR, LF, or NUL characters are invalid and dangerous"; the other control
#: characters are "also invalid", and many servers answer them with 400. (RFC 9110)
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def check_last_event_id(event_id: str | None) -> None:
    """`TypeError` or `ValueError` for what can have been no event's id."""
    check_text("last_event_id", event_id, or_none=True)
    if event_id is not None and any(char in event_id for char in "\r\n\0"):
        raise ValueError(
            f"no event has a last_event_id with CR, LF or NUL in it: {event_id[:40]!r}"
        )


def to_header(event_id: str | None) -> str | None:
    """The header's value; None for no header at all.

    "If the EventSource object's last event ID string is not the empty string": then it is sent.
    An id that no header can carry must not keep a client from reconnecting: it is left out, and
    the server begins wherever it begins for a new client.
    """
    # Blanks around a header's value are not part of it.
    value = (event_id or "").strip(" \t")
    if not value:
        return None
    if not can_be_sent(value):
        facts = {"bytes": len(value.encode())}
        log.warning("reconnecting without Last-Event-ID: no header can carry it", facts)
        return None
    return value


def can_be_sent(event_id: str) -> bool:
    """Whether a header can carry this id as it is."""
    is_too_long = len(event_id.encode()) > MAX_BYTES
    return event_id == event_id.strip(" \t") and not (_CONTROL.search(event_id) or is_too_long)
