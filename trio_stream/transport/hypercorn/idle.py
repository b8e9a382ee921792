"""Connections that wait for a request: one task for all of a worker's, not one in each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple, final

import trio

if TYPE_CHECKING:
    from hypercorn.trio.task_group import TaskGroup
    from hypercorn.typing import Event

__all__ = ["IdleConnections", "IdleTimer"]

Action = Callable[[], Awaitable[None]]


class _Wait(NamedTuple):
    until: float
    action: Action


class IdleConnections:
    """The idle connections of a worker, and what is to be done when each has waited long enough."""

    def __init__(self) -> None:
        self._seconds = inf
        self._terminated: Event | None = None
        self._nursery: trio.Nursery | None = None
        #: All wait equally long: who has come first is the first whose time is over.
        self._waits: dict[IdleTimer, _Wait] = {}
        self._sleep = trio.CancelScope()

    def begin(self, seconds: float, terminated: Event) -> None:
        """Each connection may wait so long, none once the worker has been told to end.

        Called in the task of a connection; beside the first one's a task looks after all.
        """
        if self._nursery is None:
            self._seconds, self._terminated = seconds, terminated
            self._nursery = trio.lowlevel.current_task().parent_nursery
            assert self._nursery is not None
            self._nursery.start_soon(self._run, terminated)

    def add(self, timer: IdleTimer, action: Action) -> None:
        """It waits from now on."""
        self.discard(timer)
        until = trio.current_time() + self._seconds
        self._waits[timer] = _Wait(until, action)
        if self._terminated is not None and self._terminated.is_set():
            self._end(timer)
        elif self._sleep.deadline > until:
            self._sleep.deadline = until

    def discard(self, timer: IdleTimer) -> None:
        """It waits no longer."""
        self._waits.pop(timer, None)

    async def _run(self, terminated: Event) -> None:
        while not terminated.is_set():
            first = next(iter(self._waits.values()), None)
            with trio.CancelScope(deadline=inf if first is None else first.until) as self._sleep:
                await terminated.wait()
            self._end_until(trio.current_time())
        self._end_until(inf)

    def _end_until(self, when: float) -> None:
        while self._waits:
            timer, wait = next(iter(self._waits.items()))
            if wait.until > when:
                break
            self._end(timer)

    def _end(self, timer: IdleTimer) -> None:
        assert self._nursery is not None
        self._nursery.start_soon(timer.end, self._waits.pop(timer).action)


@final
class IdleTimer:
    """In place of a connection's `TrioSingleTask`, which starts a task that waits."""

    __slots__ = ("_connections", "_is_over")

    def __init__(self, connections: IdleConnections) -> None:
        self._connections: Final = connections
        self._is_over = False

    async def restart(self, task_group: TaskGroup, action: Action) -> None:
        """Have ``action`` run when the time is over, counted from now."""
        self._is_over = True
        self._connections.add(self, action)

    async def stop(self) -> None:
        """The connection waits no longer."""
        self._is_over = False
        self._connections.discard(self)

    async def end(self, action: Action) -> None:
        """Run ``action``, unless a request has come in this very turn."""
        if self._is_over:
            await action()
