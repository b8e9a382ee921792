"""How many streams of this process have opened and ended, and what they sent, for its metrics."""

from __future__ import annotations

import logging
from collections import Counter
from typing import final

import trio

from ..tally import Histogram, Labels, lock

__all__ = ["StreamTally", "streams"]

log: logging.Logger = logging.getLogger("trio_stream")

#: Seconds. OpenTelemetry's bounds for a request's duration end at ten, where a stream's begin.
_BOUNDS = (0.1, 1.0, 10.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0)

#: Labels of streams that are told apart. Templates of routes are a few dozen.
_MOST_LABELS = 200

#: What the others are counted as.
_OTHER = "other"


@final
class StreamTally:
    """The served streams of this process, of whatever Trio run: by their label, or their route's.

    Attributes:
      opened, events, bytes: by label; the latter two of those that have ended.
      ended: by label and outcome.
      durations: likewise, in seconds.
    """

    def __init__(self) -> None:
        self.opened: Counter[str] = Counter()
        self.ended: Counter[Labels] = Counter()
        self.events: Counter[str] = Counter()
        self.bytes: Counter[str] = Counter()
        self.durations: Histogram = Histogram(_BOUNDS)
        self._labels: set[str] = set()
        self._open = 0
        self._clock: trio.abc.Clock | None = None
        self._shut_down_at = self._last_ended_at = 0.0

    def open(self, name: str | None) -> str:
        """A stream has opened; returns what it is counted as."""
        with lock:
            label = self._label(name)
            self.opened[label] += 1
            self._open += 1
        return label

    def end(self, label: str, outcome: str, seconds: float, events: int, size: int) -> None:
        """A stream that had opened has ended."""
        with lock:
            self.ended[label, outcome] += 1
            self.events[label] += events
            self.bytes[label] += size
            self._open -= 1
            if self._clock is not None and not self._open:
                self._last_ended_at = self._clock.current_time()
        self.durations.add(seconds, label, outcome)

    def answer(self, name: str | None, outcome: str) -> None:
        """A request was answered without a stream."""
        with lock:
            self.ended[self._label(name), outcome] += 1

    def shut_down(self) -> None:
        """A server has begun to shut down, while there are streams."""
        with lock:
            self._clock = trio.lowlevel.current_clock()
            self._shut_down_at = self._clock.current_time()
            self._last_ended_at = 0.0

    @property
    def shutdown_seconds(self) -> float:
        """From the server's shutdown to the end of the last stream, or until now; 0 before."""
        with lock:
            if self._clock is None:
                return 0.0
            return (self._last_ended_at or self._clock.current_time()) - self._shut_down_at

    def _label(self, name: str | None) -> str:
        name = name or ""
        if name not in self._labels:
            if len(self._labels) >= _MOST_LABELS:
                if _OTHER not in self._labels:
                    log.warning(
                        "streams have more than %(limit)d labels: all others are counted as "
                        "%(other)r. A label is one for many streams, and has no user's name or id "
                        "in it",
                        {"limit": _MOST_LABELS, "other": _OTHER},
                    )
                    self._labels.add(_OTHER)
                return _OTHER
            self._labels.add(name)
        return name


#: Those of this process.
streams: StreamTally = StreamTally()
