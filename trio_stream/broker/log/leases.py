"""Who holds what, and who is present, where one process is all there is.

Nothing lapses here while the process lives, because whoever would prolong a lease runs in it too;
times are kept all the same, so that what is tested here is true elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import trio

from ...errors import LeaseLostError
from ..contract import NO_VALUE, Lease, Member

__all__ = ["LocalLeases"]


class LocalLeases:
    """The part of an `Engine` that is about leases and presence, in this process's memory."""

    def __init__(self) -> None:
        self._leases: dict[str, tuple[str, float]] = {}
        #: By topic, name and owner: how many, and until when.
        self._present: dict[str, dict[str, dict[str, tuple[int, float]]]] = {}
        self._values: dict[tuple[str, str], str] = {}

    async def claim(self, name: str, owner: str, seconds: float) -> str | None:
        held_by = self._holder(name)
        if held_by in {None, owner}:
            self._leases[name] = (owner, trio.current_time() + seconds)
        return held_by

    async def prolong(self, name: str, owner: str, seconds: float) -> bool:
        holds = self._holder(name) == owner
        if holds:
            self._leases[name] = (owner, trio.current_time() + seconds)
        return holds

    async def release(self, name: str, owner: str) -> None:
        if self._holder(name) == owner:
            del self._leases[name]

    async def holder(self, name: str) -> str | None:
        return self._holder(name)

    def check_held(self, lease: Lease) -> None:
        """For who is about to append; `LeaseLostError` when its owner does not hold it."""
        if self._holder(lease.name) != lease.owner:
            raise LeaseLostError(lease.name)

    def _holder(self, name: str) -> str | None:
        owner, until = self._leases.get(name, (None, 0.0))
        return owner if trio.current_time() < until else None

    async def join(
        self, topic: str, name: str, owner: str, count: int, seconds: float
    ) -> tuple[int, int]:
        present = self._present.setdefault(topic, {})
        owners = present.setdefault(name, {})
        before = _connections(owners)
        owners.pop(owner, None)
        if count:
            owners[owner] = (count, trio.current_time() + seconds)
        self._tidy(topic, name)
        return before, _connections(owners)

    async def describe(
        self, topic: str, name: str, data: str | None
    ) -> tuple[str | None, str | None]:
        if name not in self._present.get(topic, ()):
            return None, None
        before = self._values.get((topic, name), NO_VALUE)
        if data is not None:
            self._values[topic, name] = data
        return before, before if data is None else data

    async def members(self, topic: str) -> Sequence[Member]:
        now = trio.current_time()
        found = []
        for name, owners in sorted(self._present.get(topic, {}).items()):
            alive = sum(count for count, until in owners.values() if now < until)
            if alive:
                found.append(Member(name, alive, self._values.get((topic, name), NO_VALUE)))
        return found

    async def lapsed(self) -> Sequence[tuple[str, str]]:
        now = trio.current_time()
        gone = []
        for topic, present in list(self._present.items()):
            for name, owners in list(present.items()):
                for owner in [of for of, (_, until) in owners.items() if until <= now]:
                    del owners[owner]
                if not owners:
                    gone.append((topic, name))
                    self._tidy(topic, name)
        return gone

    def _tidy(self, topic: str, name: str) -> None:
        present = self._present[topic]
        if not present[name]:
            del present[name]
            self._values.pop((topic, name), None)
        if not present:
            del self._present[topic]


def _connections(owners: Mapping[str, tuple[int, float]]) -> int:
    return sum(count for count, _ in owners.values())
