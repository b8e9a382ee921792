"""Events to bytes and bytes to events, without any I/O.

`encoder` writes what a person meant as ``text/event-stream``; `decoder` reads it by the rules of
the WHATWG's HTML standard; `formats` is the table of all formats a stream can have.
"""

from __future__ import annotations

from .decoder import EventStreamDecoder
from .dropped import DroppedInput
from .encoder import (
    MAX_RETRY,
    PING,
    check_event_name,
    check_id,
    check_retry,
    encode,
    encode_comment,
    encode_retry,
    encode_sse,
    is_framed,
    join_events,
    unwrap,
)
from .event import EncodedEvent, ServerSentEvent, Uncompressed, to_chunk
from .foreign_events import as_event
from .formats import FORMATS, Format, get_format
from .jsonable import to_json

__all__ = [
    "FORMATS",
    "MAX_RETRY",
    "PING",
    "DroppedInput",
    "EncodedEvent",
    "EventStreamDecoder",
    "Format",
    "ServerSentEvent",
    "Uncompressed",
    "as_event",
    "check_event_name",
    "check_id",
    "check_retry",
    "encode",
    "encode_comment",
    "encode_retry",
    "encode_sse",
    "get_format",
    "is_framed",
    "join_events",
    "to_chunk",
    "to_json",
    "unwrap",
]
