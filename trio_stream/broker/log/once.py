"""What was stored under which key of a `Once`, where one process is all there is."""

from __future__ import annotations

from collections import OrderedDict
from typing import final

import trio

from ..contract import Once

__all__ = ["KnownOnce"]


@final
class KnownOnce:
    """The ids by topic and key, each for as long as it was said to be known.

    Memory: some 300 bytes for each, and their texts, until their seconds are over.
    """

    def __init__(self) -> None:
        self._ids: OrderedDict[tuple[str, str], tuple[int, float]] = OrderedDict()

    def id(self, topic: str, key: str) -> int | None:
        """What is known by this key; None where nothing is, or not any more."""
        id, until = self._ids.get((topic, key), (None, 0.0))
        return id if trio.current_time() < until else None

    def add(self, topic: str, once: Once, id: int) -> None:
        """This id is known from now on."""
        now = trio.current_time()
        while self._ids and next(iter(self._ids.values()))[1] <= now:
            self._ids.popitem(last=False)
        self._ids.pop((topic, once.key), None)
        self._ids[topic, once.key] = (id, now + once.seconds)

    def forget(self, topic: str) -> None:
        """Nothing is known of a topic."""
        for key in [key for key in self._ids if key[0] == topic]:
            del self._ids[key]
