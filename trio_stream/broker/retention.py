"""How much of a topic is kept."""

from __future__ import annotations

from dataclasses import dataclass

from ..checks import check_count, check_seconds

__all__ = ["Retention"]


@dataclass(frozen=True, slots=True)
class Retention:
    """How much of each topic is kept: whichever bound is met first.

    Attributes:
      events: the newest so many events of a topic.
      age: seconds, or None for no limit. An event that is older is gone for readers; its memory
        is given back soon after.
      bytes: of a topic, in wire form. The newest event is kept whatever its size.
    """

    events: int = 10_000
    age: float | None = None
    bytes: int = 2**20

    def __post_init__(self) -> None:
        # By the names that `open_broker` has for them.
        check_count("history", self.events)
        check_seconds("history_age", self.age, "None means no limit", or_none=True)
        check_count("history_bytes", self.bytes)
