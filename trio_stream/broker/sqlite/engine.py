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
from operator import attrgetter
from typing import Any, TypeVar, final
from urllib.parse import unquote

import outcome
import trio

from ..contract import Entry, Feed, Page, Record, Retention, wire_form
from ..leases import LocalLeases
from ..topics import Selection
from ..unwrapped import unwrapped
from ..urls import shown_url
from .store import SqliteStore, Synchronous
from .worker import Worker

__all__ = ["SqliteEngine"]

#: Events in one transaction, about. So many that the wait for the disk is little for each, and so
#: few that of a thousand publishers half are at work while the others wait, and not all or none.
_TRANSACTION = 512

ResultT = TypeVar("ResultT")

_by_topic = attrgetter("topic")


@final
class _Batch:
    """What will be one transaction.

    Attributes:
      publishers: those who wait, by their tasks, or None when it is too late to change it.
      events: how many events they publish.
    """

    __slots__ = ("events", "publishers")

    def __init__(self) -> None:
        self.publishers: dict[trio.lowlevel.Task, _Publisher] | None = {}
        self.events = 0

    def close(self) -> list[_Publisher]:
        """Who is in it. Each topic's are together, as the store puts a topic's events into one row.

        That is as good an order as any: what is published at the same time has none before.
        """
        assert self.publishers is not None
        publishers, self.publishers = self.publishers, None
        return sorted(publishers.values(), key=_by_topic)


