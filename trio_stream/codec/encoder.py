"""Values to ``text/event-stream`` bytes.

Whatever the values, the bytes hold the fields that were meant and no others: text is cut only where
the standard ends a line (CRLF, LF, CR), and names and ids that would end one are refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from msgspec.structs import replace

from ..checks import shown
from .event import EncodedEvent, ServerSentEvent
from .foreign_events import as_event
from .jsonable import to_json, to_utf8

__all__ = [
    "MAX_RETRY",
    "PING",
    "check_event_name",
    "check_id",
    "check_retry",
    "encode",
    "encode_comment",
    "encode_retry",
    "encode_sse",
    "is_framed",
    "join_events",
    "unwrap",
]

#: An empty comment: it keeps the connection from looking dead, and no client dispatches it. A line
#: without a blank one, for the reason that `encode_retry` gives.
PING = b":\n"

#: The longest reconnection time that is sent or heard, in milliseconds: what a 64-bit client holds.
MAX_RETRY = 2**63 - 1

# "If the event type buffer has a value other than the empty string, change the type [from
# message]": both of these are what a client hears when there is no event line.
_UNNAMED = ("", "message")


def encode(
    data: Any,
    *,
    event: str | None = None,
    id: str | int | None = None,
    retry: int | None = None,
    compress: bool = True,
) -> EncodedEvent:
    """Encode an event once, for any number of streams to take as it is.

    Args:
      data: as for ``stream.send``: text, a `ServerSentEvent` or an event of another library (whose
        own fields win over the keywords), or anything that has a JSON form.
      event: the event's name.
      id: what a client hands back as ``Last-Event-ID``.
      retry: the client's reconnection time in milliseconds.
      compress: False for a secret, which goes out as it is in a compressed stream; see
        `EncodedEvent`.

    Raises:
      TypeError: a field or the data is of a type that cannot be sent.
      ValueError: it would break out of its field, cannot be carried as UTF-8 or JSON, or is text
        that is an event in wire form already.
    """
    wire = encode_sse(data, event, id, retry)
    if isinstance(data, EncodedEvent):
        return data if compress is True else replace(data, compress=compress)
    given = as_event(data)
    own_id = id if given is None or given.id is None else given.id
    known = None if own_id is None else check_id(own_id)
    return EncodedEvent(wire, id=known, compress=compress)


def encode_sse(
    data: Any, event: str | None = None, id: str | int | None = None, retry: int | None = None
) -> bytes:
    """Encode one event. A `ServerSentEvent`'s own fields win over the arguments."""
    if type(data) is str and "\n" not in data and "\r" not in data:
        # The commonest event by far, a token of text, in one piece: a third of the cost.
        head = "" if event is None and id is None and retry is None else _head(event, id, retry)
        try:
            return f"{head}data: {data}\n\n".encode()
        except UnicodeEncodeError:
            return to_utf8(f"{head}{data}")  # which raises, and says what to do
    if type(data) is dict:
        # The commonest but for text. To ask whether it is one of the classes below costs 0.3 us, as
        # much as its JSON, which is always a single line.
        lines = b"data: " + to_json(data) + b"\n\n"
        plain = event is None and id is None and retry is None
        return lines if plain else to_utf8(_head(event, id, retry)) + lines
    if isinstance(data, ServerSentEvent):
        return _encode_event(data, event, id, retry)
    if isinstance(data, EncodedEvent):
        return unwrap(data, "sse", event, id, retry)
    if (foreign := as_event(data)) is not None:
        return _encode_event(foreign, event, id, retry)
    if isinstance(data, _TEXT) and is_framed(data):
        raise ValueError(
            "this text is an event in wire form already, and would be framed again: send "
            "EncodedEvent(text), or ServerSentEvent(text) if it is data that only looks so"
        )
    if event is None and id is None and retry is None:
        return _data_lines(data) + b"\n"
    return to_utf8(_head(event, id, retry)) + _data_lines(data) + b"\n"


def is_framed(text: str | bytes | bytearray | memoryview) -> bool:
    """Whether this text is nothing but whole blocks of an event stream, with a field in them.

    That is what other libraries' encoders make, and f-strings. Comments alone are none: a colon and
    a blank line are what a language model says before a list.
    """
    if not isinstance(text, str):
        # Only of bytes that end so: to look at all of a large event would cost as much as it does.
        if bytes(text[-1:]) not in (b"\n", b"\r"):
            return False
        text = bytes(text).decode("latin-1")
    return (
        text.endswith(("\n\n", "\r\n\r\n", "\r\r", "\n\r\n"))
        and _ALL_LINES(text) is not None
        and _A_FIELD(text) is not None
    )


_ALL_LINES = re.compile(
    r"(?:(?:(?:data|event|id|retry)(?::[^\r\n]*+|)|:[^\r\n]*+|)(?:\r\n|\n|\r))++"
).fullmatch
_A_FIELD = re.compile(r"(?:\A|[\r\n])(?:data|event|id|retry):[^\r\n]").search


def join_events(chunks: Sequence[bytes | str]) -> bytes:
    """The bytes of many events at once: those encoded before, and plain lines, which are `str`.

    A plain line is ASCII without CR or LF. To encode lines together costs 0.02 us each, one by one
    0.2: a token of text is the commonest event by far, and a fast source's gather until written.
    """
    if len(chunks) == 1 and isinstance(chunk := chunks[0], bytes):
        return chunk  # which may be one that is not compressed
    try:
        return b"".join(chunks)  # type: ignore[arg-type]
    except TypeError:
        runs = groupby(chunks, type)
        return b"".join(_join_run(list(run)) for _, run in runs)


def _join_run(chunks: list[Any]) -> bytes:
    if type(chunks[0]) is bytes:
        return b"".join(chunks)
    return ("data: " + "\n\ndata: ".join(chunks) + "\n\n").encode()


