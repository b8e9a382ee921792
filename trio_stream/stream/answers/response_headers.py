"""Headers that a program gives to a response, checked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ...codec import Format
from ...transport.compressed import VARIES
from .compression import Compress

__all__ = ["Headers", "RawHeaders", "all_headers", "checked_headers", "with_defaults"]

Headers = Mapping[str, str] | Iterable[tuple[str, str]]

#: Names in lower case, and values, as they go out.
RawHeaders = tuple[tuple[bytes, bytes], ...]

#: Headers that frame the body: the server writes them, and a wrong one breaks the stream.
#: Connection headers are forbidden in HTTP/2 (RFC 9113, 8.2.2) and Hypercorn owns them in HTTP/1.
_SERVER_OWNED = frozenset(
    {
        "connection",
        "content-length",
        "keep-alive",
        "proxy-connection",
        "te",
        "transfer-encoding",
        "upgrade",
    }
)

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")

#: RFC 9110, 5.5: a value holds none, but for the tab.
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")

#: `no-store`: a stream is of one client and one moment. `no-transform`: proxies must not compress
#: it, which would buffer it. `x-accel-buffering: no` tells nginx the same.
_STREAM_HEADERS = (
    (b"cache-control", b"no-store, no-transform"),
    (b"x-accel-buffering", b"no"),
)

#: Chromium shows plain text in a tab or a frame only when it has a kilobyte of it, or all, to find
#: out what it is: unless it is told not to.
_PLAIN_TEXT_HEADERS = ((b"x-content-type-options", b"nosniff"),)


def all_headers(
    wire: Format, chosen: Sequence[tuple[bytes, bytes]], compress: Compress | None
) -> RawHeaders:
    """The response's headers: the format's own, where ``chosen`` does not replace them."""
    if compress is not None:
        if any(name == b"content-encoding" for name, _ in chosen):
            raise TypeError("compress= sets Content-Encoding: leave it out of headers")
        # Also of what is not compressed, for caches, though there is nothing that they may keep.
        chosen = [*chosen, VARIES]
    kind = (b"content-type", wire.content_type.encode())
    more = _PLAIN_TEXT_HEADERS if wire.name == "text" else ()
    return with_defaults((kind, *_STREAM_HEADERS, *more), chosen)


def with_defaults(defaults: RawHeaders, chosen: Sequence[tuple[bytes, bytes]]) -> RawHeaders:
    """The headers that were chosen, behind the defaults that they do not replace."""
    names = {name for name, _ in chosen}
    return (*(pair for pair in defaults if pair[0] not in names), *chosen)


def checked_headers(given: Any) -> list[tuple[bytes, bytes]]:
    """Names in lower case, and values; what is wrong is a `TypeError` or a `ValueError`."""
    if given is None:
        return []
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise TypeError(
            f"headers must be a mapping or pairs of str, not of type {type(given).__name__}"
        )
    return [_checked_header(pair) for pair in _pairs(given)]


def _pairs(given: Iterable[Any]) -> Iterable[Any]:
    return given.items() if isinstance(given, Mapping) else given


def _checked_header(pair: Any) -> tuple[bytes, bytes]:
    if not (isinstance(pair, tuple | list) and len(pair) == 2):
        raise TypeError(f"headers are pairs of str, not of type {type(pair).__name__}")
    name, value = _text(pair[0]).lower(), _text(pair[1])
    if name in _SERVER_OWNED:
        raise ValueError(f"headers must not set {name!r}: the server frames the stream")
    # RFC 9110, 5.6.2: a field name is a token.
    if not _TOKEN.fullmatch(name):
        raise ValueError(f"{name!r} is not a header name")
    # The value is not told: a cookie is a secret.
    if _CONTROL.search(value):
        raise ValueError(f"the header {name!r} holds a line break or NUL or the like")
    try:
        return name.encode("ascii"), value.strip().encode("latin-1")
    except UnicodeEncodeError:
        raise ValueError(f"the header {name!r} holds what is not in Latin-1: escape it") from None


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, str):
        return value
    raise TypeError(f"headers are pairs of str, not of type {type(value).__name__}")