@final
class _Publisher(outcome.Outcome[range]):
    """A task that waits: what it publishes, how that is taken back, and what wakes it up.

    One object is all of it, and an outcome of its own, because with a closure and `outcome.Value`
    a publish took 10 us, and now 8.

    Trio calls nothing of an outcome but `unwrap`; the rest is what makes it one.

    Attributes:
      topic: of its first event, by which publishers are put in order.
      first: the id of its first event, once it is stored.
    """

    __slots__ = ("batch", "entries", "first", "task", "topic")

    def __init__(self, task: trio.lowlevel.Task, entries: Sequence[Entry], batch: _Batch) -> None:
        self.task = task
        self.entries = entries
        self.topic = entries[0].topic
        self.batch = batch
        self.first = 0

    def abort(self, _: object) -> trio.lowlevel.Abort:
        if self.batch.publishers is None:
            return trio.lowlevel.Abort.FAILED
        del self.batch.publishers[self.task]  # nothing has been done about it yet
        self.batch.events -= len(self.entries)
        return trio.lowlevel.Abort.SUCCEEDED

    # The outcome: its ids.

    def unwrap(self) -> range:
        return range(self.first, self.first + len(self.entries))

    def send(self, gen: Generator[ResultT, range, object]) -> ResultT:
        return gen.send(self.unwrap())

    async def asend(self, agen: AsyncGenerator[ResultT, range]) -> ResultT:
        return await agen.asend(self.unwrap())


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
      max_topics: topics of which a history is kept; those that were published to last.

    Raises:
      BrokerInUseError: another process, or another broker of this one, has the file open.
      BrokerStorageError: the file cannot be read or written, is damaged, or something else's.
    """

    keeps_history = True
    shared = False

    def __init__(
        self,
        url: str,
        retention: Retention,
        synchronous: Synchronous = "full",
        max_topics: int = 100_000,
    ) -> None:
        super().__init__()
        if synchronous not in {"full", "normal", "off"}:
            raise ValueError(f"synchronous is 'full', 'normal' or 'off', not {synchronous!r}")
        self.path = unquote(url.removeprefix("sqlite:///"))
        if not url.startswith("sqlite:///") or not self.path or "?" in url:
            raise ValueError(
                f"an SQLite URL is sqlite:///path/to/file, not {shown_url(url)!r}; options are "
                "open_broker's, and a ? in a file's name is %3F"
            )
        if self.path == ":memory:":
            raise ValueError("an SQLite broker is a file; what should be in memory is memory://")
        if max_topics < 1:
            raise ValueError(f"max_topics is at least one, not {max_topics!r}")
        self._open = partial(SqliteStore, self.path, retention, synchronous, max_topics)
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
                    self._store = await worker.call(self._open)
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
        while publishers := self._take():
            for publisher in publishers:
                trio.lowlevel.reschedule(publisher.task, outcome.Error(_closed()))

    def append(self, entries: Sequence[Entry]) -> Coroutine[Any, Any, Sequence[int]]:
        # Not `async`, as nothing is left to do after the wait: a coroutine less for each publisher
        # to wake up through, which is 0.4 of its 8 us. So who calls it has to await it, at once.
        if self._closing:
            raise _closed()
        batch = self._gathering
        if batch.events >= _TRANSACTION:
            self._full.append(batch)
            batch = self._gathering = _Batch()
        task = trio.lowlevel.current_task()
        publisher = _Publisher(task, entries, batch)
        assert batch.publishers is not None
        batch.publishers[task] = publisher
        batch.events += len(entries)
        if not self._writing:
            # In a moment, so that all who publish in this turn of Trio's share the transaction.
            self._writing = True
            self._token.run_sync_soon(self._write)
        return trio.lowlevel.wait_task_rescheduled(publisher.abort)  # noqa: ASYNC105

    def _take(self) -> list[_Publisher]:
        """Those who have waited longest; nobody if nobody waits."""
        while self._full:
            if publishers := self._full.popleft().close():
                return publishers
        batch, self._gathering = self._gathering, _Batch()
        return batch.close()

    def _write(self) -> None:
        """Let the thread write what waits, in one transaction; nothing is written at this time."""
        publishers = self._take()
        self._writing = bool(publishers)
        if self._writing:
            entries = chain.from_iterable([publisher.entries for publisher in publishers])
            records = [
                Record(id, entry.topic, entry.key, wire_form(id, entry.body))
                for id, entry in enumerate(entries, self._last + 1)
            ]
            self._last = records[-1].id
            store = partial(self._store.append, records)
            self._worker.submit(store, partial(self._written, publishers, records))

    def _written(
        self, publishers: list[_Publisher], records: list[Record], result: outcome.Maybe[None]
    ) -> None:
        self._transactions += 1
        self._write()  # before anything else, so that the thread does not wait for us
        if isinstance(result, outcome.Error):
            for publisher in publishers:
                trio.lowlevel.reschedule(publisher.task, outcome.Error(_copy(result.error)))
        else:
            self._feed.records(records)
            reschedule, first = trio.lowlevel.reschedule, records[0].id
            for publisher in publishers:
                publisher.first = first
                first += len(publisher.entries)
                reschedule(publisher.task, publisher)

    async def read(self, selection: Selection, after: int, limit: int) -> Page:
        head = self._store.last
        page = await self._read(selection, after, limit)
        gone = page.gone
        # It may take long to find something. Publishers have their turn in between.
        while not page.records and page.upto < head:
            await trio.lowlevel.checkpoint_if_cancelled()
            page = await self._read(selection, page.upto, limit)
            gone = {**gone, **page.gone}
        return Page(page.records, page.upto, gone)

    async def _read(self, selection: Selection, after: int, limit: int) -> Page:
        if self._closing:
            raise _closed()
        return await self._worker.call(self._store.read, selection, after, limit)

    def statistics(self) -> dict[str, Any]:
        waiting = [*self._full, self._gathering]
        return {
            "transactions": self._transactions,
            "waiting": sum(len(batch.publishers or ()) for batch in waiting),
        }


def _closed() -> trio.ClosedResourceError:
    return trio.ClosedResourceError("the broker is closed")


def _copy(error: BaseException) -> BaseException:
    """One for each task that raises it: a traceback is one task's."""
    copy = type(error)(*error.args)
    copy.__cause__ = error.__cause__
    return copy
