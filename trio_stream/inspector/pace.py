"""How often something is done: once a second, and less often where it costs too much."""

from __future__ import annotations

import time
from typing import Self

__all__ = ["PERIOD", "Pace"]

#: Seconds between two looks at all streams, and between two pictures of a page, at least.
PERIOD = 1.0

#: The part of one core that either may take, unless it would be longer apart than these seconds.
_SHARE = 0.01
_LONGEST = 5.0


class Pace:
    """Counts what its ``with`` blocks take of the processor, nothing being awaited in them."""

    def __init__(self) -> None:
        self._spent = self._begun = 0.0

    def __enter__(self) -> Self:
        self._begun = time.thread_time()
        return self

    def __exit__(self, *_: object) -> None:
        self._spent += time.thread_time() - self._begun

    def rest(self) -> float:
        """Seconds until it may be done again, after what it has taken since this was last asked."""
        spent, self._spent = self._spent, 0.0
        return min(max(PERIOD, spent / _SHARE), _LONGEST)
