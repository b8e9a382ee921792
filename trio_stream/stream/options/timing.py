"""The keywords of `Stream` that are times, checked once."""

from __future__ import annotations

import math
from dataclasses import dataclass

from msgspec import UNSET, UnsetType

from ...checks import check_seconds, check_share
from ...codec import Format
from .pings import PingEvent, PingFunction, checked_pings

__all__ = ["Timing"]

#: The end of the year 9999, as Unix time: what is later is in milliseconds.
_LAST_TIME = 253_402_300_799

#: The largest `retry_jitter`: what is more was meant in milliseconds.
_MOST_JITTER = 100


@dataclass(frozen=True, slots=True)
class Timing:
    """When a stream pings, when something is over, and when its client comes back."""

    retry_jitter: float
    ping: float | None
    ping_bytes: bytes | None
    ping_event: PingFunction | None
    flush_every: float | None
    first_event_timeout: float | None
    idle_timeout: float | None
    stall_timeout: float
    max_duration: float | None
    expires_at: float | None
    drain_timeout: float
    drain_over: float

    @property
    def listens(self) -> bool:
        """Whether it is for the stream to find out that its producer says nothing."""
        return self.first_event_timeout is not None or self.idle_timeout is not None

    @classmethod
    def checked(
        cls,
        wire: Format,
        *,
        retry_jitter: float = 1.0,
        ping: float | UnsetType | None = UNSET,
        ping_event: PingEvent | None = None,
        flush_every: float | None = None,
        first_event_timeout: float | None = None,
        idle_timeout: float | None = None,
        stall_timeout: float | None = 30.0,
        max_duration: float | None = None,
        expires_at: float | None = None,
        drain_timeout: float = 0.0,
        drain_over: float = 0.0,
    ) -> Timing:
        """What is wrong is a `TypeError` or `ValueError` of the caller's."""
        no_limit = "None means no limit"
        check_seconds("stall_timeout", stall_timeout, "None waits for ever", or_none=True)
        check_seconds("max_duration", max_duration, no_limit, or_none=True)
        check_seconds(
            "expires_at", expires_at, "as time.time() gives them", most=_LAST_TIME, or_none=True
        )
        check_seconds("drain_timeout", drain_timeout, "0 ends the producer at once", zero=True)
        check_seconds("drain_over", drain_over, "0 ends all streams at once", zero=True)
        hint = "1 is up to as much again, 0 none; milliseconds are what retry= is in"
        check_share("retry_jitter", retry_jitter, hint, most=_MOST_JITTER)
        check_seconds("first_event_timeout", first_event_timeout, no_limit, or_none=True)
        check_seconds("idle_timeout", idle_timeout, no_limit, or_none=True)
        check_seconds("flush_every", flush_every, "None writes each at once", or_none=True)
        ping, ping_bytes, ping_function = checked_pings(wire, ping, ping_event)
        return cls(
            retry_jitter=retry_jitter,
            ping=ping,
            ping_bytes=ping_bytes,
            ping_event=ping_function,
            flush_every=flush_every,
            first_event_timeout=first_event_timeout,
            idle_timeout=idle_timeout,
            stall_timeout=math.inf if stall_timeout is None else stall_timeout,
            max_duration=max_duration,
            expires_at=expires_at,
            drain_timeout=drain_timeout,
            drain_over=drain_over,
        )
