"""What a run's topic says of it: where it begins and where it ends."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Literal, Protocol

from ...codec import encode
from ..contract import Engine, Entry, Lease, Page, Record
from ..contract.event import TopicEvent
from ..contract.topics import EARLIEST, Selection, check_name, check_topic
from ..publisher import Publisher
from ..reading.feed import LocalFeed

__all__ = [
    "Ending",
    "LastRun",
    "Log",
    "ending_of",
    "find_run",
    "is_end",
    "is_mark",
    "is_stop",
    "mark_end",
    "mark_start",
    "mark_stop",
    "time_of",
    "topic_of",
    "truth",
]

Ending = Literal["done", "failed", "stopped", "abandoned", "lost"]

#: The keys of a run's marks. No event of a user's has such a key.
_START, _STOP, _END, _FAILED = "$start", "$stop", "$end", "$failed"

_MARKS = frozenset({_START, _STOP, _END, _FAILED})

#: Comments: no client is sent them, and one that reads the topic itself reads over them.
_START_BODY = b": a run begins\n\n"
_TIME = re.compile(rb"^: at (\d+\.\d+)$", re.MULTILINE)
_STOP_BODY = b": it is asked to stop\n\n"

_PAGE = 1024


def topic_of(key: str) -> str:
    """The topic of a key; else `TypeError` or `ValueError`."""
    name = check_topic(check_name(key, "a resumable's key"))
    return check_name(f"$resumable/{name}", "a resumable's key and '$resumable/'")


@dataclass(frozen=True, slots=True)
class LastRun:
    """What is kept of a topic's last run.

    Attributes:
      start: the id of the mark at its start; None if that is gone, or there was no run.
      end: the mark at its end, if there is one.
      kept: whether anything is.
      known: whether the cursor that was asked for is in it, so that it can be gone on from.
      over: whether that cursor is the end of a run, of this one or an earlier one.
      last: the id of the last event that its producer has sent, if one is kept.
      began: when it began, if that is known.
    """

    start: int | None
    end: Record | None
    kept: bool
    known: bool
    over: bool
    last: int | None
    began: float | None = None

    @property
    def is_done(self) -> bool:
        """Whether the producer has returned."""
        return self.end is not None and self.end.key == _END

    def is_from(self, start: int) -> bool:
        """Whether it is the run with this mark at its start, or a later one."""
        return self.kept and (self.start is None or self.start >= start)

    def is_same(self, other: LastRun) -> bool:
        """Whether nothing has begun or ended in between."""
        return (self.start, self.end) == (other.start, other.end)


class Log(Protocol):
    """Where a topic is read: a `LocalFeed`, or an engine that knows better."""

    async def read(self, selection: Selection, cursor: int, limit: int, /) -> Page: ...


def truth(engine: Engine, feed: LocalFeed) -> Log:
    """The log that nobody is ahead of.

    What other processes have appended, this one's own may not have been fed yet: it was cut off, or
    stood still. Who holds a lease reads here what has become of the run meanwhile.
    """
    return engine if engine.shared and engine.keeps_history else feed


async def find_run(log: Log, topic: str, after: int | None = None) -> LastRun:
    """Read a topic for its last run, and for a cursor in it."""
    start = end = last = began = None
    kept = known = over = False
    cursor, selection = EARLIEST, Selection([topic])
    trimmed = 0
    while (page := await log.read(selection, cursor, _PAGE)).records:
        if cursor == EARLIEST:
            trimmed = page.gone.get(topic, 0)
        kept = True
        for record in page.records:
            if record.key == _START:
                start, end, known, last = record.id, None, False, None
                began = time_of(record)
            elif is_end(record):
                end, over = record, over or record.id == after
            elif not is_mark(record):
                last = record.id
            known = known or record.id == after
        cursor = page.upto
    # A run without its start was trimmed: all that there is belongs to it, and may follow what the
    # client has seen last.
    known = known or (kept and start is None and after == trimmed)
    return LastRun(start, end, kept, known, over, last, began)


async def mark_start(publisher: Publisher, topic: str, lease: Lease | None = None) -> int:
    """Returns the mark's id."""
    [start] = await publisher.append([Entry(topic, _now() + _START_BODY, _START)], lease)
    return start


async def mark_end(
    publisher: Publisher, topic: str, reason: Ending, lease: Lease | None = None
) -> None:
    """The event that all who watch get last."""
    if reason == "done":
        mark = Entry(topic, _now() + encode("", event="done").data, _END)
    else:
        mark = Entry(topic, _now() + encode({"reason": reason}, event="failed").data, _FAILED)
    await publisher.append([mark], lease)


async def mark_stop(publisher: Publisher, topic: str) -> None:
    """Ask the process that runs it to stop it."""
    await publisher.append([Entry(topic, _STOP_BODY, _STOP)])


def _now() -> bytes:
    """The line of a mark that says when it was made."""
    return b": at %.3f\n" % time.time()


def time_of(mark: Record) -> float | None:
    """When a run began or ended; None if an older version has made the mark."""
    found = _TIME.search(mark.data)
    return None if found is None else float(found[1])


def is_mark(record: Record) -> bool:
    """Whether it is none of the producer's events."""
    return record.key in _MARKS


def is_end(record: Record) -> bool:
    """Whether it is the last event of a run."""
    return record.key in {_END, _FAILED}


def ending_of(end: Record) -> Ending:
    """How a run ended, as the mark at its end has it."""
    if end.key == _END:
        return "done"
    reason: Ending = TopicEvent(end.topic, end.event).json()["reason"]
    return reason


def is_stop(record: Record) -> bool:
    """Whether it asks a run to stop."""
    return record.key == _STOP
