"""How much of a topic is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import final
from urllib.parse import quote

from ...checks import check_count, check_kind, check_seconds, naming
from .topics import check_name, compile_patterns, is_pattern

__all__ = ["DISCONNECTS", "Retention", "RetentionTable", "retention_of"]

#: The topic on which it is said who was disconnected.
DISCONNECTS = "$disconnects"

#: Topics of which it is remembered what is kept of them.
_KNOWN = 10_000


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

    def of(self, topic: str) -> Retention:
        """What holds for one topic."""
        return self if topic != DISCONNECTS else _OF_DISCONNECTS

    @property
    def ages(self) -> frozenset[float]:
        """The ages that there are, whatever the topic; empty where nothing gets too old."""
        return frozenset(() if self.age is None else (self.age,))

    @property
    def table(self) -> str:
        """What there is besides, in one word, for who compares it with another's."""
        return ""


#: Enough for who is cut off for a while, whatever is kept of the users' own topics.
_OF_DISCONNECTS = Retention()


@final
@dataclass(frozen=True, slots=True)
class RetentionTable(Retention):
    """The broker's own, but for topics that these names or patterns match.

    Attributes:
      rows: names and patterns, in the order in which they are tried; the first that matches holds.
    """

    rows: tuple[tuple[str, Retention], ...] = ()
    _known: dict[str, Retention] = field(default_factory=dict, compare=False, repr=False)

    def of(self, topic: str) -> Retention:
        found = self._known.get(topic)
        if found is None:
            if len(self._known) >= _KNOWN:
                self._known.clear()
            default = Retention(self.events, self.age, self.bytes)
            fitting = (kept for name, kept in self.rows if _matches(name, topic))
            found = (next(fitting, None) or default).of(topic)
            self._known[topic] = found
        return found

    @property
    def ages(self) -> frozenset[float]:
        every = (self.age, *(kept.age for _, kept in self.rows))
        return frozenset(age for age in every if age is not None)

    @property
    def table(self) -> str:
        return ",".join(
            f"{quote(name)}:{kept.events}:{kept.age}:{kept.bytes}" for name, kept in self.rows
        )


def _matches(name: str, topic: str) -> bool:
    return compile_patterns([name])(topic) if is_pattern(name) else name == topic


def retention_of(default: Retention, table: object) -> Retention:
    """The broker's retention, with a table of users' if there is one.

    Raises:
      TypeError, ValueError: it is no such table.
    """
    if table is None:
        return default
    check_kind("retention", table, Mapping, "a mapping of names and patterns to Retention")
    assert isinstance(table, Mapping)
    for name, kept in table.items():
        with naming("retention"):
            check_name(name, "a topic")
        check_kind(f"retention[{name[:40]!r}]", kept, Retention, "a Retention")
    if not table:
        return default
    return RetentionTable(default.events, default.age, default.bytes, tuple(table.items()))
