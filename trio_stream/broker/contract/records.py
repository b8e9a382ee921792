"""The values that pass between a broker and its engine: events on their way, and in the log."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, overload

import msgspec

from ...codec import EncodedEvent

__all__ = [
    "NOTHING",
    "ONCE_FOR",
    "Entry",
    "Lease",
    "Once",
    "PackedRecords",
    "Page",
    "Record",
    "joined",
    "passing",
    "wire_form",
    "without",
]

#: Of no topic: what is gone, mostly. One for all, as each subscription remembers what it was told.
NOTHING: Mapping[str, int] = MappingProxyType({})


#: Seconds for which what was published ``once`` is known, if nobody says. PostgreSQL's outbox has
#: it as a column's default, and looks less closely at what has it and no key.
ONCE_FOR: Final = 300.0


# Structs are dataclasses that are made in a fifth of the time, and the collector need not look at
# these: what they hold cannot lead back to them. There is one of each for every event.
class Once(msgspec.Struct, frozen=True, gc=False):
    """What an entry is known by, in its topic.

    Attributes:
      key: any text.
      seconds: for how long it is.
    """

    key: str
    seconds: float


class Entry(msgspec.Struct, frozen=True, gc=False):
    """An event on its way into the log.

    Attributes:
      topic: a name, checked.
      body: its wire form, but for the id, which it does not have yet.
      key: what it is the latest value of, for ``overflow="latest"``; ``""`` for the topic itself.
        Keys that begin with ``$`` are the library's own.
      but: the id of the stream that is not sent it; ``""`` for none.
      once: what it is known by, if the same must not be stored twice.
    """

    topic: str
    body: bytes
    key: str = ""
    but: str = ""
    once: Once | None = None


class Lease(msgspec.Struct, frozen=True):
    """Whose word it is; got by `Engine.claim`.

    Attributes:
      name: of what it is the lease.
      owner: who has to hold it.
    """

    name: str
    owner: str


class Record(msgspec.Struct, frozen=True, gc=False):
    """An event in the log.

    Attributes:
      id: its place there; 0 for one that has none, and is only passed on.
      topic: as of its `Entry`, and so are ``key`` and ``but``.
      data: its wire form, id included; see `wire_form`.
    """

    id: int
    topic: str
    key: str
    data: bytes
    but: str = ""

    @property
    def event(self) -> EncodedEvent:
        """What a stream is sent. Made when asked for: most events are sent with others, joined."""
        return EncodedEvent(self.data, id=str(self.id) if self.id else None)


def wire_form(id: int, body: bytes) -> bytes:
    """An entry's body with its id before it."""
    return b"id: %d\n%b" % (id, body)


class PackedRecords(Sequence[Record]):
    """Records whose events lie one after another already, and need not be taken apart to be sent.

    Args:
      data: the events' bytes, in the order of the records.
      last: the last one's id.
      count: how many there are.
      unpack: makes the records, when somebody asks for one.
      about: text in which there is the name of each stream that is not sent one of them.
    """

    __slots__ = ("_count", "_records", "_unpack", "about", "data", "last")

    def __init__(
        self,
        data: bytes,
        last: int,
        count: int,
        unpack: Callable[[], Sequence[Record]],
        about: str = "",
    ) -> None:
        self.data: bytes = data
        self.last: int = last
        self.about: str = about
        self._count = count
        self._unpack = unpack
        self._records: Sequence[Record] | None = None

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Record]: ...
    def __getitem__(self, index: int | slice) -> Record | Sequence[Record]:
        if self._records is None:
            self._records = self._unpack()
        return self._records[index]

    def between(self, after: int, upto: int) -> Sequence[Record]:
        """Those with ids behind one and up to another."""
        return [record for record in self if after < record.id <= upto]


def joined(records: Sequence[Record]) -> EncodedEvent:
    """All of these events as one block of bytes, with the id of the last."""
    if isinstance(records, PackedRecords):
        return EncodedEvent(records.data, id=str(records.last))
    data = b"".join([record.data for record in records])
    return EncodedEvent(data, id=str(records[-1].id))


def passing(entries: Sequence[Entry]) -> list[Record]:
    """Entries as what is in no log, for `Feed.passing`."""
    return [Record(0, entry.topic, entry.key, entry.body, entry.but) for entry in entries]


def without(records: Sequence[Record], stream: str) -> Sequence[Record]:
    """What of these this stream is sent: all but what names it as ``but``."""
    if isinstance(records, PackedRecords) and stream not in records.about:
        return records
    return [record for record in records if record.but != stream]


@dataclass(frozen=True, slots=True)
class Page:
    """Some of a log, got by `Engine.read`.

    Attributes:
      records: the oldest of what was asked for, in the order of their ids.
      upto: every event that was asked for and has an id up to this one is in ``records`` or gone.
      gone: the topics of which events after the cursor are gone, or may be, and the id of the
        newest that is: a number, at any rate, which is another when more has gone since. What is
        not of a single topic, or not known so well, has ``""`` for a topic.
    """

    records: Sequence[Record]
    upto: int
    gone: Mapping[str, int] = field(default_factory=lambda: NOTHING)
