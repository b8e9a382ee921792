"""One thread for objects that may not change threads, and the way to it from Trio."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from queue import SimpleQueue
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
        self._ending = ExitStack()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """The thread's life: until `stop`, whatever is cancelled. Every job that came is done."""
        task_status.started()
        with trio.CancelScope(shield=True), self._ending:
            # A limiter of its own: a thread that is held for the broker's life is nobody's turn.
            await trio.to_thread.run_sync(self._work, limiter=trio.CapacityLimiter(1))

    def submit(self, function: Callable[[], T], done: Callable[[outcome.Maybe[T]], None]) -> None:
        """Run ``function`` in the thread, then ``done`` with its outcome in Trio's."""
        waiting = ExitStack()
        waiting.enter_context(thread_wait.get()())

        def finish(result: outcome.Maybe[T]) -> None:
            waiting.close()
            done(result)

        self._jobs.put((function, finish))

    async def call(self, function: Callable[..., T], *args: Any) -> T:
        """Run a function in the thread, and return or raise what it does. Not cancellable."""
        task = trio.lowlevel.current_task()

        def done(result: outcome.Maybe[T]) -> None:
            trio.lowlevel.reschedule(task, result)

        self.submit(lambda: function(*args), done)
        result: T = await trio.lowlevel.wait_task_rescheduled(_not_now)
        return result

    def stop(self) -> None:
        """Let the thread end when it has done what is waiting."""
        self._ending.enter_context(thread_wait.get()())
        self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            function, done = job
            self._token.run_sync_soon(done, outcome.capture(function))
            del job, function, done  # it may be long until the next one, and they hold much


def _not_now(_: object) -> trio.lowlevel.Abort:
    return trio.lowlevel.Abort.FAILED  # the thread is at it, and soon done
