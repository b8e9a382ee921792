"""What a decoder leaves out, because the standard says so: counted, so that it can be told."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["DropCounter", "DroppedInput"]

#: What could be the name of a field, though of none that the standard knows.
_NAME = re.compile(r"[\w.-]{1,40}").fullmatch

#: Characters that are kept of the first line that is no field.
_EXCERPT = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class DroppedInput:
    """What came over a connection and is in no event; false when that is nothing.

    Attributes:
      unknown_fields: lines whose field the standard does not know: "The field is ignored."
      stray_lines: lines that are no field of any kind, such as JSON, HTML or plain text between
        the events: mostly an error's.
      unfinished: whether what came last is an event without the blank line that ends it. Until the
        connection has ended there may be more of it to come.
      ends_astray: whether no event has come since the last stray line.
    """

    unknown_fields: int = 0
    stray_lines: int = 0
    unfinished: bool = False
    ends_astray: bool = False

    def __bool__(self) -> bool:
        return bool(self.unknown_fields or self.stray_lines or self.unfinished)


class DropCounter:
    """Counts what a decoder drops of one connection's stream.

    Attributes:
      unknown_fields, stray_lines, ends_astray: see `DroppedInput`.
      in_block: whether there was any in the block that has not ended.
      first_stray: the beginning of the first stray line.
    """

    def __init__(self) -> None:
        self.unknown_fields: int = 0
        self.stray_lines: int = 0
        self.ends_astray: bool = False
        self.in_block: bool = False
        self.first_stray: str = ""
        self._events_before = -1

    @property
    def lines(self) -> int:
        return self.unknown_fields + self.stray_lines

    def snapshot(self, *, unfinished: bool) -> DroppedInput:
        return DroppedInput(
            unknown_fields=self.unknown_fields,
            stray_lines=self.stray_lines,
            unfinished=unfinished,
            ends_astray=self.ends_astray,
        )

    def drop(self, line: str, name: str, events: int) -> None:
        """Count a line, read behind so many events of what was fed together."""
        self.in_block = True
        if _NAME(name):
            self.unknown_fields += 1
            return
        if not self.stray_lines:
            self.first_stray = line[:_EXCERPT]
        self.stray_lines += 1
        self._events_before = events

    def fed(self, events: int) -> None:
        """What was fed together has given so many events."""
        if self._events_before >= 0:
            self.ends_astray = events == self._events_before
            self._events_before = -1
        elif events:
            self.ends_astray = False
