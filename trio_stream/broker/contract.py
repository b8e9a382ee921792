"""What a broker asks of its engine, and the values that pass between them.

A **broker** (`trio_stream.Broker`) is what an application uses. It encodes events, knows the
subscribers of its own process, hands them what is new and lets them catch up. An **engine** numbers
events and keeps them. There are three, `memory`, `sqlite` and `redis`; another is anything that
keeps this contract, and `trio_stream.testing.check_broker` tells whether it does:
``open_broker(MyEngine(...))``.

The contract of an engine, in prose:

*Ids.* `Engine.append` gives every event a number that is larger than every number given before it,
by any process, over the whole life of the stored log, and never gives one twice: not after a crash,
and not after events were lost. Numbers need not be dense. A new log starts at the current time in
microseconds, so that ids of a log that was deleted are older than its own, and not mistaken for
them.

*What append means.* When `append` returns, the events are stored as safely as the engine promises
to store anything, in the order of the entries, and all of them or none. When it raises a
`trio_stream.BrokerError` the events may or may not be stored; the error's documentation says which.
When it is cancelled, likewise, unless nothing had been sent yet.

*Feeding.* From its ``task_status.started(head)`` on, the engine calls `Feed.records` with every
event that is appended after ``head``, by this process or another, in the order of their ids and
each exactly once, from any task of the Trio run but never from another thread. An event that is
appended may be fed before `append` returns, or after. When an engine cannot tell whether it has
missed some, because it was cut off for too long, it calls `Feed.interrupted` with the id from which
on it feeds again: nobody is told nothing, each subscriber reads what it missed.

*Reading.* `read` returns what is kept of some topics after a cursor, oldest first, a page at a
time. `Page.gone` names the topics of which an event after the cursor may be missing from the page
or from a later one: it was trimmed, it was lost, or the cursor is not an id that this log has
given. A reader that is told so goes on from the page, and hears of it again when more has gone.
False alarms are allowed where nothing better is known, silence never is.

*Safety.* Everything but `run` may be called from any number of tasks at once. Nothing may be called
before `run` has started, or after it has ended: the broker sees to that. `run` runs until it is
cancelled and cleans up after itself; what it raises ends the broker.

*Leases.* An append may carry a `Lease`. It is stored only if, at that very place in the log, its
owner holds that lease: when it has lapsed or is another's, `append` raises
`trio_stream.LeaseLostError`, and nothing of it is stored, however long it has been on its way. So
who claims a lease that lapsed can be sure that nothing of its last owner's follows.

*Idempotence.* `release` and `leave` may be called for what is not held. A publish that the engine
retries by itself, after a lost connection, is stored once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from types import MappingProxyType
from typing import Any, Protocol, overload, runtime_checkable

import msgspec
import trio

from ..checks import check_count, check_seconds
from ..codec import EncodedEvent
from .topics import Selection

__all__ = [
    "LEASE",
    "NOTHING",
    "Engine",
    "Entry",
    "Feed",
    "Lease",
    "Member",
    "PackedRecords",
    "Page",
    "Record",
    "Retention",
    "joined",
    "lease_of",
    "wire_form",
]


#: Of no topic: what is gone, mostly. One for all, as each subscription remembers what it was told.
NOTHING: Mapping[str, int] = MappingProxyType({})

#: Seconds after which what a dead process held is free again. Ten are a few lost seconds of a
#: network between servers; a third of it is how often a living one says that it lives.
LEASE = 10.0


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


# Structs are dataclasses that are made in a fifth of the time, and the collector need not look at
# these: what they hold cannot lead back to them. There is one of each for every event.
class Entry(msgspec.Struct, frozen=True, gc=False):
    """An event on its way into the log.

    Attributes:
      topic: a name, checked.
      body: its wire form, but for the id, which it does not have yet.
      key: what it is the latest value of, for ``overflow="latest"``; ``""`` for the topic itself.
        Keys that begin with ``$`` are the library's own.
    """

    topic: str
    body: bytes
    key: str = ""


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
      id: its place there.
      topic: as of its `Entry`, and so is ``key``.
      data: its wire form, id included; see `wire_form`.
    """

    id: int
    topic: str
    key: str
    data: bytes

    @property
    def event(self) -> EncodedEvent:
        """What a stream is sent. Made when asked for: most events are sent with others, joined."""
        return EncodedEvent(self.data, id=str(self.id))


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
    """

    __slots__ = ("_count", "_records", "_unpack", "data", "last")

    def __init__(
        self, data: bytes, last: int, count: int, unpack: Callable[[], Sequence[Record]]
    ) -> None:
        self.data: bytes = data
        self.last: int = last
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


def joined(records: Sequence[Record]) -> EncodedEvent:
    """All of these events as one block of bytes, with the id of the last."""
    if isinstance(records, PackedRecords):
        return EncodedEvent(records.data, id=str(records.last))
    data = b"".join([record.data for record in records])
    return EncodedEvent(data, id=str(records[-1].id))


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


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody who is present on a topic; got by `Broker.presence`.

    Attributes:
      name: as given to ``subscribe(presence=...)``.
      connections: how many subscriptions are present under it, in all processes.
    """

    name: str
    connections: int


