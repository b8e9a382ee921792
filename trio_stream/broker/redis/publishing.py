"""Publishing to Redis: in batches, one at a time, each stored once whatever happens meanwhile."""

from __future__ import annotations

import copy
import uuid
from collections.abc import Sequence
from typing import Any, final

import outcome
import trio

from ...errors import BrokerUnavailableError
from ..contract import Entry
from . import scripts
from .entrance import Entrance
from .keys import Keys
from .link import Link
from .troubles import WRITING, Troubles
from .wire import RefusedError, UnreachableError

__all__ = ["Publishing", "closed"]

#: Events, and bytes of them, that go to Redis at once.
_BATCH, _BATCH_BYTES = 1000, 2**20

#: Seconds before what failed is tried again, doubled up to the second number.
_FIRST_WAIT, _LONGEST_WAIT = 0.01, 1.0

#: What `scripts.APPEND` says when Redis has restarted, and nobody has written that down.
_NOT_ENTERED = "NOTENTERED"

#: Seconds that Redis remembers the last batch of a process that publishes no more.
_TOKEN = 3600


def closed() -> trio.ClosedResourceError:
    """For who is too late."""
    return trio.ClosedResourceError("the broker is closed")


class _Waiting:
    """A publish on its way, and the task that waits for it, unless it has been cancelled."""

    __slots__ = ("entries", "ids", "task")

    def __init__(self, entries: Sequence[Entry], task: trio.lowlevel.Task | None) -> None:
        self.entries = entries
        self.task = task
        self.ids: Sequence[int] = ()

    def resolve(self, result: outcome.Maybe[Sequence[int]]) -> None:
        task, self.task = self.task, None
        if task is not None:
            trio.lowlevel.reschedule(task, result)


@final
class Publishing:
    """The writing half of a `RedisEngine`.

    Args:
      bounds: of what is kept, as `scripts.APPEND` takes them.
      waits: whether an outage is waited for.

    Attributes:
      batches: how many were stored.
    """

    def __init__(
        self,
        link: Link,
        keys: Keys,
        bounds: Sequence[int],
        entrance: Entrance,
        troubles: Troubles,
        *,
        waits: bool,
    ) -> None:
        self._link = link
        self._keys = keys
        self._bounds = bounds
        self._entrance = entrance
        self._troubles = troubles
        self._waits = waits
        self._waiting: list[_Waiting] = []
        self._work = trio.Event()
        self._closed = False
        self._token = keys.token(uuid.uuid4().hex)
        self._number = 0
        self.batches = 0

    @property
    def waiting(self) -> int:
        """How many publishers wait for a batch to begin."""
        return len(self._waiting)

    def close(self) -> None:
        """Who waits, and who comes, is told that it is too late."""
        self._closed = True
        for waiting in self._waiting:
            waiting.resolve(outcome.Error(closed()))

    async def append(self, entries: Sequence[Entry]) -> Sequence[int]:
        """As `Engine.append`."""
        if self._closed:
            raise closed()
        waiting = _Waiting(entries, trio.lowlevel.current_task())
        self._waiting.append(waiting)
        self._work.set()

        def abort(_: object) -> trio.lowlevel.Abort:
            waiting.task = None
            if waiting in self._waiting:
                self._waiting.remove(waiting)
            return trio.lowlevel.Abort.SUCCEEDED

        ids: Sequence[int] = await trio.lowlevel.wait_task_rescheduled(abort)
        return ids

    async def run(self) -> None:
        """Store what is published, until cancelled."""
        while True:
            await self._work.wait()
            if not self._waiting:
                self._work = trio.Event()
                continue
            await self._store(self._next_batch())

    async def _store(self, batch: list[_Waiting]) -> None:
        """Store a batch, and tell each who waits."""
        result: outcome.Maybe[int] = outcome.Error(closed())
        try:
            result = outcome.Value(await self._append(batch))
        except BrokerUnavailableError as exc:
            result = outcome.Error(exc)
            if len(batch) > 1 and isinstance(exc, RefusedError) and not exc.is_for_all:
                # Nothing of it is stored, maybe because of a single topic,
                result = outcome.Error(closed())  # to whom this does not get
                for waiting in batch:
                    if waiting.task is not None:
                        await self._store([waiting])
        finally:
            _resolve(batch, result)

    def _next_batch(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        count = size = 0
        for waiting in self._waiting:
            count += len(waiting.entries)
            size += sum(len(entry.body) for entry in waiting.entries)
            if batch and (count > _BATCH or size > _BATCH_BYTES):
                break
            batch.append(waiting)
        del self._waiting[: len(batch)]
        return batch

    async def _append(self, batch: list[_Waiting]) -> int:
        """Store a batch, if need be after an outage; returns the first of its ids."""
        keys, args = self._pack([entry for waiting in batch for entry in waiting.entries])
        wait = _FIRST_WAIT
        while True:
            try:
                first = await self._try(keys, args)
            except BrokerUnavailableError as exc:
                if not (self._waits and _is_outage(exc)):
                    raise
                if all(waiting.task is None for waiting in batch):
                    return 0  # nobody waits for it any more
                await trio.sleep(wait)
                wait = min(wait * 2, _LONGEST_WAIT)
                await self._link.wait_up()
            else:
                self._troubles.end(WRITING)
                self.batches += 1
                count = sum(len(waiting.entries) for waiting in batch)
                self._entrance.known = max(self._entrance.known, first + count - 1)
                return first

    async def _try(self, keys: list[str], args: list[Any]) -> int:
        try:
            return await self._try_once(keys, args)
        except RefusedError as exc:
            if exc.code != _NOT_ENTERED:
                raise
        await self._entrance.enter(self._link)
        return await self._try_once(keys, args)

    async def _try_once(self, keys: list[str], args: list[Any]) -> int:
        link = self._link
        first = await link.call(scripts.APPEND, keys, self._entrance.known, link.redis_run, *args)
        return int(first)

    def _pack(self, entries: Sequence[Entry]) -> tuple[list[str], list[Any]]:
        keys = self._keys
        topics = {topic: n for n, topic in enumerate({entry.topic: 0 for entry in entries}, 1)}
        self._number += 1
        args: list[Any] = [self._number, *self._bounds, _TOKEN, keys.topic("")]
        args += (len(topics), *topics)
        for entry in entries:
            args += (topics[entry.topic], entry.key, entry.body)
        return [keys.log, keys.live, keys.heads, self._token, *map(keys.topic, topics)], args


def _is_outage(exc: BrokerUnavailableError) -> bool:
    """Whether it passes by itself; a Redis that is full is not emptied by waiting."""
    if isinstance(exc, RefusedError):
        return exc.passes or exc.code == _NOT_ENTERED
    return isinstance(exc, UnreachableError)


def _resolve(batch: Sequence[_Waiting], result: outcome.Maybe[int]) -> None:
    first = result.value if isinstance(result, outcome.Value) else 0
    for waiting in batch:
        following = first + len(waiting.entries)
        if isinstance(result, outcome.Value):
            waiting.resolve(outcome.Value(range(first, following)))
        else:  # one for each task that raises it: a traceback is one task's
            waiting.resolve(outcome.Error(copy.copy(result.error)))
        first = following
