"""Events that are in no log, on their way to somebody who iterates."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import final

from ..contract.records import Record

__all__ = ["PassingEvents"]

#: How many wait for an iterator; of more, the oldest are dropped.
_WAITING = 256


@final
class PassingEvents:
    """What has passed while its iterator was at something else, in its place among what is kept."""

    __slots__ = ("_events",)

    def __init__(self) -> None:
        self._events: deque[tuple[int, Record]] = deque(maxlen=_WAITING)

    def add(self, head: int, record: Record) -> None:
        """It comes behind all that is kept up to this id."""
        self._events.append((head, record))

    def merged(self, records: Sequence[Record], upto: int) -> list[Record]:
        """Put those that come before the end of a page between its records."""
        events, merged = self._events, list[Record]()
        for record in records:
            while events and events[0][0] < record.id:
                merged.append(events.popleft()[1])
            merged.append(record)
        while events and events[0][0] <= upto:
            merged.append(events.popleft()[1])
        return merged
