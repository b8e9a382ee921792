"""What a page shows, whichever part of it is open."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from .pace import Pace
from .view import View

__all__ = ["Others", "Picture", "Scene"]

#: What a page shows, as one JSON object without nulls.
Picture = dict[str, Any]


class Scene(Protocol):
    """One part of the page, for one who looks at it."""

    @property
    def ear(self) -> Callable[[], Awaitable[None]] | None:
        """What is to run beside for as long as it is looked at, if there is any."""

    async def take(self, pace: Pace) -> Picture:
        """What there is to see now."""

    def close(self) -> None:
        """It is looked at no longer."""


class Others(Protocol):
    """The other processes, as they are seen here."""

    @property
    def totals(self) -> dict[str, dict[str, Any]]:
        """Of each process that has answered of late, this one included: its totals, by its name."""

    @property
    def runs(self) -> Picture:
        """Their resumable runs by key, each with the name of its process."""

    async def ask_all(self) -> None:
        """Ask all for their totals, unless they were asked a moment ago. Waits for no answer."""

    async def picture(self, process: str, view: View, /) -> Picture | None:
        """What there is to see in one of them; None if it does not answer."""
