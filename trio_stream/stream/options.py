"""What a stream may be told, checked once: a frozen value that many streams can share."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

from ..codec import Format, ServerSentEvent, get_format
from ..codec.decoder import DEFAULT_MAX_EVENT_BYTES
from ..codec.readings import ReadAs, check_read_as
from .limits import StreamLimits
from .source.contract import UpstreamOptions

__all__ = ["ErrorEvent", "Headers", "StreamKeywords", "StreamKind", "StreamOptions"]

Headers = Mapping[str, str] | Iterable[tuple[str, str]]
ErrorEvent = ServerSentEvent | Callable[[BaseException], ServerSentEvent | None]

#: Headers that frame the body: the server writes them, and a wrong one breaks the stream.
#: Connection headers are forbidden in HTTP/2 (RFC 9113, 8.2.2) and Hypercorn owns them in HTTP/1.
_SERVER_OWNED = frozenset({"content-length", "transfer-encoding", "connection", "keep-alive"})

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")

#: RFC 9110, 6.4.1: "All 1xx (Informational), 204 (No Content), and 304 (Not Modified) responses
#: do not include content."
_WITHOUT_BODY = frozenset({204, 205, 304})

#: `no-store`: a stream is of one client and one moment. `no-transform`: proxies must not compress
#: it, which would buffer it. `x-accel-buffering: no` tells nginx the same.
_STREAM_HEADERS = {
    "cache-control": "no-store, no-transform",
    "x-accel-buffering": "no",
}


class StreamKeywords(TypedDict, total=False):
    """The keywords of `Stream` that hold for its whole life; see there for what each means."""

    format: Literal["sse", "ndjson", "text", "bytes"]
    ping: float | None
    stall_timeout: float | None
    buffer: int
    buffer_bytes: int
    max_duration: float | None
    expires_at: float | None
    ids: Callable[[], str | int] | None
    error_event: ErrorEvent | None
    drain_timeout: float
    limits: StreamLimits | None
    on_end: Callable[[Any], None] | None
    status: int
    headers: Headers | None
    read_as: ReadAs | None
    max_event_bytes: int
    relay_retry: bool


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """What the keywords of `Stream` that hold for its whole life come to."""

    format: Format
    ping: float | None
    stall_timeout: float
    buffer: int
    buffer_bytes: int
    max_duration: float | None
    expires_at: float | None
    ids: Callable[[], str | int] | None
    error_event: ErrorEvent | None
    drain_timeout: float
    limits: StreamLimits | None
    on_end: Callable[[Any], None] | None
    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    chose_content_type: bool
    upstream: UpstreamOptions

    @classmethod
    def checked(
        cls,
        *,
        format: str = "sse",
        ping: float | None = 15.0,
        stall_timeout: float | None = 30.0,
        buffer: int = 256,
        buffer_bytes: int = 2**20,
        max_duration: float | None = None,
        expires_at: float | None = None,
        ids: Callable[[], str | int] | None = None,
        error_event: ErrorEvent | None = None,
        drain_timeout: float = 0.0,
        limits: StreamLimits | None = None,
        on_end: Callable[[Any], None] | None = None,
        status: int = 200,
        headers: Headers | None = None,
        read_as: ReadAs | None = None,
        max_event_bytes: int = DEFAULT_MAX_EVENT_BYTES,
        relay_retry: bool = False,
    ) -> StreamOptions:
        """Check every keyword; what is wrong is a `TypeError` or `ValueError` of the caller's."""
        wire = get_format(format)
        if not wire.has_fields:
            _refuse_event_fields(wire.name, ids=ids, error_event=error_event)
        _check_times(ping, stall_timeout, max_duration, expires_at)
        _check_seconds("drain_timeout", drain_timeout, "0 ends the producer at once", least=0.0)
        _check_count("buffer", buffer)
        _check_count("buffer_bytes", buffer_bytes)
        _check_callables(ids, error_event, on_end)
        chosen = _checked_headers(headers)
        return cls(
            format=wire,
            ping=ping,
            stall_timeout=math.inf if stall_timeout is None else stall_timeout,
            buffer=buffer,
            buffer_bytes=buffer_bytes,
            max_duration=max_duration,
            expires_at=expires_at,
            ids=ids,
            error_event=error_event,
            drain_timeout=drain_timeout,
            limits=limits,
            on_end=on_end,
            status=_check_status(status),
            headers=_all_headers(wire, chosen),
            chose_content_type=any(name == b"content-type" for name, _ in chosen),
            upstream=_upstream_options(wire, read_as, max_event_bytes, relay_retry),
        )


