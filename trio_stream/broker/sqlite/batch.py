"""What publishers to a ``sqlite://`` broker publish at the same time: one transaction."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from operator import attrgetter
from typing import Any, NoReturn, TypeVar, final

import outcome
import trio

from ..contract import Entry, Once

__all__ = ["Batch", "Publisher", "RaiseCancel", "once_of", "once_of_entries", "tell_of_dismissed"]

log: logging.Logger = logging.getLogger("trio_stream")

ResultT = TypeVar("ResultT")

RaiseCancel = Callable[[], NoReturn]

Dismiss = Callable[["Publisher", RaiseCancel], trio.lowlevel.Abort]

_by_topic = attrgetter("topic")


@final
class Batch:
    """What will be one transaction.

    Attributes:
      publishers: those who wait, by their tasks, or None when it is too late to change it.
      events: how many events they publish.
      dismiss: called with who is cancelled when it is too late.
    """

    __slots__ = ("dismiss", "events", "publishers")

    def __init__(self, dismiss: Dismiss) -> None:
        self.publishers: dict[trio.lowlevel.Task, Publisher] | None = {}
        self.events: int = 0
        self.dismiss: Dismiss = dismiss

    def close(self) -> list[Publisher]:
        """Who is in it. Each topic's are together, as the store puts a topic's events into one row.

        That is as good an order as any: what is published at the same time has none before.
        """
        assert self.publishers is not None
        publishers, self.publishers = self.publishers, None
        return sorted(publishers.values(), key=_by_topic)


@final
class Publisher(outcome.Outcome[Sequence[int]]):
    """A task that waits: what it publishes, how that is taken back, and what wakes it up.

    One object is all of it, and an outcome of its own, because with a closure and `outcome.Value`
    a publish took 10 us, and now 8.

    Trio calls nothing of an outcome but `unwrap`; the rest is what makes it one.

    Attributes:
      task: None once it has been told something else, and waits no longer.
      topic: of its first event, by which publishers are put in order.
      first: the id of its first event, once it is stored.
      known: what is known in place of some of these ids, if it says `Once`.
    """

    __slots__ = ("batch", "entries", "first", "known", "task", "topic")

    def __init__(self, task: trio.lowlevel.Task, entries: Sequence[Entry], batch: Batch) -> None:
        self.task: trio.lowlevel.Task | None = task
        self.entries: Sequence[Entry] = entries
        self.topic: str = entries[0].topic
        self.batch: Batch = batch
        self.first: int = 0
        self.known: Mapping[int, int] | None = None

    def abort(self, raise_cancel: RaiseCancel) -> trio.lowlevel.Abort:
        """It was cancelled."""
        if self.batch.publishers is None:
            return self.batch.dismiss(self, raise_cancel)
        assert self.task is not None
        del self.batch.publishers[self.task]  # nothing has been done about it yet
        self.batch.events -= len(self.entries)
        return trio.lowlevel.Abort.SUCCEEDED

    def tell(self, result: outcome.Outcome[Any]) -> None:
        """Wake it up with something else, if it still waits."""
        task, self.task = self.task, None
        if task is not None:
            trio.lowlevel.reschedule(task, result)

    # The outcome: its ids.

    def unwrap(self) -> Sequence[int]:
        ids = range(self.first, self.first + len(self.entries))
        return ids if self.known is None else [self.known.get(id, id) for id in ids]

    def send(self, gen: Generator[ResultT, Sequence[int], object]) -> ResultT:
        return gen.send(self.unwrap())

    async def asend(self, agen: AsyncGenerator[ResultT, Sequence[int]]) -> ResultT:
        return await agen.asend(self.unwrap())


def once_of(publishers: Sequence[Publisher], first: int) -> dict[int, Once]:
    """What names a `Once`, by the ids that the events will have, from ``first`` on."""
    found: dict[int, Once] = {}
    for publisher in publishers:
        if publisher.entries[0].once is not None:  # else none of them has any
            found |= once_of_entries(publisher.entries, first)
        first += len(publisher.entries)
    return found


def once_of_entries(entries: Sequence[Entry], first: int) -> dict[int, Once]:
    """Likewise, of one publisher's."""
    return {id: entry.once for id, entry in enumerate(entries, first) if entry.once is not None}


def tell_of_dismissed(path: str, count: int, *, stored: bool) -> None:
    """What has become of events that nobody waited for any longer."""
    became = "stored" if stored else "not stored"
    log.warning(
        "%(file)s: %(events)d events whose publishers were cancelled while the disk was at it are "
        "%(state)s",
        {"engine": "sqlite", "file": path, "events": count, "state": became},
    )
