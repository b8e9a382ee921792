"""What the brokers of this process have done, those that are closed included, for its metrics."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import final

from ..tally import Histogram, lock
from .contract import Engine
from .publisher import Publisher
from .reading.feed import LocalFeed
from .resumable import Runs
from .stored import STORED

__all__ = ["BrokerTally", "Counted", "brokers"]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Counted:
    """A broker that is open."""

    engine: Engine
    feed: LocalFeed
    publisher: Publisher
    runs: Runs

    @property
    def name(self) -> str:
        """What kind of engine it has: ``"redis"``."""
        return type(self.engine).__name__.removesuffix("Engine").lower()

    def totals(self) -> Counter[str]:
        """What only grows."""
        feed = self.feed
        return Counter(
            published=self.publisher.published,
            delivered=feed.fanout.delivered,
            turns=feed.fanout.turns,
            gaps=feed.gaps,
            conflated=feed.conflated,
            fell_behind=feed.fell_behind,
        )


@final
class BrokerTally:
    """The brokers of this process, of whatever Trio run, by the kind of their engine.

    Attributes:
      stored: seconds that engines took to store what was published, a batch at a time.
    """

    def __init__(self) -> None:
        self.stored: Histogram = STORED
        self._open: list[Counted] = []
        self._closed: dict[str, Counter[str]] = {}

    def open(self, broker: Counted) -> None:
        """It has opened."""
        with lock:
            self._open.append(broker)

    def close(self, broker: Counted) -> None:
        """It is closed: what it has counted stays."""
        with lock:
            self._open.remove(broker)
            self._closed.setdefault(broker.name, Counter()).update(broker.totals())

    def read(self) -> tuple[list[Counted], dict[str, Counter[str]]]:
        """Those that are open, and by kind what all have counted."""
        with lock:
            opened = list(self._open)
            totals = {name: Counter(counted) for name, counted in self._closed.items()}
            for broker in opened:
                totals.setdefault(broker.name, Counter()).update(broker.totals())
        return opened, totals


#: Those of this process.
brokers: BrokerTally = BrokerTally()
