"""Publishing to PostgreSQL: in batches, one at a time, each stored once whatever happens meanwhile.

A batch is a transaction. What is published while it is being written goes into the next one.
"""

from __future__ import annotations

import copy
import uuid
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, final

import outcome
import trio

from ...errors import BrokerUnavailableError, LeaseLostError
from ..contract import Entry, Lease
from ..stored import STORED
from ..troubles import WRITING, Troubles, UnreachableError
from .faults import RefusedError
from .link import Commands
from .statements import APPEND
from .values import read_int, read_int_array

__all__ = ["Publishing", "closed", "columns_of"]

#: Events, and bytes of them, in one transaction.
_BATCH, _BATCH_BYTES = 1000, 2**20

#: Seconds before what failed is tried again, doubled up to the second number.
_FIRST_WAIT, _LONGEST_WAIT = 0.01, 1.0


def closed() -> trio.ClosedResourceError:
    """For who is too late."""
    return trio.ClosedResourceError("the broker is closed")


def columns_of(entries: Sequence[Entry]) -> list[list[bytes]]:
    """Topics, keys, the streams that are left out, and bodies, as the functions take them."""
    return [
        [entry.topic.encode() for entry in entries],
        [entry.key.encode() for entry in entries],
        [entry.but.encode() for entry in entries],
        [entry.body for entry in entries],
    ]


class _Waiting:
    """A publish on its way, and the task that waits for it, unless it has been cancelled."""

    __slots__ = ("entries", "lease", "stored", "task")

    def __init__(
        self, entries: Sequence[Entry], lease: Lease | None, task: trio.lowlevel.Task
    ) -> None:
        self.entries = entries
        self.lease = lease
        self.stored = False
        self.task: trio.lowlevel.Task | None = task

    def resolve(self, result: outcome.Maybe[Sequence[int]]) -> None:
        task, self.task = self.task, None
        if task is not None:
            trio.lowlevel.reschedule(task, result)


class _Batch:
    """Some of those who wait, and what is asked for them."""

    def __init__(self, waiting: Sequence[_Waiting], known: int) -> None:
        self.waiting = waiting
        self.stored = False
        self.known = known
        self.entries = [entry for one in waiting for entry in one.entries]
        self.columns = [uuid.uuid4().bytes, False, *columns_of(self.entries), *self._special()]

    def _special(self) -> list[Any]:
        """Leases and keys of `Once`, of each entry, or nothing where no entry has any."""
        leases = [one.lease for one in self.waiting for _ in one.entries]
        once = [entry.once for entry in self.entries]
        if not any(leases) and not any(once):
            return [None] * 4
        return [
            [lease and lease.name.encode() for lease in leases],
            [lease and lease.owner.encode() for lease in leases],
            [one and one.key.encode() for one in once],
            [one and one.seconds for one in once],
        ]

    def again(self) -> None:
        """It may have been stored."""
        self.columns[1] = True

    def settle(self) -> None:
        """It is stored: whoever waits for it learns its ids, and cannot be cancelled any more."""
        self.stored = True
        for one in self.waiting:
            one.stored = True

    def resolve(self, ids: Sequence[int]) -> None:
        first = 0
        for one in self.waiting:
            mine = ids[first : first + len(one.entries)]
            first += len(one.entries)
            if mine[0]:
                one.resolve(outcome.Value(mine))
            else:
                assert one.lease is not None
                one.resolve(outcome.Error(LeaseLostError(one.lease.name)))

    def fail(self, error: BaseException) -> None:
        for one in self.waiting:  # one for each task that raises it: a traceback is one task's
            one.resolve(outcome.Error(copy.copy(error)))


