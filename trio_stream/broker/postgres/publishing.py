"""Publishing to PostgreSQL: in transactions, each stored once whatever happens meanwhile."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, final

import outcome

from ...errors import BrokerUnavailableError, LeaseLostError
from ..contract import Entry
from ..servers.batching import Batching, Waiting
from ..servers.troubles import WRITING, Troubles
from .faults import RefusedError
from .link import Commands
from .statements import APPEND
from .values import read_int, read_int_array

__all__ = ["Publishing", "columns_of"]


def columns_of(entries: Sequence[Entry]) -> list[list[bytes]]:
    """Topics, keys, the streams that are left out, and bodies, as the functions take them."""
    return [
        [entry.topic.encode() for entry in entries],
        [entry.key.encode() for entry in entries],
        [entry.but.encode() for entry in entries],
        [entry.body for entry in entries],
    ]


class _Batch:
    """Some of those who wait, and what is asked for them."""

    def __init__(self, waiting: Sequence[Waiting], known: int) -> None:
        self.waiting = waiting
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


@final
class Publishing(Batching):
    """The writing half of a `PostgresEngine`.

    Args:
      appended: is told the id before the first of some entries, whose ids follow it, the number of
        the newest signal at that time, and what to call once all up to an id has been fed.
      waits: whether an outage is waited for.

    Attributes:
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
        super().__init__("postgres", commands.link.wait_up, troubles, waits=waits)
        self._commands = commands
        self._appended = appended
        self.known: int = 0

    async def _append(self, waiting: Sequence[Waiting]) -> None:
        batch = _Batch(waiting, self.known)
        stored = await self._ask(waiting, partial(self._try, batch))
        if stored is not None:
            before, ids, signal = stored
            self.known = max(self.known, *ids)
            batch.settle()
            appended = batch.entries if before else ()
            # Whoever has published something finds it: it is fed first.
            self._appended(before, signal, appended, max(ids), partial(batch.resolve, ids))

    async def _try(self, batch: _Batch) -> tuple[int, Sequence[int], int]:
        try:
            return await self._try_once(batch)
        except BrokerUnavailableError as exc:
            if isinstance(exc, RefusedError) and exc.is_for_all:
                self._troubles.begin(WRITING, exc)
            batch.again()
            raise

    async def _try_once(self, batch: _Batch) -> tuple[int, Sequence[int], int]:
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
