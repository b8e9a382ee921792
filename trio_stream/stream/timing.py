"""The keywords of `Stream` that are times, checked once."""

from __future__ import annotations

import math
from dataclasses import dataclass

from msgspec import UNSET, UnsetType

from ..checks import check_seconds, check_share
from ..codec import Format

__all__ = ["DEFAULT_PING", "Timing"]

#: Seconds. Of 25 proxies that were tried, none calls it silence.
DEFAULT_PING = 8.0

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
    stall_timeout: float
    max_duration: float | None
    expires_at: float | None
    drain_timeout: float
    drain_over: float

    @classmethod
    def checked(
        cls,
        wire: Format,
        *,
        retry_jitter: float = 1.0,
        ping: float | UnsetType | None = UNSET,
        stall_timeout: float | None = 30.0,
        max_duration: float | None = None,
        expires_at: float | None = None,
        drain_timeout: float = 0.0,
        drain_over: float = 0.0,
    ) -> Timing:
        """What is wrong is a `TypeError` or `ValueError` of the caller's."""
        check_seconds("stall_timeout", stall_timeout, "None waits for ever", or_none=True)
        check_seconds("max_duration", max_duration, "None means no limit", or_none=True)
        check_seconds(
            "expires_at", expires_at, "as time.time() gives them", most=_LAST_TIME, or_none=True
        )
        check_seconds("drain_timeout", drain_timeout, "0 ends the producer at once", zero=True)
        check_seconds("drain_over", drain_over, "0 ends all streams at once", zero=True)
        hint = "1 is up to as much again, 0 none; milliseconds are what retry= is in"
        check_share("retry_jitter", retry_jitter, hint, most=_MOST_JITTER)
        ping, ping_bytes = _pings(wire, ping)
        return cls(
            retry_jitter=retry_jitter,
            ping=ping,
            ping_bytes=ping_bytes,
            stall_timeout=math.inf if stall_timeout is None else stall_timeout,
            max_duration=max_duration,
            expires_at=expires_at,
            drain_timeout=drain_timeout,
            drain_over=drain_over,
        )


def _pings(wire: Format, ping: float | UnsetType | None) -> tuple[float | None, bytes | None]:
    """The seconds of silence, and what is sent then: of JSON lines nothing unasked.

    A blank line is nothing to who reads events, and many fail at one who read JSON lines.
    """
    if ping is UNSET:
        return DEFAULT_PING, wire.ping if wire.has_fields else None
    check_seconds("ping", ping, "None turns pings off", or_none=True)
    return ping, wire.ping
