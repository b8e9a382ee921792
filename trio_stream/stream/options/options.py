"""What a stream may be told, checked once: a frozen value that many streams can share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from inspect import signature
from secrets import token_urlsafe
from typing import Any, Literal, TypedDict

from ...checks import (
    check_callable,
    check_choice,
    check_count,
    check_flag,
    check_kind,
    shown,
)
from ...codec import Format, get_format
from ...codec.decoder import DEFAULT_MAX_EVENT_BYTES
from ...codec.readings import ReadAs, check_read_as
from ..answers.compression import Compress, check_compress
from ..answers.error_answer import ErrorAnswerOption
from ..answers.response_headers import Headers, all_headers, checked_headers
from ..source.contract import UpstreamOptions
from .access import Access, Authorize
from .farewell import (
    Ends,
    ErrorEnd,
    ErrorEvent,
    EventName,
    Farewell,
    FarewellEvent,
    refuse_without_fields,
)
from .hooks import StreamHooks, Telling
from .limits import StreamLimits
from .pings import PingEvent
from .timing import Timing

__all__ = [
    "Headers",
    "StreamKeywords",
    "StreamKind",
    "StreamOptions",
    "check_status",
    "default_options",
]

#: How a stream's client learns by what id others may call the stream.
TellId = Literal["header", "event"]

#: RFC 9110, 6.4.1: "All 1xx (Informational), 204 (No Content), and 304 (Not Modified) responses
#: do not include content."
_WITHOUT_BODY = frozenset({204, 205, 304})

#: The keywords that are times.
_TIMES = frozenset(signature(Timing.checked).parameters) - {"wire"}


class StreamKeywords(TypedDict, total=False):
    """The keywords of `Stream` that hold for its whole life; see there for what each means."""

    format: Literal["sse", "ndjson", "text", "bytes"]
    retry_jitter: float
    ping: float | None
    ping_event: PingEvent | None
    flush_every: float | None
    first_event_timeout: float | None
    idle_timeout: float | None
    stall_timeout: float | None
    buffer: int
    buffer_bytes: int
    max_duration: float | None
    expires_at: float | None
    ids: Callable[[], str | int] | None
    error_event: ErrorEvent | None
    error_end: ErrorEnd
    error_answer: ErrorAnswerOption | None
    drain_timeout: float
    drain_over: float
    farewell: Farewell
    farewell_event: FarewellEvent | None
    principal: str | int | None
    authorize: Authorize | None
    recheck: float | None
    limits: StreamLimits | None
    hooks: StreamHooks | None
    on_end: Callable[[Any], None] | None
    label: str | None
    hold_headers: bool | None
    status: int
    headers: Headers | None
    tell_id: TellId | None
    compress: Compress | None
    read_as: ReadAs | None
    max_event_bytes: int
    relay_retry: bool


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """What the keywords of `Stream` that hold for its whole life come to."""

    format: Format
    buffer: int
    buffer_bytes: int
    ids: Callable[[], str | int] | None
    timing: Timing
    ends: Ends
    access: Access
    limits: StreamLimits | None
    telling: Telling
    hold_headers: bool | None
    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    chose_content_type: bool
    tell_id: TellId | None
    codings: tuple[str, ...]
    keeps_coding: bool
    upstream: UpstreamOptions

    @classmethod
    def checked(
        cls,
        *,
        format: str = "sse",
        buffer: int = 256,
        buffer_bytes: int = 2**20,
        ids: Callable[[], str | int] | None = None,
        error_event: ErrorEvent | None = None,
        error_end: ErrorEnd = "broken",
        error_answer: ErrorAnswerOption | None = None,
        farewell: Farewell = "auto",
        farewell_event: FarewellEvent | None = None,
        limits: StreamLimits | None = None,
        hold_headers: bool | None = None,
        status: int = 200,
        headers: Headers | None = None,
        tell_id: TellId | None = None,
        compress: Compress | None = None,
        **others: Any,
    ) -> StreamOptions:
        """Check every keyword; what is wrong is a `TypeError` or `ValueError` of the caller's."""
        wire = _checked_format(format, buffer, buffer_bytes, ids, limits, hold_headers)
        times = {name: others.pop(name) for name in _TIMES & others.keys()}
        return cls(
            format=wire,
            buffer=buffer,
            buffer_bytes=buffer_bytes,
            ids=ids,
            timing=Timing.checked(wire, **times),
            ends=Ends.checked(wire, error_event, error_end, farewell, farewell_event, error_answer),
            access=Access.taken_from(others),
            limits=limits,
            telling=Telling.taken_from(others),
            hold_headers=hold_headers,
            status=check_status(status),
            headers=all_headers(wire, chosen := checked_headers(headers), compress),
            chose_content_type=any(name == b"content-type" for name, _ in chosen),
            tell_id=_check_tell_id(wire, tell_id),
            codings=check_compress(wire, compress),
            keeps_coding=compress == "upstream",
            upstream=_upstream_options(wire, **others),
        )

    def headers_of(self, id: str | None) -> tuple[tuple[bytes, bytes], ...]:
        """The headers of the stream that has this id."""
        if self.tell_id != "header" or id is None:
            return self.headers
        return (*self.headers, (b"x-stream-id", id.encode()))

    def new_id(self) -> str | None:
        """An id for one of the streams, if it has to have any; nobody can guess it."""
        return None if self.tell_id is None else token_urlsafe(16)


