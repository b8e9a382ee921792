"""Values to JSON, one line of bytes, or an error that says what to do about it."""

from __future__ import annotations

import math
import re
from collections.abc import AsyncIterable, Awaitable, Iterable, Mapping
from functools import lru_cache
from inspect import iscoroutine
from typing import Any

import msgspec

from .event_classes import event_package

__all__ = ["escape_line_ends", "to_json", "to_utf8"]


def to_json(value: Any) -> bytes:
    """Encode a value as JSON on one line.

    Takes what JSON has, and dataclasses, attrs classes, msgspec structs, pydantic models, mappings,
    sets, enums, `datetime`, `UUID` and `Decimal`. Bytes inside a value become base64 text. A
    pydantic model is written by its own ``model_dump_json(by_alias=True)``, its configuration
    included; one that an SDK has made of an answer without what was not in it, and without the
    answer's HTTP headers.

    U+2028, U+2029 and U+0085 are escaped, as in ``"\\u2028"``: clients that cut lines as
    `str.splitlines` does would cut a value there.

    Raises:
      TypeError: there is something in the value that JSON has no form for, or an event: several are
        no value.
      ValueError: a NaN, an infinity, half of a surrogate pair, or nesting without end: JSON could
        only hold something else in their place.
    """
    try:
        encoded = _encode(value)
        # msgspec writes NaN and the infinities as null: so only a text with a null in it, be it in
        # a string, pays for a second look.
        if encoded.find(b"null") >= 0:
            if _holds_non_finite(value):
                raise ValueError("JSON has no NaN and no infinity; send None or a string instead")
            if _AS_OF_AN_EVENT(encoded) and _holds_event(value):
                raise TypeError(_IS_EVENT)
    except RecursionError:
        raise ValueError("the value contains itself, or is nested too deeply for JSON") from None
    except UnicodeEncodeError as exc:
        raise ValueError(_HALF_PAIR) from exc
    # `10 in` searches for a byte; `b"\n" in` would be ten times slower on so short a text.
    if 10 in encoded or 13 in encoded:
        # Somebody's own JSON (msgspec.Raw, model_dump_json), laid out over many lines.
        encoded = msgspec.json.format(encoded, indent=-1)
    # Costs 0.02 us for ASCII and below 0.1 us for nearly all other text. To search for the three
    # themselves takes several times as long as to encode a text in Chinese.
    if not encoded.isascii() and (
        (0xE2 in encoded and (0xA8 in encoded or 0xA9 in encoded))
        or (0xC2 in encoded and 0x85 in encoded)
    ):
        return escape_line_ends(encoded)
    return encoded


def to_utf8(text: str) -> bytes:
    """Encode text as UTF-8; `ValueError` if it holds half of a surrogate pair."""
    try:
        return text.encode()
    except UnicodeEncodeError as exc:
        raise ValueError(_HALF_PAIR) from exc


def escape_line_ends(encoded: bytes) -> bytes:
    """JSON without what ends a line for others: it can only stand in a string there."""
    text = encoded.decode(errors="replace")  # a str is searched faster than bytes are
    for character, escape in _LINE_ENDS:
        if character in text:
            encoded = encoded.replace(character.encode(), escape)
    return encoded


_LINE_ENDS = (("\u2028", rb"\u2028"), ("\u2029", rb"\u2029"), ("\x85", rb"\u0085"))

_IS_EVENT = (
    "an event within a value would be JSON of its fields: send_many sends several events, and "
    "publish_many publishes them; what one says is its data"
)

_HALF_PAIR = (
    "the text holds half of a surrogate pair, which UTF-8 cannot carry; "
    'make it text.encode("utf-8", "replace").decode() first'
)


def _extend(value: Any) -> Any:
    """Give msgspec something it knows in place of a `value` that it doesn't."""
    kind: Any = type(value)
    if event_package(kind) is not None:
        raise TypeError(_IS_EVENT)
    dump_json = getattr(kind, "model_dump_json", None)
    if dump_json is not None:
        return msgspec.Raw(dump_json(value, by_alias=True, **_omissions(kind)))
    known = _to_known(value)
    if known is None:
        name = type(value).__qualname__
        if isinstance(value, Awaitable):
            if iscoroutine(value):
                value.close()  # this says it, and not a warning as well
            raise TypeError(f"{name} has no JSON form: await it, and send what comes of it")
        if isinstance(value, Iterable | AsyncIterable) and not isinstance(value, tuple | frozenset):
            what = "a list first, or give it to send_many or publish_many, for an event of each"
        else:
            what = (
                "a dict, list or str (a key: into a str) first; dataclasses, and attrs, msgspec "
                "and pydantic classes, are taken as they are"
            )
        raise TypeError(f"{name} has no JSON form; turn it into {what}")
    return known


#: Packages whose models are what an API has sent. To leave out what is not set leaves out what it
#: has not sent; of a model of the program's own it would leave out defaults, which are values.
_PARSED = (
    "anthropic.",
    "cerebras.",
    "cohere.",
    "google.genai.",
    "groq.",
    "mistralai.",
    "ollama.",
    "openai.",
    "together.",
)


@lru_cache(maxsize=256)
def _omissions(model: type[object]) -> dict[str, Any]:
    """What a pydantic model leaves out, as arguments of ``model_dump_json``."""
    if not any(f"{base.__module__}.".startswith(_PARSED) for base in model.__mro__):
        return {}
    # google-genai's models hold the headers of the response: they are nobody's but the server's.
    return {"exclude_unset": True, "exclude": {"sdk_http_response"}}


def _to_known(value: Any) -> Any:
    """The built-in that this is a kind of, or `None`.

    `None` for a pydantic model too: whether it may have a NaN is for its own configuration to say.
    """
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int) and not isinstance(value, bool):  # a bool comes here as a key
        return int(value)
    if isinstance(value, float):
        return float(value)
    return None


_encode = msgspec.json.Encoder(enc_hook=_extend).encode
_pack = msgspec.msgpack.Encoder(enc_hook=_to_known).encode

# What MessagePack has for a NaN or an infinity: its mark of a float, then an exponent of ones.
_NON_FINITE = re.compile(rb"\xcb[\x7f\xff][\xf0-\xff]")


def _holds_non_finite(value: Any) -> bool:
    try:
        # Costs as much as the JSON did, where a walk in Python would cost ten times that.
        if _NON_FINITE.search(_pack(value)) is None:
            return False
    except OverflowError:
        pass  # an integer of more than 64 bits, which MessagePack has not
    # An integer, a date or bytes can look the same, so what was found is not certain yet.
    return not _is_finite(msgspec.to_builtins(value, enc_hook=_to_known))


#: An event's fields, which are seldom all given: so it is looked for where there is a null.
_AS_OF_AN_EVENT = re.compile(rb'"(?:retry|_frame)":').search


def _holds_event(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_holds_event, value.values()))
    if isinstance(value, (list, tuple, set, frozenset)):
        return any(map(_holds_event, value))
    kind: type = type(value)
    return event_package(kind) is not None


def _is_finite(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    if isinstance(value, (list, tuple, set, frozenset)):
        return all(map(_is_finite, value))
    return True
