"""`Stream.wait`: tasks that wait for a time, woken together by the task that watches the streams.

By `trio.sleep` a producer that sends every 50 ms takes for each event a cancel scope, a place among
Trio's deadlines, an exception that is raised and caught, and a turn of its own of Trio's loop. With
500 of them that was half of all that an event cost.
"""

from __future__ import annotations

import heapq
import itertools
from math import inf
from typing import Final, final

import trio
from outcome import Value

__all__ = ["Waits"]

#: Seconds between two wakings at least: whoever is due by then is woken in one turn. As much as
#: Trio is late anyhow: it gives the kernel its timeout in whole milliseconds, rounded up.
_APART = 0.001

#: Waits that were cancelled and are still in the heap, besides as many as are not.
_CANCELLED = 64


class _Wait:
    """One of these; without its task when that waits no more."""

    __slots__ = ("task", "waits")

    def __init__(self, waits: Waits, task: trio.lowlevel.Task) -> None:
        self.waits: Final = waits
        self.task: trio.lowlevel.Task | None = task

    def abort(self, _: object) -> trio.lowlevel.Abort:
        self.task = None
        self.waits.note_cancelled()
        return trio.lowlevel.Abort.SUCCEEDED


@final
class Waits:
    """Tasks and the times for which they wait, on Trio's clock; somebody else wakes them."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, _Wait]] = []
        self._counter = itertools.count()
        self._cancelled = 0
        self._woken = -inf

    @property
    def next_wake(self) -> float:
        """When to call `wake_due` next."""
        return max(self._heap[0][0], self._woken + _APART) if self._heap else inf

    async def until(self, when: float) -> bool:
        """Wait until then, or, which is False, until `let_go`."""
        wait = _Wait(self, trio.lowlevel.current_task())
        heapq.heappush(self._heap, (when, next(self._counter), wait))
        due: bool = await trio.lowlevel.wait_task_rescheduled(wait.abort)
        return due

    def note_cancelled(self) -> None:
        """One of them waits no more, and is still in the heap."""
        self._cancelled += 1
        if 2 * self._cancelled > len(self._heap) + _CANCELLED:
            self._heap = [entry for entry in self._heap if entry[2].task is not None]
            heapq.heapify(self._heap)
            self._cancelled = 0

    def wake_due(self, now: float) -> None:
        """Wake those that have waited long enough."""
        if self._heap and self._heap[0][0] <= now:
            self._woken = now
            self._wake(now, due=True)

    def let_go(self) -> None:
        """Wake all: nobody will do it in time."""
        self._wake(inf, due=False)

    def _wake(self, until: float, *, due: bool) -> None:
        heap = self._heap
        while heap and heap[0][0] <= until:
            wait = heapq.heappop(heap)[2]
            task, wait.task = wait.task, None
            if task is None:
                self._cancelled -= 1
            else:
                trio.lowlevel.reschedule(task, Value(due))
