"""Hearing of the events of one topic at once, at no cost for all others."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from ..contract.records import Record

__all__ = ["Overheard", "Told"]

#: By topic, what is called in the middle of every event of its: it may take note of that, no more.
Told = dict[str, Callable[[], None]]


@final
class Overheard(list[Record]):
    """A topic's events in memory, of each of which somebody is told."""

    def __init__(self, tell: Callable[[], None]) -> None:
        super().__init__()
        self._tell = tell

    def append(self, record: Record) -> None:
        super().append(record)
        self._tell()
