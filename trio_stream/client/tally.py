"""What the event sources of this process have done, for its metrics."""

from __future__ import annotations

from typing import final

from ..tally import Histogram, lock

__all__ = ["SourceTally", "sources"]


@final
class SourceTally:
    """The attempts of all event sources together.

    Attributes:
      attempts, reconnects: how many have begun, and how many of them were not a source's first.
      failures: how many ended with an error, or brought nothing.
      delays: seconds that were to be waited before the next.
    """

    def __init__(self) -> None:
        self.attempts: int = 0
        self.reconnects: int = 0
        self.failures: int = 0
        self.delays: Histogram = Histogram((0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0))

    def begin(self, number: int) -> None:
        """An attempt begins; ``number`` is which of its source."""
        with lock:
            self.attempts += 1
            self.reconnects += number > 1

    def fail(self) -> None:
        """One has failed."""
        with lock:
            self.failures += 1


#: Those of this process.
sources: SourceTally = SourceTally()
