"""Blocking iterables: a generator over a database cursor, a file, anything with ``__iter__``.

One worker thread runs the iterable for its whole life, because SQLite's objects, among others, may
not change threads. Values cross to the stream as they come: one at a time when they come slowly,
many to a hop when many are there.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from math import inf
from typing import Any

import outcome
import trio

from ..upstream.foreign import hang_up
from .contract import CLOSE_TIMEOUT, HeadersWaitFor, Sink

__all__ = ["BlockingSource", "current_blocking_limiter", "thread_wait"]

log: logging.Logger = logging.getLogger("trio_stream")

#: Values that may wait between the thread and the stream; the thread waits when they do.
_HANDOVER = 256

#: Threads for blocking iterables. Each is held for a stream's whole life, so Trio's own default of
#: 40, which is meant for short calls, would be used up by 40 slow clients.
_THREADS = 256

_limiter: trio.lowlevel.RunVar[trio.CapacityLimiter] = trio.lowlevel.RunVar("blocking_limiter")

#: Entered around every wait for the thread. The testing kit keeps an autojump clock from jumping
#: meanwhile: to Trio a task that waits for a thread looks like one that waits for nothing.
thread_wait: trio.lowlevel.RunVar[Callable[[], AbstractContextManager[object]]] = (
    trio.lowlevel.RunVar("thread_wait", nullcontext)
)


def current_blocking_limiter() -> trio.CapacityLimiter:
    """The limiter of the threads that run blocking iterables, one per Trio run.

    Its ``total_tokens`` may be changed. A stream whose iterable finds no free thread is open, and
    pinged, but silent until one is free. The default of 256 is this library's.
    """
    try:
        return _limiter.get()
    except LookupError:
        _limiter.set(trio.CapacityLimiter(_THREADS))
        return _limiter.get()


class _Handover:
    """Carries values from the worker thread to the stream's task."""

    def __init__(self) -> None:
        self._values: deque[Any] = deque()
        self._room = threading.Semaphore(_HANDOVER)
        self._token = trio.lowlevel.current_trio_token()
        self._wake = trio.Event()
        self._asleep = False
        self._stopped = False
        self._taken_up = threading.Lock()
        self._results: deque[outcome.Maybe[None]] = deque(maxlen=1)
        self._left = False

    def take_up(self) -> bool:
        """Whether the iterable is the caller's from now on; once, and atomic.

        Of a thread, which is to run it, or of the task, if it ends before a thread has begun.
        """
        return self._taken_up.acquire(blocking=False)

    # In the thread.

    def put(self, value: Any) -> bool:
        """Hand one value over, waiting for room; False when the stream takes no more."""
        self._room.acquire()
        if self._stopped:
            return False
        self._values.append(value)
        self._notify()
        return True

    def finish(self, result: outcome.Maybe[None]) -> outcome.Maybe[None] | None:
        """The iterable has ended, with an error or without; that comes back if the task has left.

        Exactly one of the two gets it.
        """
        self._results.append(result)
        if self._left:
            return self._take_result()
        self._notify()
        return None

    def _take_result(self) -> outcome.Maybe[None] | None:
        try:
            return self._results.pop()
        except IndexError:
            return None

    def _notify(self) -> None:
        # Only a sleeping task needs the (slow) call into Trio. The task sets the flag before it
        # looks at the values for the last time, and this thread reads it after adding one, so
        # no value is left lying.
        if self._asleep:
            try:
                self._token.run_sync_soon(self._set, idempotent=True)
            except trio.RunFinishedError:  # the thread was abandoned and has outlived the run
                self._stopped = True

    def _set(self) -> None:
        self._wake.set()

    # In the stream's task.

    async def take(self) -> list[Any]:
        """All values that are there, at least one; raises `trio.EndOfChannel` after the last."""
        while not self._values:
            self._asleep, self._wake = True, trio.Event()
            if not self._values and not self._results:
                with thread_wait.get()():
                    await self._wake.wait()
            self._asleep = False
            if not self._values and (result := self._take_result()) is not None:
                result.unwrap()
                raise trio.EndOfChannel
        values = [self._values.popleft() for _ in range(len(self._values))]
        self._room.release(len(values))
        return values

    def leave(self) -> outcome.Maybe[None] | None:
        """How the iterable has ended, if it has and nobody knows yet: the last look of the task."""
        self._left = True
        return self._take_result()

    def stop(self) -> None:
        """Make the thread end at its next value."""
        self._stopped = True
        self._room.release()


