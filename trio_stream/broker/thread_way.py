"""Publishing by an engine where there is no Trio run: one of its own, in a thread."""

from __future__ import annotations

import os
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar, final

import outcome
import trio

from .contract import Entry
from .unwrapped import unwrapped

__all__ = ["ThreadWay", "WritingEngine"]

T = TypeVar("T")


class WritingEngine(Protocol):
    """The writing half of an engine that is shared with other processes."""

    async def run_publishing(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Run what only publishes, until cancelled; once it has started, it is open."""

    def append(self, entries: Sequence[Entry], /) -> Awaitable[Sequence[int]]:
        """As `Engine.append`."""

    async def pass_on(self, entries: Sequence[Entry], /) -> None:
        """As `FullEngine.pass_on`."""


@final
class ThreadWay:
    """A thread with a Trio run, in it the writing half of an engine."""

    def __init__(self, engine: WritingEngine) -> None:
        self._engine = engine
        self._process = os.getpid()
        self._ready = threading.Event()
        self._opened: outcome.Maybe[None] = outcome.Value(None)
        self._stop: trio.Event
        self._token: trio.lowlevel.TrioToken
        # A daemon, so that a program that forgets to close it ends all the same.
        self._thread = threading.Thread(
            target=self._work, name="trio-stream publisher", daemon=True
        )
        self._thread.start()
        self._ready.wait()
        self._opened.unwrap()

    def _work(self) -> None:
        result = outcome.capture(trio.run, self._run)
        if not self._ready.is_set() and isinstance(result, outcome.Error):
            self._opened = result
        self._ready.set()

    async def _run(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._stop = trio.Event()
        with unwrapped():
            async with trio.open_nursery() as nursery:
                await nursery.start(self._engine.run_publishing)
                self._ready.set()
                await self._stop.wait()
                nursery.cancel_scope.cancel()

    def append(self, entries: Sequence[Entry]) -> Sequence[int]:
        return self._call(lambda: self._engine.append(entries))

    def pass_on(self, entries: Sequence[Entry]) -> None:
        self._call(lambda: self._engine.pass_on(entries))

    def _call(self, function: Callable[[], Awaitable[T]]) -> T:
        if os.getpid() != self._process:
            raise RuntimeError(
                "this publisher was made before the process was forked, and its thread is not "
                "here: make one in each process"
            )

        async def call() -> T:
            return await function()

        try:
            return trio.from_thread.run(call, trio_token=self._token)
        except (trio.RunFinishedError, trio.Cancelled):
            raise trio.ClosedResourceError("the publisher is closed") from None

    def close(self) -> None:
        if self._thread.is_alive() and os.getpid() == self._process:
            try:
                self._token.run_sync_soon(self._stop.set)
            except trio.RunFinishedError:
                return
            self._thread.join()