def encode_retry(ms: int) -> bytes:
    """A line that sets the client's reconnection time, in milliseconds.

    A line is enough: the standard has clients obey it as it comes, and not at the end of its block.
    A block of its own would do in browsers, too, but the decoder that httpx-sse and the SDKs of
    OpenAI and others share dispatches an event without data for it, on which the SDKs then fail.
    """
    return b"retry: %d\n" % check_retry(ms)


def encode_comment(text: str) -> bytes:
    """A block of comment lines, one for each line of the text. No client dispatches it."""
    return _comment_lines(text) + b"\n"


def unwrap(
    encoded: EncodedEvent,
    format: str,
    event: str | None = None,
    id: str | int | None = None,
    retry: int | None = None,
) -> bytes:
    """The bytes of an event that was encoded before, which must be meant for this format.

    Raises:
      TypeError: it is of another format, or there are fields, which could no longer be applied.
    """
    if encoded.format != format:
        raise TypeError(
            f"an EncodedEvent in format {encoded.format!r} cannot go into a {format!r} stream; "
            "send the value itself"
        )
    if not (event is None and id is None and retry is None):
        raise TypeError(
            "event, id and retry cannot be added to an EncodedEvent; give them to encode() instead"
        )
    return encoded.data


def check_event_name(event: object) -> str:
    """An event's name, if it can stand on its line; else `TypeError` or `ValueError`."""
    if not isinstance(event, str):
        raise TypeError(f"an event name is a str, not {type(event).__name__}")
    # Printable text has no control character, so one call answers for nearly every name and id.
    if not event.isprintable():
        _check_one_line(event, "an event name")
    return event


def check_id(id: object) -> str:
    """An event's id as text, if it can stand on its line; else `TypeError` or `ValueError`."""
    if isinstance(id, str):
        if not id.isprintable():
            _check_one_line(id, "an event id")
        return id
    if isinstance(id, int) and not isinstance(id, bool):
        return str(int(id))
    raise TypeError(f"an event id is a str or an int, not {type(id).__name__}")


def check_retry(retry: object) -> int:
    """A reconnection time, if it is a number of milliseconds; else `TypeError` or `ValueError`."""
    if not isinstance(retry, int) or isinstance(retry, bool):
        raise TypeError(
            f"retry is a whole number of milliseconds, not {shown(retry)}; "
            "for seconds write int(seconds * 1000)"
        )
    if not 0 <= retry <= MAX_RETRY:
        raise ValueError(
            f"retry is a number of milliseconds from 0 to {MAX_RETRY}, not {shown(retry)}"
        )
    return int(retry)


def _check_one_line(text: str, what: str) -> None:
    if "\n" in text or "\r" in text or "\0" in text:
        raise ValueError(f"{what} cannot hold CR, LF or NUL, which would end its field: {text!r}")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{what} cannot hold half of a surrogate pair: {text!a}") from None


def _encode_event(
    source: ServerSentEvent, event: str | None, id: str | int | None, retry: int | None
) -> bytes:
    if isinstance(source.data, (ServerSentEvent, EncodedEvent)):
        name = type(source.data).__name__
        raise TypeError(f"the data of a ServerSentEvent cannot be of type {name}; send that itself")
    comment = b"" if source.comment is None else _comment_lines(source.comment)
    own_id = id if source.id is None else source.id
    own_retry = retry if source.retry is None else source.retry
    if source.data is not None:
        own_event = event if source.event is None else source.event
        lines = to_utf8(_head(own_event, own_id, own_retry)) + _data_lines(source.data)
    elif source.event is None or source.event in _UNNAMED:
        lines = to_utf8(_head(None, own_id, own_retry))
    else:
        raise ValueError(
            f'no client dispatches an event without data: give {source.event!r} data, if only ""'
        )
    if not comment and not lines:
        raise ValueError("the ServerSentEvent is empty: give it data, an id, a retry or a comment")
    return comment + lines + b"\n"


def _head(event: str | None, id: str | int | None, retry: int | None) -> str:
    head = "" if id is None else f"id: {_plain(check_id(id))}\n"
    if event is not None and check_event_name(event) not in _UNNAMED:
        head += f"event: {_plain(event)}\n"
    if retry is not None:
        head += f"retry: {check_retry(retry)}\n"
    return head


def _plain(text: str) -> str:
    # An f-string would ask a str subclass (an enum, say) how it wants to look.
    return text if type(text) is str else str.__str__(text)


def _data_lines(data: Any) -> bytes:
    payload = _text(data) if isinstance(data, _TEXT) else to_json(data)
    # `10 in` searches for a byte; `b"\n" in` would be ten times slower on so short a text.
    if 10 in payload or 13 in payload:
        payload = _one_newline(payload).replace(b"\n", b"\ndata: ")
    return b"data: " + payload + b"\n"


_TEXT = (str, bytes, bytearray, memoryview)


def _text(data: str | bytes | bytearray | memoryview) -> bytes:
    if isinstance(data, str):
        return to_utf8(data)
    data = bytes(data)
    try:
        data.decode()
    except UnicodeDecodeError as exc:
        raise ValueError(
            "an event stream is UTF-8 text, and these bytes are not; send them base64-encoded, "
            'or on a Stream(format="bytes")'
        ) from exc
    return data


def _comment_lines(text: str) -> bytes:
    return b": " + _one_newline(to_utf8(text)).replace(b"\n", b"\n: ") + b"\n"


def _one_newline(text: bytes) -> bytes:
    # "Lines must be separated by either a CRLF pair, a single LF, or a single CR": these three
    # and no others. str.splitlines() would also cut at U+2028, form feeds and the like.
    return text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