@final
class Publishing:
    """The writing half of a `PostgresEngine`.

    Args:
      appended: is told the id before the first of some entries, whose ids follow it, the number of
        the newest signal at that time, and what to call once all up to an id has been fed.
      waits: whether an outage is waited for.

    Attributes:
      batches: how many were stored.
      known: the newest id that is known to be stored.
    """

    def __init__(
        self,
        commands: Commands,
        appended: Callable[[int, int, Sequence[Entry], int, Callable[[], None]], None],
        troubles: Troubles,
        *,
        waits: bool,
    ) -> None:
        self._commands = commands
        self._appended = appended
        self._troubles = troubles
        self._waits = waits
        self._waiting: deque[_Waiting] = deque()
        self._work = trio.Event()
        self._closed = False
        self.batches: int = 0
        self.known: int = 0

    @property
    def waiting(self) -> int:
        """How many publishers wait for a batch to begin."""
        return len(self._waiting)

    def close(self) -> None:
        """Who waits, and who comes, is told that it is too late."""
        self._closed = True
        for waiting in self._waiting:
            waiting.resolve(outcome.Error(closed()))

    def append(
        self, entries: Sequence[Entry], lease: Lease | None
    ) -> Coroutine[Any, Any, Sequence[int]]:
        """As `Engine.append`; who calls it has to await it, at once."""
        if self._closed:
            raise closed()
        waiting = _Waiting(entries, lease, trio.lowlevel.current_task())
        self._waiting.append(waiting)
        self._work.set()

        def abort(_: object) -> trio.lowlevel.Abort:
            if waiting.stored:
                return trio.lowlevel.Abort.FAILED
            waiting.task = None
            return trio.lowlevel.Abort.SUCCEEDED

        return trio.lowlevel.wait_task_rescheduled(abort)  # noqa: ASYNC105

    async def run(self) -> None:
        """Store what is published, until cancelled."""
        while True:
            await self._work.wait()
            waiting = self._next()
            if not waiting:
                self._work = trio.Event()
                continue
            await self._store(waiting)

    def _next(self) -> list[_Waiting]:
        """Those who have waited longest; who was cancelled has published nothing."""
        found: list[_Waiting] = []
        count = size = 0
        while self._waiting:
            one = self._waiting[0]
            if one.task is not None:
                count += len(one.entries)
                size += sum(len(entry.body) for entry in one.entries)
                if found and (count > _BATCH or size > _BATCH_BYTES):
                    break
                found.append(one)
            self._waiting.popleft()
        return found

    async def _store(self, waiting: Sequence[_Waiting]) -> None:
        batch = _Batch(waiting, self.known)
        error: BaseException = closed()
        try:
            await self._append(batch)
        except BrokerUnavailableError as exc:
            error = exc
            if len(waiting) > 1 and isinstance(exc, RefusedError) and not exc.is_for_all:
                # Nothing of it is stored, maybe because of a single event.
                for one in waiting:
                    if one.task is not None:
                        await self._store([one])
        finally:
            if not batch.stored:
                batch.fail(error)  # of who has been told nothing else

    async def _append(self, batch: _Batch) -> None:
        """Store a batch, if need be after an outage, and tell each who waits."""
        wait, begun = _FIRST_WAIT, trio.current_time()
        while True:
            try:
                before, ids, signal = await self._try(batch)
            except BrokerUnavailableError as exc:
                passes = isinstance(exc, UnreachableError) or (
                    isinstance(exc, RefusedError) and exc.passes
                )
                if isinstance(exc, RefusedError) and exc.is_for_all:
                    self._troubles.begin(WRITING, exc)
                if not (self._waits and passes):
                    raise
                if all(one.task is None for one in batch.waiting):
                    return  # nobody waits for it any more
                batch.again()
                await trio.sleep(wait)
                wait = min(wait * 2, _LONGEST_WAIT)
                await self._commands.link.wait_up()
            else:
                self._troubles.end(WRITING)
                self.batches += 1
                STORED.add(trio.current_time() - begun, "postgres")
                self.known = max(self.known, *ids)
                batch.settle()
                appended = batch.entries if before else ()
                # Whoever has published something finds it: it is fed first.
                self._appended(before, signal, appended, max(ids), partial(batch.resolve, ids))
                return

    async def _try(self, batch: _Batch) -> tuple[int, Sequence[int], int]:
        """One attempt: the id before the first, if all of them follow it, and their ids."""
        while True:
            wire = self._commands.link.wire
            if wire is None:
                raise self._commands.link.missing()
            row = await self._commands.one(APPEND, batch.known, *batch.columns, *wire.seen)
            before, ids, signal, xmax, xip = row
            if xmax is not None and xip is not None:
                wire.seen = xmax, xip
            if ids is not None:
                return 0, read_int_array(ids), 0
            if before is not None:
                first = read_int(before) + 1
                stored = range(first, first + len(batch.entries))
                return first - 1, stored, read_int(signal or b"")
