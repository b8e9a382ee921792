"""One thread for objects that may not change threads, and the way to it from Trio."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from queue import SimpleQueue
from time import perf_counter
from typing import Any, TypeVar, final

import outcome
import trio

from ...stream.source.blocking import thread_wait

__all__ = ["Worker"]

T = TypeVar("T")
Job = tuple[Callable[[], Any], Callable[[outcome.Maybe[Any]], None]]


@final
class Worker:
    """Runs functions in one thread, one after another, in the order in which they came."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._token = trio.lowlevel.current_trio_token()
        #: Shielded: nothing but `finish` ends it.
        self._life = trio.CancelScope(shield=True)
        self._ended = trio.Event()
        self._done = threading.Event()
        #: When it began with what it is doing, by `perf_counter`, or None.
        self.busy_since: float | None = None
        #: Those who wait in `call`.
        self._waiting: set[trio.lowlevel.Task] = set()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """The thread's life: until `finish`, whatever is cancelled."""
        task_status.started()
        with self._life:
            # A limiter of its own: a thread that is held for the broker's life is nobody's turn.
            limiter = trio.CapacityLimiter(1)
            await trio.to_thread.run_sync(self._work, limiter=limiter, abandon_on_cancel=True)
        self._ended.set()
        for task in self._waiting:
            trio.lowlevel.reschedule(task, outcome.Error(trio.ClosedResourceError("it hangs")))
        self._waiting.clear()

    def submit(self, function: Callable[[], T], done: Callable[[outcome.Maybe[T]], None]) -> None:
        """Run ``function`` in the thread, then ``done`` with its outcome in Trio's."""
        waiting = ExitStack()
        waiting.enter_context(thread_wait.get()())

        def finish(result: outcome.Maybe[T]) -> None:
            waiting.close()
            done(result)

        self._jobs.put((function, finish))

    async def call(self, function: Callable[..., T], *args: Any) -> T:
        """Run a function in the thread, and return or raise what it does.

        Cancelled, it does not wait for the thread, which may be at it, and leaves the function out
        if it has not begun.
        """
        waiting, task = self._waiting, trio.lowlevel.current_task()
        waiting.add(task)
        left = False

        def run() -> T | None:
            return None if left else function(*args)

        def done(result: outcome.Maybe[Any]) -> None:
            if not left and task in waiting:
                waiting.remove(task)
                trio.lowlevel.reschedule(task, result)

        def abort(_: object) -> trio.lowlevel.Abort:
            nonlocal left
            left = True
            waiting.remove(task)
            return trio.lowlevel.Abort.SUCCEEDED

        self.submit(run, done)
        result: T = await trio.lowlevel.wait_task_rescheduled(abort)
        return result

    async def finish(self, function: Callable[[], None], within: float) -> bool:
        """Do what is waiting, then this, and end the thread; returns whether it was done.

        What has not been done in so many seconds, the thread does when it goes on, if the process
        still lives: it is left alone.
        """
        results: list[outcome.Maybe[None]] = []
        self.submit(function, results.append)
        self._jobs.put(None)
        with trio.CancelScope(shield=True):
            # By a clock on the wall, as the disk goes by: a test's may jump.
            wait = partial(self._done.wait, within)
            if not await trio.to_thread.run_sync(wait, limiter=trio.CapacityLimiter(1)):
                self._life.cancel()
            await self._ended.wait()
        for result in results:
            result.unwrap()
        return bool(results)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            function, done = job
            self.busy_since = perf_counter()
            result = outcome.capture(function)
            self.busy_since = None
            with suppress(trio.RunFinishedError):  # it was left, and has outlived the run
                self._token.run_sync_soon(done, result)
            del job, function, done, result  # it may be long until the next, and they hold much
        self._done.set()
