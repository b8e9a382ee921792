"""Compressing once what many are sent, of whom some come later, and some miss a part.

What is sent is compressed in *groups*: within one each event is made shorter by those before it,
and none by what is older than the group. So a group can be read by who has read all of it so far,
and its beginning by anybody. A group goes on for as long as nobody waits for the next.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any, Final, final
from weakref import ref

from .compressor import END_FRAME, deflating, zstd_step
from .event import EncodedEvent

__all__ = ["Group", "GroupCompressor", "Mark", "SharedEvent"]

#: Seconds that a group lasts at least, while there are any who wait for the next.
LEAST = 1.0

#: One for all clients, so it may be a little more than each would have: 100 KiB and 130.
_GZIP, _ZSTD = (6, 14, 6), (3, 16, 13)


@final
class Group:
    """What is compressed in a row.

    Attributes:
      step: the compressor.
      begun: when, on Trio's clock.
      awaited: whether somebody who could not read on waits for the next.
    """

    __slots__ = ("awaited", "begun", "step")

    def __init__(self, step: Any, begun: float) -> None:
        self.step: Any = step
        self.begun: float = begun
        self.awaited: bool = False


@final
class Mark:
    """A place in what is sent: whoever has read all up to here can read on.

    Those who can hold it, and nobody else does: when nobody is left, the group is over, and its
    compressor's memory is let go of.
    """

    __slots__ = ("__weakref__", "checksum", "group", "size")

    def __init__(self, group: Group | None, checksum: int, size: int) -> None:
        self.group: Group | None = group
        self.checksum: int = checksum
        self.size: int = size


@final
class SharedEvent:
    """What is sent to many, compressed.

    Attributes:
      wire: for who has read all up to ``before``.
      beginning: for everybody else, if a group begins here; else None.
      size: the bytes that it stands for.
      before, after: the places between which it is.
    """

    __slots__ = ("after", "before", "beginning", "size", "wire")

    def __init__(
        self,
        wire: EncodedEvent,
        beginning: EncodedEvent | None,
        size: int,
        before: Mark,
        after: Mark,
    ) -> None:
        self.wire: EncodedEvent = wire
        self.beginning: EncodedEvent | None = beginning
        self.size: int = size
        self.before: Mark = before
        self.after: Mark = after


@final
class GroupCompressor:
    """Makes the groups in one coding; holds nothing when nobody has read the last event."""

    __slots__ = ("_is_gzip", "_mark")

    def __init__(self, name: str) -> None:
        self._is_gzip: Final = name == "gzip"
        self._mark: Callable[[], Mark | None] = _nowhere

    def expect_others(self) -> None:
        """Somebody waits for the next group."""
        mark = self._mark()
        if mark is not None and mark.group is not None:
            mark.group.awaited = True

    def compress(self, event: EncodedEvent, now: float) -> SharedEvent:
        """What is next to be sent to all; ``now`` is Trio's clock."""
        data = event.data
        before = self._mark() or Mark(None, 0, 0)
        group = before.group
        begins = group is None or (group.awaited and now - group.begun >= LEAST)
        if group is None or begins:
            group = Group(deflating(*_GZIP) if self._is_gzip else zstd_step(*_ZSTD), now)
        if self._is_gzip:
            made = group.step.compress(data) + group.step.flush(zlib.Z_SYNC_FLUSH)
            checksum = zlib.crc32(data, before.checksum)
        else:
            made = group.step.compress(data, mode=group.step.FLUSH_BLOCK)
            checksum = 0
        wire = beginning = EncodedEvent(made)
        if begins and before.group is not None and not self._is_gzip:
            wire = EncodedEvent(END_FRAME + made)
        after = Mark(group, checksum, before.size + len(data))
        self._mark = ref(after)
        return SharedEvent(wire, beginning if begins else None, len(data), before, after)


def _nowhere() -> None:
    return None
