"""Publishing to Redis: in batches, one at a time, each stored once whatever happens meanwhile."""

from __future__ import annotations

import copy
import itertools
import uuid
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, final

import outcome
import trio

from ...errors import BrokerUnavailableError, LeaseLostError
from ..contract import Entry, Lease, Retention
from ..stored import STORED
from ..troubles import WRITING, Troubles, UnreachableError
from . import other_scripts, scripts
from .entrance import Entrance
from .keys import Keys
from .link import Link
from .script import Script
from .wire import RefusedError

__all__ = ["Publishing", "age_in_ms", "closed"]

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

    __slots__ = ("entries", "lease", "task")

    def __init__(
        self, entries: Sequence[Entry], lease: Lease | None, task: trio.lowlevel.Task | None
    ) -> None:
        self.entries = entries
        self.lease = lease
        self.task = task

    def resolve(self, result: outcome.Maybe[Sequence[int]]) -> None:
        task, self.task = self.task, None
        if task is not None:
            trio.lowlevel.reschedule(task, result)


class _Stored(NamedTuple):
    """What has become of a batch."""

    first: int
    last: int
    #: What was published under these leases is not stored.
    lapsed: Collection[Lease] = ()
    #: Nor what is here, by the number of its entry, with the id that is known instead.
    known: Mapping[int, int] = MappingProxyType({})

    @classmethod
    def of(cls, batch: Sequence[_Waiting], answer: bytes) -> _Stored:
        """As `scripts.APPEND` has it."""
        first, *others = answer.decode().split()
        leases = [waiting.lease for waiting in batch if waiting.lease is not None]
        lapsed = [leases[int(number) - 1] for number in others if ":" not in number]
        pairs = [pair.partition(":") for pair in others if ":" in pair]
        known = {int(number): int(id) for number, _, id in pairs}
        count = sum(len(waiting.entries) for waiting in batch if waiting.lease not in lapsed)
        return cls(int(first), int(first) + count - len(known) - 1, lapsed, known)


