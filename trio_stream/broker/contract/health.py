"""Whether a broker's engine is there, and what an engine says of that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

__all__ = ["BrokerHealth", "HealthEngine", "health_of"]


@dataclass(frozen=True, slots=True)
class BrokerHealth:
    """Whether a broker's engine is there; got by `Broker.health`."""

    #: Whether the engine can be reached, as far as is known: one that was cut off without a word is
    #: found out within some ten seconds.
    reachable: bool
    #: Seconds since it was found that it cannot; 0 while it can.
    seconds_unreachable: float = 0.0
    #: What is wrong, as the log says it, or ``""``. An engine that is there may have something,
    #: too: it refuses to write.
    trouble: str = ""


@runtime_checkable
class HealthEngine(Protocol):
    """An engine that can be away, and knows it."""

    def health(self) -> BrokerHealth:
        """Whether it is there now. Called often, by whoever asks for the broker's."""


def health_of(engine: object) -> BrokerHealth:
    """Of any engine: what is in this process cannot be away, nor what says nothing of it."""
    return engine.health() if isinstance(engine, HealthEngine) else BrokerHealth(reachable=True)