@cache
def default_options() -> StreamOptions:
    """Those of all streams that were given none."""
    return StreamOptions.checked()


@dataclass(frozen=True, slots=True)
class StreamKind:
    """What many streams have in common, the options checked already.

    For the library: `Stream` takes one as its only argument.
    """

    callback: Callable[[Any], Any]
    options: StreamOptions
    event: EventName | None
    retry: int | Literal[False] | None


def _upstream_options(
    wire: Format,
    read_as: ReadAs | None = None,
    max_event_bytes: int = DEFAULT_MAX_EVENT_BYTES,
    relay_retry: bool = False,
    **unknown: object,
) -> UpstreamOptions:
    for keyword in unknown:
        raise TypeError(f"Stream() got an unexpected keyword argument {keyword!r}")
    check_count("max_event_bytes", max_event_bytes)
    check_flag("relay_retry", relay_retry)
    if read_as is not None:
        check_read_as(read_as)
        if wire.name == "bytes":
            raise TypeError("format='bytes' passes on what comes: there is no read_as in it")
    return UpstreamOptions(read_as or "auto", max_event_bytes, relay_retry)


def _check_tell_id(wire: Format, tell_id: TellId | None) -> TellId | None:
    if tell_id is not None:
        check_choice("tell_id", tell_id, ("header", "event"))
        if tell_id == "event":
            refuse_without_fields("tell_id='event'", wire)
    return tell_id


def _checked_format(
    format: str,
    buffer: object,
    buffer_bytes: object,
    ids: object,
    limits: object,
    hold_headers: object,
) -> Format:
    """The format of this name; what else there is to check is checked, too."""
    wire = get_format(format)
    check_count("buffer", buffer)
    check_count("buffer_bytes", buffer_bytes)
    if ids is not None:
        refuse_without_fields("ids", wire)
    check_callable("ids", ids, "returns the next id", takes=0, or_none=True)
    check_kind("limits", limits, StreamLimits, "a StreamLimits", or_none=True)
    check_flag("hold_headers", hold_headers, or_none=True)
    return wire


def check_status(status: int) -> int:
    """Refuse what is no status, or one whose response has no body."""
    if isinstance(status, bool) or not isinstance(status, int):
        raise TypeError(f"status must be an int, not {shown(status)}")
    if not 200 <= status <= 599 or status in _WITHOUT_BODY:
        raise ValueError(
            f"status {shown(status)} has no body to stream: use 200, another from 201 to 599 but "
            "204, 205 and 304, or no_reconnect to answer 204"
        )
    return int(status)
