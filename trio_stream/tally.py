"""What is counted in this process for its metrics, where something begins or ends.

Metrics are read by threads of their own, at any time, while Trio runs. So what changes together
changes under one lock, which nobody holds for longer than it takes to copy what is there. Nothing
here is called for an event.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import final

__all__ = ["Histogram", "HistogramValue", "Labels", "lock"]

#: Who holds it may count more than one thing, each of which takes it, too.
lock: AbstractContextManager[bool] = threading.RLock()

Labels = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HistogramValue:
    """How many values were at most each bound, but above the one before; the last above all."""

    counts: tuple[int, ...]
    sum: float


@final
class Histogram:
    """How often values fell where.

    Args:
      bounds: in rising order.

    Attributes:
      listeners: called with each value and its labels, for who keeps histograms himself.
    """

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds: tuple[float, ...] = bounds
        self.listeners: list[Callable[[float, Labels], None]] = []
        self._counts: dict[Labels, list[int]] = {}
        self._sums: dict[Labels, float] = {}

    def add(self, value: float, *labels: str) -> None:
        """Count a value."""
        with lock:
            counts = self._counts.get(labels)
            if counts is None:
                counts = self._counts[labels] = [0] * (len(self.bounds) + 1)
                self._sums[labels] = 0.0
            counts[bisect_left(self.bounds, value)] += 1
            self._sums[labels] += value
        for listener in self.listeners:
            listener(value, labels)

    def values(self) -> Mapping[Labels, HistogramValue]:
        """What was counted so far; a snapshot."""
        with lock:
            return {
                labels: HistogramValue(tuple(counts), self._sums[labels])
                for labels, counts in self._counts.items()
            }
