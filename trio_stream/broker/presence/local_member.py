"""A name that is present through this process, and what the others have been told of it."""

from __future__ import annotations

from math import inf
from typing import final

import trio

from ..contract import NO_VALUE

__all__ = ["LocalMember"]


@final
class LocalMember:
    """A name that is, or a moment ago was, present on a topic through this process."""

    __slots__ = ("count", "data", "due", "lock", "owes", "says", "told", "until")

    def __init__(self) -> None:
        self.count: int = 0
        #: Until when a name without a connection may be back, and has not left.
        self.until: float = -inf
        #: The count that the engine knows, the news of it published; None while that is not sure.
        self.told: int | None = 0
        #: What belongs to the name, as it was said here last; whether the engine is still to hear
        #: of it, and whether the news are.
        self.data: str = NO_VALUE
        self.says: bool = False
        self.owes: bool = False
        #: When `Presence.run` looks after it next.
        self.due: float = inf
        #: Held by who tells: one at a time, so that the news are in order.
        self.lock: trio.Lock = trio.Lock()
