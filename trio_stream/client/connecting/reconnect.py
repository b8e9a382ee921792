"""When to come back: the reconnection policy, and what a server says about it."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from math import ldexp

from ...checks import check_count, check_seconds

__all__ = ["ReconnectPolicy", "read_retry_after"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconnectPolicy:
    """How long an `EventSource` waits before it reconnects, and when it gives up.

    It waits as long as the server asked for by ``retry`` or ``Retry-After``; after failures in a
    row it adds a random time from a window that doubles with each of them, so that a server that
    comes back does not meet all of its clients at once.

    Raises:
      TypeError, ValueError: an option of the wrong type, or out of its range.

    Attributes:
      delay: seconds to wait while the server has sent no ``retry``. 3 is Chromium's.
      min_delay: seconds, the shortest wait that a server may ask for: a shorter ``retry`` is
        lengthened to it, so that ``retry: 0`` and a proper end make no busy loop. Browsers obey
        that; half a second is what nobody who meant to poll misses. 0 does as they do.
      backoff: seconds, the window after the first failure in a row.
      max_backoff: seconds, the widest window.
      max_delay: seconds, the longest wait that a server may ask for. A longer ``retry`` is cut
        down to it, also where that is below ``min_delay``; a longer ``Retry-After`` ends the event
        source with its status error.
      max_failures: how many failures in a row end the event source; None, as in browsers, is never.
    """

    delay: float = 3.0
    min_delay: float = 0.5
    backoff: float = 1.0
    max_backoff: float = 60.0
    max_delay: float = 3600.0
    max_failures: int | None = None

    def __post_init__(self) -> None:
        for name in ("delay", "min_delay", "backoff", "max_backoff", "max_delay"):
            check_seconds(name, getattr(self, name), zero=True)
        check_count("max_failures", self.max_failures, "None means never", or_none=True)

    def wait(self, failures: int, retry: int | None = None, retry_after: float = 0.0) -> float:
        """Seconds to wait before the next attempt.

        Args:
          failures: how many attempts in a row have failed; 0 after a stream that ended properly.
          retry: the server's ``retry``, in milliseconds, if it has sent one.
          retry_after: the ``Retry-After`` of its last answer, in seconds.
        """
        asked = self.delay if retry is None else self._bounded(retry / 1000)
        return max(asked, retry_after) + random.uniform(0, self._window(failures))

    def _bounded(self, seconds: float) -> float:
        return min(max(seconds, self.min_delay), self.max_delay)

    def _window(self, failures: int) -> float:
        if failures == 0:
            return 0.0
        return min(self.max_backoff, ldexp(self.backoff, min(failures - 1, 100)))


def read_retry_after(value: str | None) -> float:
    """A ``Retry-After`` header in seconds from now; 0 when there is none, or none that makes sense.

    "The Retry-After field value can be either an HTTP-date or a number of seconds to delay after
    receiving the response." (RFC 9110)
    """
    value = (value or "").strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        date = parsedate_to_datetime(value)
        # "Recipients of a timestamp value in the asctime-date format MUST interpret that timestamp
        # as representing UTC"
        until = date if date.tzinfo else date.replace(tzinfo=UTC)
        return max(0.0, until.timestamp() - time.time())
    except (ValueError, OverflowError):
        return 0.0
