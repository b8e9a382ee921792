"""One task at a time receives; another may put an end to that."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import trio

from ..checks import check_on_trio

__all__ = ["OneReceiver"]


class OneReceiver:
    """Guards what only one task may be inside of, and lets others throw it out."""

    def __init__(self) -> None:
        self._scope: trio.CancelScope | None = None
        self._gone: trio.Event | None = None

    @staticmethod
    def check() -> None:
        """Raise what says so where there is no Trio run, before anything is waited for."""
        check_on_trio()

    @staticmethod
    async def checkpoint() -> None:
        """A checkpoint, behind `check`."""
        check_on_trio()
        await trio.lowlevel.checkpoint()

    @staticmethod
    def refuse_at(end: Exception | None) -> None:
        """Raise what everybody is told who comes behind the end: anew, as each has his own."""
        if end is not None:
            raise type(end)(*end.args)

    @contextmanager
    def enter(self) -> Iterator[None]:
        """Be the one task inside.

        Raises:
          trio.BusyResourceError: another one is.
          trio.ClosedResourceError: `evict` was called meanwhile.
        """
        if self._scope is not None:
            raise trio.BusyResourceError("another task is receiving from this EventSource")
        with trio.CancelScope() as self._scope:
            try:
                yield
                return
            finally:
                self._scope = None
                if self._gone is not None:
                    self._gone.set()
        raise trio.ClosedResourceError("another task closed this EventSource")

    async def evict(self) -> None:
        """Have the task inside leave, if there is one, and wait until it has."""
        if self._scope is not None:
            if self._gone is None:
                self._gone = trio.Event()
            self._scope.cancel()
            # It has a connection to close, which takes seconds at most.
            with trio.CancelScope(shield=True):
                await self._gone.wait()
