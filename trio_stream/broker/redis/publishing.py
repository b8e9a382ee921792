"""Publishing to Redis: in batches, each stored once whatever happens meanwhile."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple, final

import outcome

from ...errors import BrokerUnavailableError, LeaseLostError
from ..contract import Entry, Lease, Retention
from ..servers.batching import Batching, Waiting, closed
from ..servers.troubles import Troubles
from . import other_scripts, scripts
from .entrance import Entrance
from .keys import Keys
from .link import Link
from .script import Script
from .wire import RefusedError

__all__ = ["Publishing", "age_in_ms"]

#: What `scripts.APPEND` says when Redis has restarted, and nobody has written that down.
_NOT_ENTERED = "NOTENTERED"

#: Seconds that Redis remembers the last batch of a process that publishes no more.
_TOKEN = 3600


class _Stored(NamedTuple):
    """What has become of a batch."""

    first: int
    last: int
    #: What was published under these leases is not stored.
    lapsed: Collection[Lease] = ()
    #: Nor what is here, by the number of its entry, with the id that is known instead.
    known: Mapping[int, int] = MappingProxyType({})

    @classmethod
    def of(cls, batch: Sequence[Waiting], answer: bytes) -> _Stored:
        """As `scripts.APPEND` has it."""
        first, *others = answer.decode().split()
        leases = [waiting.lease for waiting in batch if waiting.lease is not None]
        lapsed = [leases[int(number) - 1] for number in others if ":" not in number]
        pairs = [pair.partition(":") for pair in others if ":" in pair]
        known = {int(number): int(id) for number, _, id in pairs}
        count = sum(len(waiting.entries) for waiting in batch if waiting.lease not in lapsed)
        return cls(int(first), int(first) + count - len(known) - 1, lapsed, known)


@final
class Publishing(Batching):
    """The writing half of a `RedisEngine`.

    Args:
      retention: of topics.
      bounds: of what else is kept, as `scripts.APPEND` takes them.
      waits: whether an outage is waited for.
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
        super().__init__("redis", link.wait_up, troubles, waits=waits)
        self._link = link
        self._keys = keys
        self._retention = retention
        self._bounds = bounds
        self._entrance = entrance
        self._token = keys.token(uuid.uuid4().hex)
        self._number = 0

    async def _append(self, batch: Sequence[Waiting]) -> None:
        keys, args = self._pack(batch)
        answer = await self._ask(batch, partial(self._try, keys, args))
        if answer is not None:
            stored = _Stored.of(batch, answer)
            self._entrance.known = max(self._entrance.known, stored.last)
            _resolve(batch, stored)

    def _is_outage(self, exc: BrokerUnavailableError) -> bool:
        not_entered = isinstance(exc, RefusedError) and exc.code == _NOT_ENTERED
        return not_entered or super()._is_outage(exc)

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
        if self.closed:
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

    def _pack(self, batch: Sequence[Waiting]) -> tuple[list[str], list[Any]]:
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


def _leases(batch: Sequence[Waiting]) -> tuple[list[str], list[Any]]:
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


def _resolve(batch: Sequence[Waiting], stored: _Stored) -> None:
    known = stored.known
    first, number = stored.first, 1
    for waiting in batch:
        mine = range(number, number + len(waiting.entries))
        number = mine.stop
        if known and not known.keys().isdisjoint(mine):
            new = itertools.count(first)
            ids = [known[n] if n in known else next(new) for n in mine]
            first = next(new)
            waiting.resolve(outcome.Value(ids))
        elif waiting.lease in stored.lapsed:
            assert waiting.lease is not None
            waiting.resolve(outcome.Error(LeaseLostError(waiting.lease.name)))
        else:
            following = first + len(waiting.entries)
            waiting.resolve(outcome.Value(range(first, following)))
            first = following
