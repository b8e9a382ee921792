"""`NamedVisit`: one subscription's presence."""

from __future__ import annotations

from typing import final

from ..contract.topics import Selection
from .presence import Presence

__all__ = ["NamedVisit"]


@final
class NamedVisit:
    """One subscription's presence under a name, while it is used."""

    __slots__ = ("_data", "_presence", "_selection", "begun", "name")

    def __init__(
        self, presence: Presence, selection: Selection, name: str, data: str | None = None
    ) -> None:
        self._data = data
        self._presence = presence
        self._selection = selection
        self.name: str = name
        self.begun: bool = False

    async def begin(self) -> None:
        self.begun = True
        await self._presence.join(self._selection, self.name, self._data)

    def end(self) -> None:
        if self.begun:
            self.begun = False
            self._presence.leave(self._selection, self.name)

    def missed(self, had: int) -> tuple[()]:
        return ()

    def end_soon(self) -> None:
        self._presence.leave_soon(self._selection, self.name)
