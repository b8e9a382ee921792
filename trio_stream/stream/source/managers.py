"""Async context managers: what an SDK, or httpx, opens by ``async with``, and closes after it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import trio

from .contract import CLOSE_TIMEOUT, HeadersWaitFor, Sink, Source

__all__ = ["ManagerSource"]

log: logging.Logger = logging.getLogger("trio_stream")


class ManagerSource:
    """A manager of any other source: entered and left in the stream's own task.

    What it raises when it is entered is known before the headers go out.
    """

    headers_wait_for: HeadersWaitFor = "ready"

    def __init__(
        self, manager: AbstractAsyncContextManager[Any], open_source: Callable[[Any], Source]
    ) -> None:
        self._manager = manager
        self._open_source = open_source

    async def run(self, sink: Sink) -> None:
        failure: BaseException | None = None
        # Around the manager and not around its exit alone: a nursery that is open in it is closed
        # there, and Trio's scopes must nest.
        with trio.CancelScope() as leaving:
            async with self._manager as given:
                try:
                    await self._run_given(given, sink)
                except BaseException as error:
                    failure = error
                    raise
                finally:
                    # Like a generator that is left at its `yield`, it may `await` in its `finally`.
                    leaving.shield = True
                    leaving.deadline = trio.current_time() + CLOSE_TIMEOUT
        if leaving.cancelled_caught:
            log.warning(
                "leaving the context manager %(source)r took more than %(timeout)g s and was "
                "cancelled",
                {"source": self._manager, "timeout": CLOSE_TIMEOUT, **sink.facts()},
            )
            if failure is not None:
                raise failure

    async def _run_given(self, given: Any, sink: Sink) -> None:
        if given is None or given is self._manager:
            which = "None" if given is None else "itself, and it is not iterable"
            raise TypeError(
                f"a {type(self._manager).__name__} was entered as the source of a stream and gave "
                f"{which}: what it gives is streamed, so it must be an iterable, an async "
                "iterable, an HTTP response or the like"
            )
        source = self._open_source(given)
        sink.found(source)
        await source.run(sink)

    async def aclose(self) -> None:
        pass  # it was not entered

    def close_unawaited(self) -> bool:
        return True
