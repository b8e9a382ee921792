"""`Mapper`: what the fan-out hands to those with a map, made once for all of them."""

from __future__ import annotations

from typing import final

from ...errors import MapError
from ..contract import Record, Retention
from .audience import Group
from .mapping import EventMap, Mapped

__all__ = ["Mapper"]


@final
class Mapper:
    """Runs each mapping once for what is handed out together, however many groups have it."""

    def __init__(self, retention: Retention) -> None:
        self._retention = retention
        self._run: list[Record] = []
        self._found: dict[EventMap, Mapped] = {}

    def mapped(self, mapping: EventMap, run: list[Record]) -> Mapped:
        """What it makes of these."""
        if run is not self._run:
            self._run, self._found = run, {}
        found = self._found.get(mapping)
        if found is None:
            found = self._found[mapping] = mapping.apply_all(run)
        return found

    def forget(self) -> None:
        """Nothing of it is handed out any more."""
        self._run, self._found = [], {}

    def prepared(self, group: Group, mapping: EventMap, run: list[Record]) -> Mapped:
        """What is handed to a group instead of these, told places included."""
        mapped = self.mapped(mapping, run)
        if mapped.error is None and group.note(run, mapped.records, self._retention):
            try:
                place = mapping.place_of(run[-1])
            except MapError as exc:
                return Mapped(mapped.records, exc, mapped.upto)
            if place is not None:
                return Mapped([*mapped.records, place], None, mapped.upto)
        return mapped
