"""The tasks of a stream: those of its nursery, and those that wait until there is one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, final

import trio

__all__ = ["StreamTasks", "Task"]

#: A function, its arguments, and the name for its task or None.
Task = tuple[Callable[..., Awaitable[object]], tuple[Any, ...], object]


@final
class StreamTasks:
    """A nursery that can be given tasks before it is open."""

    __slots__ = ("_added", "_had_one", "_queued", "held_at", "nursery")

    def __init__(self) -> None:
        self.nursery: trio.Nursery | None = None
        #: When they were first seen to hold the stream open; infinity: the log has named them.
        self.held_at: float | None = None
        self._queued: list[Task] | None = None
        self._had_one = False
        self._added: trio.Event | None = None

    def open(self, nursery: trio.Nursery) -> None:
        """This is the nursery; what has been queued starts."""
        self.nursery = nursery
        for function, args, name in self._queued or ():
            nursery.start_soon(function, *args, name=name)
        self._queued = None

    async def run_cancelled(self) -> None:
        """Start what has been queued, cancelled already: so what its tasks hold is closed.

        That is what a nursery does with a task when it is cancelled right after `start_soon`.
        """
        if self._queued is not None:
            async with trio.open_nursery() as nursery:
                nursery.cancel_scope.cancel()
                self.open(nursery)

    def opened(self) -> trio.Nursery:
        """The nursery, for somebody who will start a task in it.

        Raises:
          RuntimeError: it is not open yet.
        """
        if self.nursery is None:
            raise RuntimeError(
                "the stream has no nursery before it is served: use stream.start_soon, which waits"
            )
        self.wake()
        return self.nursery

    def start_soon(self, task: Task) -> bool:
        """Start a task, once there is a nursery; False when it has closed already."""
        self._had_one = True
        if self.nursery is not None:
            function, args, name = task
            try:
                self.opened().start_soon(function, *args, name=name)
            except RuntimeError as error:
                # Its last task has ended, and who opened it has not had his turn to say so.
                if self.nursery.child_tasks or "closed to new arrivals" not in str(error):
                    raise
                return False
        elif self._queued is None:
            self._queued = [task]
        else:
            self._queued.append(task)
        return True

    async def start(self, task: Task) -> Any:
        """Start a task and wait for its ``task_status.started()``."""
        nursery = self.opened()
        self._had_one = True
        function, args, name = task
        return await nursery.start(function, *args, name=name)

    def had_one(self) -> bool:
        """Whether there is or was a task, the one that opened the nursery not counted."""
        return self._had_one or (self.nursery is not None and bool(self.nursery.child_tasks))

    async def wait_for_change(self) -> None:
        """Wait until there may be a first task, or `wake` is called."""
        self._added = trio.Event()
        await self._added.wait()

    def wake(self) -> None:
        """Make `wait_for_change` return."""
        if self._added is not None:
            self._added.set()

    def cancel(self) -> None:
        """Cancel all of them."""
        self.wake()
        if self.nursery is not None:
            self.nursery.cancel_scope.cancel()
