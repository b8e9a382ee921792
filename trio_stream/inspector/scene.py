"""What a page shows, whichever part of it is open."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from .pace import Pace

__all__ = ["Picture", "Scene"]

#: What a page shows, as one JSON object without nulls.
Picture = dict[str, Any]


class Scene(Protocol):
    """One part of the page, for one who looks at it."""

    @property
    def ear(self) -> Callable[[], Awaitable[None]] | None:
        """What is to run beside for as long as it is looked at, if there is any."""

    async def take(self, pace: Pace) -> Picture:
        """What there is to see now."""