@final
class Publishing:
    """The writing half of a `RedisEngine`.

    Args:
      retention: of topics.
      bounds: of what else is kept, as `scripts.APPEND` takes them.
      waits: whether an outage is waited for.

    Attributes:
      batches: how many were stored.
    """

    def __init__(
        self,
        link: Link,
        keys: Keys,
        retention: Retention,
        bounds: Sequence[int],
        entrance: Entrance,
        troubles: Troubles,
        *,
        waits: bool,
    ) -> None:
        self._link = link
        self._keys = keys
        self._retention = retention
        self._bounds = bounds
        self._entrance = entrance
        self._troubles = troubles
        self._waits = waits
        self._waiting: list[_Waiting] = []
        self._work = trio.Event()
        self._closed = False
        self._token = keys.token(uuid.uuid4().hex)
        self._number = 0
        self.batches: int = 0

    @property
    def waiting(self) -> int:
        """How many publishers wait for a batch to begin."""
        return len(self._waiting)

    def close(self) -> None:
        """Who waits, and who comes, is told that it is too late."""
        self._closed = True
        for waiting in self._waiting:
            waiting.resolve(outcome.Error(closed()))

    async def append(self, entries: Sequence[Entry], lease: Lease | None) -> Sequence[int]:
        """As `Engine.append`."""
        if self._closed:
            raise closed()
        waiting = _Waiting(entries, lease, trio.lowlevel.current_task())
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
        result: outcome.Maybe[_Stored] = outcome.Error(closed())
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

    async def _append(self, batch: list[_Waiting]) -> _Stored:
        """Store a batch, if need be after an outage."""
        keys, args = self._pack(batch)
        wait, begun = _FIRST_WAIT, trio.current_time()
        while True:
            try:
                answer = await self._try(keys, args)
            except BrokerUnavailableError as exc:
                if not (self._waits and _is_outage(exc)):
                    raise
                if all(waiting.task is None for waiting in batch):
                    return _Stored(0, 0)  # nobody waits for it any more
                await trio.sleep(wait)
                wait = min(wait * 2, _LONGEST_WAIT)
                await self._link.wait_up()
            else:
                self._troubles.end(WRITING)
                self.batches += 1
                STORED.add(trio.current_time() - begun, "redis")
                stored = _Stored.of(batch, answer)
                self._entrance.known = max(self._entrance.known, stored.last)
                return stored

    async def forget(self, topic: str, id: int | None) -> bool:
        """As `FullEngine.forget`; an outage is not waited for."""
        keys = self._keys
        names = [keys.log, keys.live, keys.topic(topic), keys.holes(topic)]
        return bool(
            await self._call(other_scripts.FORGET, names, [topic, "" if id is None else id])
        )

    async def pass_on(self, entries: Sequence[Entry]) -> None:
        """As `FullEngine.pass_on`; an outage is not waited for: it is for who is there now."""
        args: list[Any] = list(self._bounds[:2])
        for entry in entries:
            args += (entry.topic, entry.key, entry.body, entry.but)
        await self._call(other_scripts.PASS, [self._keys.log, self._keys.live], args)

    async def _call(self, script: Script, keys: list[str], args: list[Any]) -> Any:
        """Run a script that has to know the run of Redis first."""
        if self._closed:
            raise closed()
        try:
            return await self._link.call(script, keys, self._link.redis_run, *args)
        except RefusedError as exc:
            if exc.code != _NOT_ENTERED:
                raise
        await self._entrance.enter(self._link)
        return await self._link.call(script, keys, self._link.redis_run, *args)

    async def _try(self, keys: list[str], args: list[Any]) -> bytes:
        try:
            return await self._try_once(keys, args)
        except RefusedError as exc:
            if exc.code != _NOT_ENTERED:
                raise
        await self._entrance.enter(self._link)
        return await self._try_once(keys, args)

    async def _try_once(self, keys: list[str], args: list[Any]) -> bytes:
        link, known = self._link, self._entrance.known
        answer: bytes = await link.call(scripts.APPEND, keys, known, link.redis_run, *args)
        return answer

    def _pack(self, batch: Sequence[_Waiting]) -> tuple[list[str], list[Any]]:
        keys = self._keys
        entries = [entry for waiting in batch for entry in waiting.entries]
        topics = {topic: n for n, topic in enumerate({entry.topic: 0 for entry in entries}, 1)}
        self._number += 1
        args: list[Any] = [self._number, *self._bounds, _TOKEN]
        args += (keys.topic(""), keys.holes(""))
        args.append(len(topics))
        for topic in topics:
            kept = self._retention.of(topic)
            args += (topic, kept.events, kept.bytes, age_in_ms(kept))
        names, leases = _leases(batch)
        args += (len(names), *leases)
        once = [(n, entry) for n, entry in enumerate(entries, 1) if entry.once is not None]
        args.append(len(once))
        once_keys: list[str] = []
        for n, entry in once:
            assert entry.once is not None
            args += (n, max(1, int(entry.once.seconds * 1000)))
            once_keys.append(keys.once(entry.topic, entry.once.key))
        for entry in entries:
            args += (topics[entry.topic], entry.key, entry.body, entry.but)
        fixed = [keys.log, keys.live, keys.heads, self._token]
        return [*fixed, *map(keys.topic, topics), *map(keys.lease, names), *once_keys], args


def age_in_ms(retention: Retention) -> int:
    """As the scripts take it: 0 for no limit."""
    return 0 if retention.age is None else max(1, int(retention.age * 1000))


def _is_outage(exc: BrokerUnavailableError) -> bool:
    """Whether it passes by itself; a Redis that is full is not emptied by waiting."""
    if isinstance(exc, RefusedError):
        return exc.passes or exc.code == _NOT_ENTERED
    return isinstance(exc, UnreachableError)


def _leases(batch: Sequence[_Waiting]) -> tuple[list[str], list[Any]]:
    """Those that a batch needs: their names, and whose they have to be, for which entries."""
    names: list[str] = []
    needed: list[Any] = []
    count = 0
    for waiting in batch:
        if waiting.lease is not None:
            names.append(waiting.lease.name)
            needed += (waiting.lease.owner, count + 1, count + len(waiting.entries))
        count += len(waiting.entries)
    return names, needed


def _resolve(batch: Sequence[_Waiting], result: outcome.Maybe[_Stored]) -> None:
    if isinstance(result, outcome.Error):
        for waiting in batch:  # one for each task that raises it: a traceback is one task's
            waiting.resolve(outcome.Error(copy.copy(result.error)))
        return
    known = result.value.known
    first, number = result.value.first, 1
    for waiting in batch:
        mine = range(number, number + len(waiting.entries))
        number = mine.stop
        if known and not known.keys().isdisjoint(mine):
            new = itertools.count(first)
            ids = [known[n] if n in known else next(new) for n in mine]
            first = next(new)
            waiting.resolve(outcome.Value(ids))
        elif waiting.lease in result.value.lapsed:
            assert waiting.lease is not None
            waiting.resolve(outcome.Error(LeaseLostError(waiting.lease.name)))
        else:
            following = first + len(waiting.entries)
            waiting.resolve(outcome.Value(range(first, following)))
            first = following