@dataclass(frozen=True, slots=True)
class StreamKind:
    """What many streams have in common, the options checked already.

    For the library: `Stream` takes one as its only argument.
    """

    callback: Callable[[Any], Any]
    options: StreamOptions
    event: str | None
    retry: int | None


def _upstream_options(
    wire: Format, read_as: ReadAs | None, max_event_bytes: int, relay_retry: bool
) -> UpstreamOptions:
    _check_count("max_event_bytes", max_event_bytes)
    if read_as is not None:
        check_read_as(read_as)
        if wire.name == "bytes":
            raise TypeError("format='bytes' passes on what comes: there is no read_as in it")
    return UpstreamOptions(read_as or "auto", max_event_bytes, relay_retry)


def _refuse_event_fields(name: str, **given: object) -> None:
    for keyword, value in given.items():
        if value is not None:
            raise TypeError(
                f"{keyword}= needs format='sse': a {name} stream has no events that could carry it"
            )


def _check_times(
    ping: float | None,
    stall_timeout: float | None,
    max_duration: float | None,
    expires_at: float | None,
) -> None:
    _check_seconds_or_none("ping", ping, "None turns pings off")
    _check_seconds_or_none("stall_timeout", stall_timeout, "None waits for ever")
    _check_seconds_or_none("max_duration", max_duration, "None means no limit")
    _check_seconds_or_none("expires_at", expires_at, "as time.time() gives them")


def _check_callables(ids: object, error_event: object, on_end: object) -> None:
    if not isinstance(error_event, ServerSentEvent):
        _check_callable("error_event", error_event, "takes the exception, or a ServerSentEvent")
    _check_callable("ids", ids, "returns the next id")
    _check_callable("on_end", on_end, "takes the stream")


def _check_callable(name: str, value: object, what: str) -> None:
    if value is not None and not callable(value):
        raise TypeError(f"{name} must be a callable that {what}, not {value!r}")


def _check_seconds_or_none(name: str, value: float | None, hint: str) -> None:
    if value is not None:
        _check_seconds(name, value, hint)


def _check_seconds(name: str, value: float, hint: str, *, least: float | None = None) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number of seconds, not {value!r}; {hint}")
    allowed = value > 0 if least is None else value >= least
    if not allowed:  # also for NaN, which compares false to everything
        bound = "more than 0" if least is None else f"at least {least:g}"
        raise ValueError(f"{name} must be {bound} seconds, not {value!r}; {hint}")


def _check_count(name: str, value: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an int, not {value!r}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, not {value!r}")


def _check_status(status: int) -> int:
    if isinstance(status, bool) or not isinstance(status, int):
        raise TypeError(f"status must be an int, not {status!r}")
    if not 200 <= status <= 599 or status in _WITHOUT_BODY:
        raise ValueError(
            f"status {status} has no body to stream: use 200, or no_reconnect to answer 204"
        )
    return int(status)


def _all_headers(
    wire: Format, chosen: list[tuple[bytes, bytes]]
) -> tuple[tuple[bytes, bytes], ...]:
    """The response's headers: the format's own, where ``chosen`` does not replace them."""
    names = {name for name, _ in chosen}
    defaults = {"content-type": wire.content_type, **_STREAM_HEADERS}
    ours = [(k.encode(), v.encode()) for k, v in defaults.items() if k.encode() not in names]
    return tuple(ours + chosen)


def _checked_headers(given: Headers | None) -> list[tuple[bytes, bytes]]:
    if given is None:
        return []
    pairs: Iterable[tuple[Any, Any]] = given.items() if isinstance(given, Mapping) else given
    return [_checked_header(name, value) for name, value in pairs]


def _checked_header(name: Any, value: Any) -> tuple[bytes, bytes]:
    name, value = _text(name).lower(), _text(value)
    if name in _SERVER_OWNED:
        raise ValueError(f"headers must not set {name!r}: the server frames the stream")
    # RFC 9110, 5.6.2: a field name is a token.
    if not _TOKEN.fullmatch(name):
        raise ValueError(f"{name!r} is not a header name")
    if any(c in value for c in "\r\n\0"):
        raise ValueError(f"the header {name!r} holds a line break or NUL: {value!r}")
    return name.encode("ascii"), value.strip().encode("latin-1")


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, str):
        return value
    raise TypeError(f"headers are pairs of str, not {value!r}")
