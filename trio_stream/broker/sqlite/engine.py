"""What publishers to a ``sqlite://`` broker wait for: their transaction.

What is published while a transaction is being written goes into the next one, so that many
publishers share what is expensive: the wait for the disk. Those that wait no longer prepare what
they publish next meanwhile.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Coroutine, Generator, Sequence
from functools import partial
from itertools import chain
from typing import Any, TypeVar, final
from urllib.parse import unquote

import outcome
import trio

from ..contract import Entry, Feed, Page, Record, Retention, wire_form
from ..leases import LocalLeases
from ..topics import Selection
from ..unwrapped import unwrapped
from .store import SqliteStore, Synchronous
from .worker import Worker

__all__ = ["SqliteEngine"]

#: Events in one transaction, about. So many that the wait for the disk is little for each, and so
#: few that of a thousand publishers half are at work while the others wait, and not all or none.
_TRANSACTION = 512

ResultT = TypeVar("ResultT")

#: A task that waits, and what it publishes.
_Publisher = tuple[trio.lowlevel.Task, Sequence[Entry]]


@final
class _Batch:
    """What will be one transaction.

    Attributes:
      publishers: tasks that wait, in the order in which they came, and what each publishes.
      events: how many events that are.
      taken: whether it is too late to change it.
    """

    __slots__ = ("events", "publishers", "taken")

    def __init__(self) -> None:
        self.publishers: dict[trio.lowlevel.Task, Sequence[Entry]] = {}
        self.events = 0
        self.taken = False


@final
class _Stored(outcome.Outcome[range]):
    """What wakes a publisher up: `outcome.Value` of its ids, which took 1 of its 9 us, for 0.2."""

    __slots__ = ("_ids",)

    def __init__(self, ids: range) -> None:
        self._ids = ids

    def unwrap(self) -> range:
        return self._ids

    def send(self, gen: Generator[ResultT, range, object]) -> ResultT:
        return gen.send(self._ids)

    async def asend(self, agen: AsyncGenerator[ResultT, range]) -> ResultT:
        return await agen.asend(self._ids)


@final
class SqliteEngine(LocalLeases):
    """Events in an SQLite file, in WAL mode, that this process alone has open.

    Args:
      url: ``sqlite:///`` and a path: a relative one, or, with a fourth slash, one from the root.
        The file is made when it is not there, with ``-wal`` beside it; its folder must exist.
      retention: how much of each topic is kept.
      synchronous: when an event counts as stored. Whatever is chosen, it survives the end of the
        process, by ``kill -9`` too. ``"full"``: it is on the disk, and survives power loss; each
        transaction waits for the disk, some 1 to 10 ms. ``"normal"``: power loss, or a crash of the
        operating system, may undo the last transactions, typically some seconds of them.
        ``"off"``: likewise, and the file may be damaged. Ids are never given twice even so; a
        client that comes back with a lost one is told of a gap.

    Raises:
      BrokerInUseError: another process, or another broker of this one, has the file open.
      BrokerStorageError: the file cannot be read or written, is damaged, or something else's.
    """

    keeps_history = True
    shared = False

    def __init__(self, url: str, retention: Retention, synchronous: Synchronous = "full") -> None:
        super().__init__()
        if synchronous not in {"full", "normal", "off"}:
            raise ValueError(f"synchronous is 'full', 'normal' or 'off', not {synchronous!r}")
        self.path = unquote(url.removeprefix("sqlite:///"))
        if not url.startswith("sqlite:///") or not self.path:
            raise ValueError(f"an SQLite URL is sqlite:///path/to/file, not {url!r}")
        if self.path == ":memory:":
            raise ValueError("an SQLite broker is a file; what should be in memory is memory://")
        self._retention = retention
        self._synchronous = synchronous
        #: What is published now, and what was before and has not been begun with.
        self._gathering = _Batch()
        self._full: deque[_Batch] = deque()
        self._last = 0
        self._writing = False
        self._closing = False
        self._transactions = 0
        self._token: trio.lowlevel.TrioToken
        self._worker: Worker
        self._store: SqliteStore
        self._feed: Feed

    async def run(self, feed: Feed, *, task_status: trio.TaskStatus[int]) -> None:
        self._feed = feed
        self._token = trio.lowlevel.current_trio_token()
        worker = self._worker = Worker()
        with unwrapped():
            async with trio.open_nursery() as nursery:
                await nursery.start(worker.run)
                try:
                    self._store = await worker.call(
                        SqliteStore, self.path, self._retention, self._synchronous
                    )
                    self._last = self._store.last
                    task_status.started(self._last)
                    try:
                        await trio.sleep_forever()
                    finally:
                        self._turn_away()
                        await worker.call(self._store.close)
                finally:
                    worker.stop()

    def _turn_away(self) -> None:
        self._closing = True
        while (batch := self._take()).publishers:
            for task in batch.publishers:
                trio.lowlevel.reschedule(task, outcome.Error(_closed()))

    def append(self, entries: Sequence[Entry]) -> Coroutine[Any, Any, Sequence[int]]:
        # Not `async`, as nothing is left to do when it has been waited: one coroutine less for each
        # publisher to wake up through, which is 0.4 of its 9 us.
        if self._closing:
            raise _closed()
        batch = self._gathering
        if batch.events >= _TRANSACTION:
            self._full.append(batch)
            batch = self._gathering = _Batch()
        task = trio.lowlevel.current_task()
        batch.publishers[task] = entries
        batch.events += len(entries)
        if not self._writing:
            # In a moment, so that all who publish in this turn of Trio's share the transaction.
            self._writing = True
            self._token.run_sync_soon(self._write)

        def abort(_: object) -> trio.lowlevel.Abort:
            if batch.taken:
                return trio.lowlevel.Abort.FAILED
            del batch.publishers[task]  # nothing has been done about it yet
            batch.events -= len(entries)
            return trio.lowlevel.Abort.SUCCEEDED

        return trio.lowlevel.wait_task_rescheduled(abort)  # noqa: ASYNC105

    def _write(self) -> None:
        """Let the thread write what waits, in one transaction; nothing is written at this time."""
        # Each topic's together, as the store puts them into one row. That is as good an order as
        # any: what is published at the same time is not in one before it is numbered here.
        publishers = sorted(self._take().publishers.items(), key=_topic)
        self._writing = bool(publishers)
        if self._writing:
            entries = chain.from_iterable([entries for _, entries in publishers])
            records = [
                Record(id, entry.topic, entry.key, wire_form(id, entry.body))
                for id, entry in enumerate(entries, self._last + 1)
            ]
            self._last = records[-1].id
            store = partial(self._store.append, records)
            self._worker.submit(store, partial(self._written, publishers, records))

    def _take(self) -> _Batch:
        """What has waited longest; empty if nothing waits."""
        while self._full:
            batch = self._full.popleft()
            if batch.publishers:
                break
        else:
            batch, self._gathering = self._gathering, _Batch()
        batch.taken = True
        return batch

    def _written(
        self, publishers: list[_Publisher], records: list[Record], result: outcome.Maybe[None]
    ) -> None:
        self._transactions += 1
        self._write()  # before anything else, so that the thread does not wait for us
        if isinstance(result, outcome.Error):
            for task, _ in publishers:
                trio.lowlevel.reschedule(task, outcome.Error(_copy(result.error)))
        else:
            self._feed.records(records)
            reschedule, first = trio.lowlevel.reschedule, records[0].id
            for task, entries in publishers:
                after = first + len(entries)
                reschedule(task, _Stored(range(first, after)))
                first = after

    async def read(self, selection: Selection, after: int, limit: int) -> Page:
        if self._closing:
            raise _closed()
        return await self._worker.call(self._store.read, selection, after, limit)

    def statistics(self) -> dict[str, Any]:
        waiting = [*self._full, self._gathering]
        return {
            "transactions": self._transactions,
            "waiting": sum(len(batch.publishers) for batch in waiting),
        }


def _topic(publisher: _Publisher) -> str:
    return publisher[1][0].topic


def _closed() -> trio.ClosedResourceError:
    return trio.ClosedResourceError("the broker is closed")


def _copy(error: BaseException) -> BaseException:
    """One for each task that raises it: a traceback is one task's."""
    copy = type(error)(*error.args)
    copy.__cause__ = error.__cause__
    return copy
