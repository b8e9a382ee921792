"""Places in the log that are told by how much there is behind them, or how long ago they were."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from ...checks import MAX_SECONDS, check_count
from .topics import check_cursor

__all__ = ["Cursor", "Last", "Place", "check_after"]

Cursor = str | int | None


@dataclass(frozen=True, slots=True)
class Last:
    """The newest so many events of what is kept, for ``after=``: of all its topics together.

    Attributes:
      events: how many, 1 or more.
    """

    events: int

    def __post_init__(self) -> None:
        check_count("Last", self.events)


Place = Cursor | Last | timedelta


def check_after(after: object) -> None:
    """`TypeError` or `ValueError` for what is no place; an id may be any text: it is a client's."""
    if isinstance(after, timedelta):
        if not 0 < after.total_seconds() <= MAX_SECONDS:
            raise ValueError(
                f"after must be a timedelta of more than 0 and at most {MAX_SECONDS} seconds, "
                f"how long ago it was, not {after!r}"
            )
    elif not isinstance(after, Last):
        check_cursor(after, ", a Last, a timedelta")
