"""The engine's interface: what every one has, and what more a full one has."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, Protocol, cast, runtime_checkable

import trio

from .records import (
    Entry,
    Lease,
    Page,
    Record,
)
from .topics import Selection

#: Seconds after which what a dead process held is free again. Ten are a few lost seconds of a
#: network between servers; a third of it is how often a living one says that it lives.
LEASE = 10.0


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody who is present on a topic; got by `Broker.presence`.

    Attributes:
      name: as given to ``subscribe(presence=...)``.
      connections: how many subscriptions are present under it, in all processes.
      data: what belongs to the name, as `Broker.update_presence` has it; an engine has its JSON.
    """

    name: str
    connections: int
    data: Any = None


#: The JSON of what belongs to a name of which nothing is said.
NO_VALUE = "null"


class Feed(Protocol):
    """The broker, as its engine sees it."""

    def records(self, records: Sequence[Record], /) -> None:
        """These have been appended: in order, nothing left out since the last call."""

    def passing(self, records: Sequence[Record], /) -> None:
        """These are not in the log: for who is at the head of it now. Their ids are 0."""

    def forgotten(self, topic: str, id: int | None, /) -> bool:
        """This event is gone, or all of the topic that were fed; whether any was in memory."""

    def interrupted(self, head: int, /) -> None:
        """Events may have been left out; from ``head`` on nothing is."""


@runtime_checkable
class Engine(Protocol):
    """Numbers events and keeps them; the module's own text is the contract.

    This is what every engine has to have. One that has not what `FullEngine` adds can be used: what
    would need that is refused.
    """

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


class FullEngine(Engine, Protocol):
    """An engine for all that a broker can do."""

    async def pass_on(self, entries: Sequence[Entry], /) -> None:
        """Hand these to the feeds of all processes, and store nothing. A checkpoint."""

    async def cursor_back(self, selection: Selection, count: int, /) -> int:
        """The id behind which are the newest ``count`` events of what is kept; 0 for all of it."""

    async def cursor_since(self, selection: Selection, seconds: float, /) -> int:
        """The id behind which is all that was appended in the last ``seconds``; 0 for all of it.

        By whatever clock the engine has. Where writers' clocks differ, by so much it is wrong.
        """

    async def forget(self, topic: str, id: int | None, /) -> bool:
        """Delete an event of a topic, or, with None, all of them and what was published once.

        Returns whether there was any. All processes' feeds are told, and `read` tells from now on
        that they are gone, as of what was trimmed. A checkpoint.
        """

    async def describe(
        self, topic: str, name: str, data: str | None, /
    ) -> tuple[str | None, str | None]:
        """Say what belongs to a name that is present, as JSON; with None leave it as it is.

        Returns what it was, and what it is now: `NO_VALUE` where nothing was said of it, None for
        both where nobody is present under it, as `join` counts.
        """

    async def find_once(self, topic: str, key: str, /) -> int | None:
        """The id of what was stored in this topic under this key of a `Once`, while that holds."""


def full_engine(engine: Engine, what: str) -> FullEngine:
    """The engine, if it has what ``what`` needs; else a `TypeError` that says what is missing."""
    wanted = [name for name, made in vars(FullEngine).items() if inspect.isfunction(made)]
    missing = [name for name in wanted if name[0] != "_" and not hasattr(engine, name)]
    if missing:
        raise TypeError(
            f"{what} needs more of an engine than {type(engine).__name__} has: "
            f"{', '.join(missing)} of trio_stream.broker.contract"
        )
    return cast(FullEngine, engine)


def lease_of(engine: Engine) -> float:
    """Seconds that a process's word holds, about who is present and what it runs."""
    return LEASE if engine.shared else inf
