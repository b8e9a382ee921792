"""The readings of a process: none is made more often than it may cost."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import final

import trio

from ..tally import HistogramValue, Labels
from .measure import Value, Values, measure
from .table import METRICS

__all__ = ["Readings", "readings"]

#: A reading that took more of the processor than this, in seconds, is the answer to whoever asks
#: within the next `_TIMES` times as long: however often that is, it takes a tenth of a core.
_CHEAP, _TIMES = 0.001, 9


@final
class Readings:
    """What all who read metrics in this process are given."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: Values = {}
        self._fresh_until = 0.0

    def read(self) -> Values:
        """A reading, in any thread."""
        with self._lock:
            if time.monotonic() < self._fresh_until:
                return self._last
            began = time.thread_time()
            making = measure()
            try:
                while True:
                    next(making)
            except StopIteration as made:
                return self._keep(made.value, time.thread_time() - began)

    async def read_in_turns(self) -> Values:
        """A reading, in Trio, that lets other tasks run in between. A checkpoint."""
        await trio.lowlevel.checkpoint()
        if time.monotonic() < self._fresh_until:
            return self._last
        cost, making = 0.0, measure()
        while True:
            began = time.thread_time()
            try:
                next(making)
            except StopIteration as made:
                with self._lock:
                    return self._keep(made.value, cost + time.thread_time() - began)
            cost += time.thread_time() - began
            await trio.lowlevel.checkpoint()

    def forget(self) -> None:
        """Make the next one anew, whatever it costs; for tests."""
        self._fresh_until = 0.0

    def _keep(self, values: Values, cost: float) -> Values:
        # What a stream counts in two places is not read in one moment where a thread reads it: as a
        # counter that goes back says to who collects it that the process was restarted, it waits.
        for name, metric in METRICS.items():
            if metric.kind == "counter" and name in self._last:
                values[name] = _not_below(self._last[name], values[name])
        self._last = values
        self._fresh_until = 0.0 if cost < _CHEAP else time.monotonic() + _TIMES * cost
        return values


def _not_below(before: Mapping[Labels, Value], now: Mapping[Labels, Value]) -> dict[Labels, Value]:
    raised = dict(now)
    for labels, value in before.items():
        found = raised.get(labels, 0.0)
        if isinstance(found, HistogramValue) or isinstance(value, HistogramValue):
            continue
        raised[labels] = max(found, value)
    return raised


#: Those of this process.
readings: Readings = Readings()