class BlockingSource:
    """An iterable that may block, run in one worker thread from its first value to its close."""

    headers_wait_for: HeadersWaitFor = "item"

    def __init__(self, iterable: Iterable[Any]) -> None:
        self._iterable = iterable

    async def run(self, sink: Sink) -> None:
        handover = _Handover()
        # The thread is waited for, however this task ends, but not for ever: it is the one thing
        # that may outlive its stream, because Python cannot stop a thread.
        thread = trio.CancelScope(shield=True)
        hung_up = False
        with ExitStack() as waiting:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._run_thread, handover, thread, sink)
                # Captured, so that the nursery does not wrap it in a group of our making.
                result = await outcome.acapture(_forward, handover, sink)
                handover.stop()
                never_ran = handover.take_up()
                if isinstance(result, outcome.Error) and not never_ran:
                    # The thread may be waiting for an upstream that is silent.
                    hung_up = hang_up(self._iterable)
                waiting.enter_context(thread_wait.get()())
                if never_ran:
                    thread.cancel()  # it is still waiting for a free thread
                else:
                    thread.deadline = trio.current_time() + CLOSE_TIMEOUT
        if never_ran:
            self.close_unawaited()
        ended = handover.leave()
        if ended is not None and not hung_up:  # else it has failed because of that
            ended.unwrap()
        result.unwrap()

    async def _run_thread(self, handover: _Handover, scope: trio.CancelScope, sink: Sink) -> None:
        with scope:
            await trio.to_thread.run_sync(
                self._work,
                handover,
                abandon_on_cancel=True,
                limiter=current_blocking_limiter(),
            )
        if scope.cancelled_caught and scope.deadline < inf:
            log.warning(
                "the blocking iterable %(source)r did not return within %(timeout)g s of its "
                "stream's end; its thread was abandoned",
                {"source": self._iterable, "timeout": CLOSE_TIMEOUT, **sink.facts()},
            )

    def _work(self, handover: _Handover) -> None:
        if not handover.take_up():
            return
        result = handover.finish(outcome.capture(self._iterate, handover))
        if isinstance(result, outcome.Error):
            log.error(
                "the abandoned thread of %(source)r failed",
                {"source": self._iterable, "error": result.error},
                exc_info=result.error,
            )

    def _iterate(self, handover: _Handover) -> None:
        # A generator, file, cursor or SDK's stream object that was handed over is closed in the
        # thread it ran in; an iterable that only made an iterator stays the user's.
        iterable = self._iterable
        with ExitStack() as closing:
            if isinstance(iterable, Iterator | AbstractContextManager):
                closing.callback(_close, iterable)
            iterator = iter(iterable)
            if iterator is not iterable:
                closing.callback(_close, iterator)
            for value in iterator:
                if not handover.put(value):
                    break

    async def aclose(self) -> None:
        self.close_unawaited()

    def close_unawaited(self) -> bool:
        _close(self._iterable)
        return True


def _close(iterable: object) -> None:
    close = getattr(iterable, "close", None)
    if close is not None:
        close()


async def _forward(handover: _Handover, sink: Sink) -> None:
    put = sink.put
    while True:
        try:
            values = await handover.take()
        except trio.EndOfChannel:
            return
        for value in values:
            if (wait := put(value)) is not None:
                await wait
