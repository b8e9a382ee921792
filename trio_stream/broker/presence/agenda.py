"""When to look after which member next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from heapq import heappop, heappush
from math import inf
from typing import final

import trio

from .local_member import LocalMember

__all__ = ["Agenda", "Key"]

#: A topic, and a name that is present on it.
Key = tuple[str, str]


@final
class Agenda:
    """Times at which members are to be looked after, the first of each.

    Args:
      members: an entry counts where it is the member's own ``due``.
    """

    def __init__(self, members: Mapping[Key, LocalMember]) -> None:
        self._members = members
        self._due: list[tuple[float, Key]] = []
        self._changed = trio.Event()

    def add(self, key: Key, when: float) -> None:
        """Look after this member then, if not before."""
        member = self._members[key]
        if when < member.due:
            member.due = when
            heappush(self._due, (when, key))
            self._changed.set()

    async def wait(self) -> None:
        """Wait until there may be somebody to look after."""
        self._changed = trio.Event()
        with trio.move_on_at(self._due[0][0] if self._due else inf):
            await self._changed.wait()

    def take(self, most: int) -> Iterator[Key]:
        """Who is to be looked after now: so many of them, at most."""
        now = trio.current_time()
        for _ in range(most):
            if not (self._due and self._due[0][0] <= now):
                return
            when, key = heappop(self._due)
            member = self._members.get(key)
            if member is not None and member.due == when:
                member.due = inf
                yield key
