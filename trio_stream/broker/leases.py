"""Who holds what, and who is present, where one process is all there is.

Nothing lapses here while the process lives, because whoever would prolong a lease runs in it too;
times are kept all the same, so that what is tested here is true elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence

import trio

from .contract import Member

__all__ = ["LocalLeases"]


class LocalLeases:
    """The part of an `Engine` that is about leases and presence, in this process's memory."""

    def __init__(self) -> None:
        self._leases: dict[str, tuple[str, float]] = {}
        #: By topic and then by name and owner: how many, and until when.
        self._present: dict[str, dict[tuple[str, str], tuple[int, float]]] = {}

    async def claim(self, name: str, owner: str, seconds: float) -> str | None:
        held_by = await self.holder(name)
        if held_by in {None, owner}:
            self._leases[name] = (owner, trio.current_time() + seconds)
        return held_by

    async def release(self, name: str, owner: str) -> None:
        if await self.holder(name) == owner:
            del self._leases[name]

    async def holder(self, name: str) -> str | None:
        owner, until = self._leases.get(name, (None, 0.0))
        return owner if trio.current_time() < until else None

    async def join(self, topic: str, name: str, owner: str, count: int, seconds: float) -> int:
        present = self._present.setdefault(topic, {})
        present.pop((name, owner), None)
        if count:
            present[name, owner] = (count, trio.current_time() + seconds)
        if not present:
            del self._present[topic]
        return sum(
            count for (who, of), (count, _) in present.items() if who == name and of != owner
        )

    async def members(self, topic: str) -> Sequence[Member]:
        counts: dict[str, int] = {}
        now = trio.current_time()
        for (name, _), (count, until) in self._present.get(topic, {}).items():
            if now < until:
                counts[name] = counts.get(name, 0) + count
        return [Member(name, count) for name, count in sorted(counts.items())]

    async def lapsed(self) -> Sequence[tuple[str, str]]:
        now = trio.current_time()
        found = []
        for topic, present in list(self._present.items()):
            over = {key for key, (_, until) in present.items() if until <= now}
            for key in over:
                del present[key]
            still = {name for name, _ in present}
            found += [(topic, name) for name in {name for name, _ in over} - still]
            if not present:
                del self._present[topic]
        return found
