"""Publishing to a server in batches, one at a time: what comes meanwhile goes into the next one."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import outcome
import trio

from ...errors import BrokerUnavailableError
from ..contract import Entry, Lease
from ..stored import STORED
from .troubles import WRITING, ServerRefusedError, Troubles, UnreachableError

__all__ = ["Batching", "Waiting", "closed"]

T = TypeVar("T")

#: Events, and bytes of them, in one batch.
_BATCH, _BATCH_BYTES = 1000, 2**20

#: Seconds before what failed is tried again, doubled up to the second number.
_FIRST_WAIT, _LONGEST_WAIT = 0.01, 1.0


def closed() -> trio.ClosedResourceError:
    """For who is too late."""
    return trio.ClosedResourceError("the broker is closed")


class Waiting:
    """A publish on its way, and the task that waits for it, unless it has been cancelled.

    Attributes:
      stored: whether it is, so that the task cannot be cancelled any more.
    """

    __slots__ = ("entries", "lease", "stored", "task")

    def __init__(
        self, entries: Sequence[Entry], lease: Lease | None, task: trio.lowlevel.Task
    ) -> None:
        self.entries: Sequence[Entry] = entries
        self.lease: Lease | None = lease
        self.stored: bool = False
        self.task: trio.lowlevel.Task | None = task

    def resolve(self, result: outcome.Maybe[Sequence[int]]) -> None:
        """Tell who waits, if anybody does."""
        task, self.task = self.task, None
        if task is not None:
            trio.lowlevel.reschedule(task, result)


class Batching(ABC):
    """The part of an engine's writing half that is the same whatever the server.

    Args:
      kind: of engine, for its figures.
      wait_up: waits until there is a connection.
      troubles: is told when something was stored.
      waits: whether an outage is waited for.

    Attributes:
      batches: how many were stored.
      closed: whether it is too late.
    """

    def __init__(
        self,
        kind: str,
        wait_up: Callable[[], Awaitable[None]],
        troubles: Troubles,
        *,
        waits: bool,
    ) -> None:
        self._kind = kind
        self._wait_up = wait_up
        self._troubles = troubles
        self._waits = waits
        self._waiting: deque[Waiting] = deque()
        self._work = trio.Event()
        self.batches: int = 0
        self.closed: bool = False

    @property
    def waiting(self) -> int:
        """How many publishers wait for a batch to begin."""
        return len(self._waiting)

    def close(self) -> None:
        """Who waits, and who comes, is told that it is too late."""
        self.closed = True
        while self._waiting:
            self._waiting.popleft().resolve(outcome.Error(closed()))

    def append(
        self, entries: Sequence[Entry], lease: Lease | None
    ) -> Coroutine[Any, Any, Sequence[int]]:
        """As `Engine.append`; who calls it has to await it, at once."""
        if self.closed:
            raise closed()
        waiting = Waiting(entries, lease, trio.lowlevel.current_task())
        self._waiting.append(waiting)
        self._work.set()

        def abort(_: object) -> trio.lowlevel.Abort:
            if waiting.stored:
                return trio.lowlevel.Abort.FAILED
            waiting.task = None
            with suppress(ValueError):  # it is in a batch
                self._waiting.remove(waiting)
            return trio.lowlevel.Abort.SUCCEEDED

        return trio.lowlevel.wait_task_rescheduled(abort)  # noqa: ASYNC105

    async def run(self) -> None:
        """Store what is published, until cancelled."""
        while True:
            await self._work.wait()
            if not self._waiting:
                self._work = trio.Event()
                continue
            await self._store(self._next_batch())

    def _next_batch(self) -> list[Waiting]:
        """Those who have waited longest."""
        batch: list[Waiting] = []
        count = size = 0
        while self._waiting:
            one = self._waiting[0]
            count += len(one.entries)
            size += sum(len(entry.body) for entry in one.entries)
            if batch and (count > _BATCH or size > _BATCH_BYTES):
                break
            batch.append(self._waiting.popleft())
        return batch

    async def _store(self, batch: Sequence[Waiting]) -> None:
        """Store a batch, and tell each who waits."""
        error: BaseException = closed()
        try:
            await self._append(batch)
        except BrokerUnavailableError as exc:
            if len(batch) == 1 or not isinstance(exc, ServerRefusedError) or exc.is_for_all:
                error = exc
            else:  # nothing of it is stored, maybe because of a single event
                for one in batch:
                    if one.task is not None:
                        await self._store([one])
        finally:
            for one in batch:  # an error for each task that raises it: a traceback is one task's
                if one.task is not None and not one.stored:
                    one.resolve(outcome.Error(copy.copy(error)))

    @abstractmethod
    async def _append(self, batch: Sequence[Waiting]) -> None:
        """Store a batch, by `_ask`, and tell each who waits, unless nobody does any more.

        Raises:
          BrokerUnavailableError: nothing of it is stored, as far as is known.
        """

    async def _ask(self, batch: Sequence[Waiting], attempt: Callable[[], Awaitable[T]]) -> T | None:
        """What an attempt to store a batch returns, if need be after an outage.

        None when nobody waits for it any more.
        """
        wait, begun = _FIRST_WAIT, trio.current_time()
        while True:
            try:
                answer = await attempt()
            except BrokerUnavailableError as exc:
                if not (self._waits and self._is_outage(exc)):
                    raise
                if all(one.task is None for one in batch):
                    return None
                await trio.sleep(wait)
                wait = min(wait * 2, _LONGEST_WAIT)
                await self._wait_up()
            else:
                self._troubles.end(WRITING)
                self.batches += 1
                STORED.add(trio.current_time() - begun, self._kind)
                return answer

    def _is_outage(self, exc: BrokerUnavailableError) -> bool:
        """Whether it passes by itself; a server that is full is not emptied by waiting."""
        if isinstance(exc, ServerRefusedError):
            return exc.passes
        return isinstance(exc, UnreachableError)
