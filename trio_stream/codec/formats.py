"""The formats a stream can have on the wire, as one table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from ..checks import check_text
from .encoder import PING, encode_sse, unwrap
from .event import EncodedEvent
from .foreign_events import as_event
from .jsonable import to_json, to_utf8

__all__ = ["FORMATS", "CodedBytes", "Format", "coded_format", "get_format"]


@dataclass(frozen=True, slots=True)
class Format:
    """How values become bytes on one kind of stream.

    Attributes:
      name: what `get_format` knows it by.
      content_type: the response's ``Content-Type``.
      has_fields: whether an event has a name, an id and a retry beside its data.
      ping: the bytes that keep a silent connection alive and mean nothing; `None` where there are
        no such bytes.
      encode: ``encode(data, event, id, retry)``, the bytes of one value. Fields that the format
        does not have are a `TypeError` unless they are `None`.
    """

    name: str
    content_type: str
    has_fields: bool
    ping: bytes | None
    encode: Callable[[Any, str | None, str | None, int | None], bytes]


def get_format(name: str) -> Format:
    """The format of this name; `ValueError` lists the names there are."""
    check_text("format", name)
    try:
        return FORMATS[name]
    except KeyError:
        names = ", ".join(map(repr, FORMATS))
        raise ValueError(f"there is no format {name!r}; the formats are {names}") from None


class CodedBytes(bytes):
    """A piece of a body in its content coding, in which nothing else has a place."""


def coded_format(coding: str) -> Format:
    """The format of a body that is passed on in its coding, piece by piece."""

    def encode(data: Any, event: str | None, id: str | None, retry: int | None) -> bytes:
        if type(data) is not CodedBytes:
            raise TypeError(
                f"an upstream's response is passed on as it is compressed ({coding}), and nothing "
                "else can be sent beside it: leave out compress='upstream'"
            )
        return data

    return Format(f"bytes in {coding}", "", has_fields=False, ping=None, encode=encode)


def _without_fields(
    name: str, content_type: str, ping: bytes | None, to_bytes: Callable[[Any], bytes]
) -> Format:
    def encode(data: Any, event: str | None, id: str | None, retry: int | None) -> bytes:
        if not (event is None and id is None and retry is None):
            raise TypeError(
                f"a stream in format {name!r} has no event, id or retry; "
                'put them into the data, or use format="sse"'
            )
        if isinstance(data, EncodedEvent):
            return unwrap(data, name)
        if as_event(data) is not None:
            raise TypeError(
                f"a stream in format {name!r} has no events; send the event's data, "
                'or use format="sse"'
            )
        return to_bytes(data)

    return Format(name, content_type, has_fields=False, ping=ping, encode=encode)


def _json_line(data: Any) -> bytes:
    if isinstance(data, (bytes, bytearray, memoryview)):
        # msgspec would make base64 of them, which is hardly what whoever sends whole values meant.
        raise TypeError(
            "JSON has no bytes: decode them to str first, or, if they are JSON lines already, "
            'send EncodedEvent(data, format="ndjson")'
        )
    return to_json(data) + b"\n"


def _text(data: Any) -> bytes:
    if isinstance(data, str):
        return to_utf8(data)
    if isinstance(data, (bytes, bytearray, memoryview)):
        # Not checked: a piece may end in the middle of a character.
        return bytes(data)
    return to_json(data)


def _bytes(data: Any) -> bytes:
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data)
    raise TypeError(
        f"a stream in format 'bytes' takes bytes, not {type(data).__name__}; "
        'encode it first, give several to send_many, or use format="text" or format="ndjson"'
    )


_ALL = (
    Format(
        "sse", "text/event-stream; charset=utf-8", has_fields=True, ping=PING, encode=encode_sse
    ),
    _without_fields("ndjson", "application/x-ndjson", b"\n", _json_line),
    _without_fields("text", "text/plain; charset=utf-8", None, _text),
    _without_fields("bytes", "application/octet-stream", None, _bytes),
)

#: Every format, by name.
FORMATS: Mapping[str, Format] = MappingProxyType({entry.name: entry for entry in _ALL})