class Feed(Protocol):
    """The broker, as its engine sees it."""

    def records(self, records: Sequence[Record], /) -> None:
        """These have been appended: in order, nothing left out since the last call."""

    def interrupted(self, head: int, /) -> None:
        """Events may have been left out; from ``head`` on nothing is."""


@runtime_checkable
class Engine(Protocol):
    """Numbers events and keeps them; the module's own text is the contract."""

    #: Whether `read` knows more than what was fed since `run` started.
    keeps_history: bool
    #: Whether other processes append to the same log, and may die.
    shared: bool

    async def run(self, feed: Feed, *, task_status: trio.TaskStatus[int]) -> None:
        """Open the log, call ``task_status.started(head)``, and feed until cancelled.

        ``head`` is the largest id that has been given so far.
        """

    async def append(
        self, entries: Sequence[Entry], lease: Lease | None = None, /
    ) -> Sequence[int]:
        """Store all entries, or none, and return their ids, which strictly increase.

        With a lease only if it is held: see the module's own text.

        A checkpoint; once an entry is stored for certain, no longer one that can be cancelled.
        """

    async def read(self, selection: Selection, after: int, limit: int, /) -> Page:
        """What is kept after ``after``, at most ``limit`` records, or an engine's own lower limit.

        With ``after`` 0, all that is kept is asked for. What is gone is told all the same, so that
        the reader knows what has gone since when it reads on.
        """

    async def claim(self, name: str, owner: str, seconds: float, /) -> str | None:
        """Take the lease of this name, or prolong it, if nobody else holds it.

        Returns who held it when this was called: None for nobody.
        """

    async def prolong(self, name: str, owner: str, seconds: float, /) -> bool:
        """Prolong the lease of this name, if ``owner`` holds it; whether he does.

        One that has lapsed is not taken again: who knows what others did meanwhile.
        """

    async def release(self, name: str, owner: str, /) -> None:
        """Give the lease up, if ``owner`` holds it."""

    async def holder(self, name: str, /) -> str | None:
        """Who holds the lease, or None."""

    async def join(
        self, topic: str, name: str, owner: str, count: int, seconds: float, /
    ) -> tuple[int, int]:
        """Say that ``owner`` has ``count`` connections of ``name`` on this topic, for ``seconds``.

        Returns how many there were under this name, and how many there are now, of all owners.
        Those whose time is over are counted until `lapsed` has told them, or their owner speaks: so
        each time that a name comes or goes is told to exactly one caller. A count of 0 is a leave.
        """

    async def members(self, topic: str, /) -> Sequence[Member]:
        """Who is present on a topic, by name."""

    async def lapsed(self) -> Sequence[tuple[str, str]]:
        """Topics and names that were present and whose time is over, each told to one caller."""

    def statistics(self) -> dict[str, Any]:
        """What the engine itself counts, for logs; the keys are its own."""


def lease_of(engine: Engine) -> float:
    """Seconds that a process's word holds, about who is present and what it runs."""
    return LEASE if engine.shared else inf
