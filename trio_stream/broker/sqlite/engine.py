"""What publishers to a ``sqlite://`` broker wait for: their transaction.

What is published while a transaction is being written goes into the next one, so that many
publishers share what is expensive: the wait for the disk. Those that wait no longer prepare what
they publish next meanwhile.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any, TypeVar, final
from urllib.parse import unquote

import outcome
import trio

from ...checks import check_choice, check_count
from ...errors import BrokerError
from ...stream.source.contract import CLOSE_TIMEOUT
from ..contract import Entry, Feed, Lease, Page, Record, Retention, passing, wire_form
from ..contract.topics import EARLIEST, Selection
from ..log.leases import LocalLeases
from ..stored import STORED
from ..unwrapped import unwrapped
from ..urls import shown_url
from .batch import Batch, Publisher, RaiseCancel, once_of, tell_of_dismissed
from .desk import Desk, Request, open_at_desk
from .faults import copied
from .places import LookedAt
from .store import SqliteStore, Synchronous
from .watch import Watch
from .worker import Worker

__all__ = ["SqliteEngine"]

T = TypeVar("T")

#: Seconds that a transaction may take until those who are cancelled do not wait for its end. Mostly
#: it is over by then, and they learn what has become of their events.
_PATIENCE = 0.1

#: Events in one transaction, about. So many that the wait for the disk is little for each, and so
#: few that of a thousand publishers half are at work while the others wait, and not all or none.
_TRANSACTION = 512

log: logging.Logger = logging.getLogger("trio_stream")


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

    A disk that does not answer holds nobody longer than he wants to wait: publishers and readers
    can be cancelled, and the broker is closed within 5 s. A publisher who is cancelled when the
    disk has been at his event for a tenth of a second cannot know what becomes of it: a warning in
    the log says that, once it is known. Else, cancelled is not published.
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
        check_choice("synchronous", synchronous, ("full", "normal", "off"))
        check_count("max_topics", max_topics)
        self.path: str = unquote(url.removeprefix("sqlite:///"))
        if not url.startswith("sqlite:///") or not self.path or "?" in url:
            raise ValueError(
                f"an SQLite URL is sqlite:///path/to/file, not {shown_url(url)!r}; options are "
                "open_broker's, and a ? in a file's name is %3F"
            )
        if self.path == ":memory:":
            raise ValueError("an SQLite broker is a file; what should be in memory is memory://")
        self._open = partial(SqliteStore, self.path, retention, synchronous, max_topics)
        #: What is published now, and what was before and has not been begun with.
        self._gathering = Batch(self._dismiss)
        self._full: deque[Batch] = deque()
        #: Those in the transaction that is being written, when that was begun, and how many events
        #: are of publishers that no longer wait for it.
        self._under_way: list[Publisher] = []
        self._begun = 0.0
        self._dismissed = 0
        self._last = 0
        self._writing = False
        self._closing = False
        self._transactions = 0
        self._token: trio.lowlevel.TrioToken
        self._nursery: trio.Nursery
        self._worker: Worker
        self._store: SqliteStore | None = None
        self._desk = Desk(self.path)
        self._feed: Feed

    async def run(self, feed: Feed, *, task_status: trio.TaskStatus[int]) -> None:
        self._feed = feed
        self._token = trio.lowlevel.current_trio_token()
        worker = self._worker = Worker()
        with unwrapped():
            async with trio.open_nursery() as nursery:
                await nursery.start(worker.run)
                self._nursery = nursery
                try:
                    await worker.call(self._open_store)
                    assert self._store is not None
                    self._last = self._store.last
                    task_status.started(self._last)
                    nursery.start_soon(self._desk.serve, self._answer)
                    await Watch(self.path, worker, self._store.place.check).run()
                finally:
                    self._turn_away()
                    if not await worker.finish(self._close_store, CLOSE_TIMEOUT):
                        self._leave()

    async def _answer(self, request: Request) -> Sequence[int]:
        """Do what another process of this machine asks for."""
        if request.what == "append":
            return await self.append(request.entries)
        await self.pass_on(request.entries)
        return ()

    def _open_store(self) -> None:
        self._store = open_at_desk(self._open, self._desk)

    def _close_store(self) -> None:
        self._desk.close()
        if self._store is not None:
            self._store.close()

    @property
    def _opened(self) -> SqliteStore:
        assert self._store is not None
        return self._store

    def _leave(self) -> None:
        """The disk does not answer, and the broker ends nevertheless."""
        events = sum(len(publisher.entries) for publisher in self._under_way)
        log.error(
            "%(file)s: the disk has not answered for %(timeout)g s, and is not waited for: whether "
            "the last %(events)d events are stored is not known",
            {"engine": "sqlite", "file": self.path, "timeout": CLOSE_TIMEOUT, "events": events},
        )
        for publisher in self._under_way:
            error = BrokerError(f"{self.path}: the disk does not answer: it may be stored, or not")
            publisher.tell(outcome.Error(error))

    def _turn_away(self) -> None:
        self._closing = True
        while publishers := self._take():
            for publisher in publishers:
                publisher.tell(outcome.Error(_closed()))

    def append(
        self, entries: Sequence[Entry], lease: Lease | None = None
    ) -> Coroutine[Any, Any, Sequence[int]]:
        # Not `async`, as nothing is left to do after the wait: a coroutine less for each publisher
        # to wake up through, which is 0.4 of its 8 us. So who calls it has to await it, at once.
        if self._closing:
            raise _closed()
        if lease is not None:
            self.check_held(lease)  # its place in the log is settled here
        batch = self._gathering
        if batch.events >= _TRANSACTION:
            self._full.append(batch)
            batch = self._gathering = Batch(self._dismiss)
        task = trio.lowlevel.current_task()
        publisher = Publisher(task, entries, batch)
        assert batch.publishers is not None
        batch.publishers[task] = publisher
        batch.events += len(entries)
        if not self._writing:
            # In a moment, so that all who publish in this turn of Trio's share the transaction.
            self._writing = True
            self._token.run_sync_soon(self._write)
        return trio.lowlevel.wait_task_rescheduled(publisher.abort)  # noqa: ASYNC105

    def _take(self) -> list[Publisher]:
        """Those who have waited longest; nobody if nobody waits."""
        while self._full:
            if publishers := self._full.popleft().close():
                return publishers
        batch, self._gathering = self._gathering, Batch(self._dismiss)
        return batch.close()

    def _write(self) -> None:
        """Let the thread write what waits, in one transaction; nothing is written at this time."""
        publishers = self._take()
        self._writing = bool(publishers)
        if self._writing:
            entries = chain.from_iterable([publisher.entries for publisher in publishers])
            records = [
                Record(id, entry.topic, entry.key, wire_form(id, entry.body), entry.but)
                for id, entry in enumerate(entries, self._last + 1)
            ]
            once = once_of(publishers, self._last + 1)
            self._last = records[-1].id
            self._under_way, self._begun = publishers, trio.current_time()
            store = partial(self._opened.append, records, once)
            self._worker.submit(store, partial(self._written, publishers, records))

    def _written(
        self,
        publishers: list[Publisher],
        records: list[Record],
        result: outcome.Maybe[Mapping[int, int]],
    ) -> None:
        self._transactions += 1
        dismissed, self._dismissed, self._under_way = self._dismissed, 0, []
        begun = self._begun
        self._write()  # before anything else, so that the thread does not wait for us
        if isinstance(result, outcome.Error):
            for publisher in publishers:
                publisher.tell(outcome.Error(copied(result.error)))
        else:
            STORED.add(trio.current_time() - begun, "sqlite")
            reschedule, first, known = trio.lowlevel.reschedule, records[0].id, result.value
            if known:
                records = [record for record in records if record.id not in known]
            self._feed.records(records)
            for publisher in publishers:
                publisher.first = first
                if known:
                    publisher.known = known
                first += len(publisher.entries)
                if publisher.task is not None:
                    reschedule(publisher.task, publisher)
        if dismissed:
            tell_of_dismissed(self.path, dismissed, stored=isinstance(result, outcome.Value))

    def _dismiss(self, publisher: Publisher, raise_cancel: RaiseCancel) -> trio.lowlevel.Abort:
        """Let somebody go whose events the disk is at: mostly it is done in a moment, and says so.

        Nobody can tell before whether they will be stored; `_written` does, in the log.
        """
        until = self._begun + _PATIENCE
        if trio.current_time() < until:
            self._nursery.start_soon(self._dismiss_at, until, publisher, raise_cancel)
            return trio.lowlevel.Abort.FAILED
        publisher.task = None
        self._dismissed += len(publisher.entries)
        return trio.lowlevel.Abort.SUCCEEDED

    async def _dismiss_at(
        self, until: float, publisher: Publisher, raise_cancel: RaiseCancel
    ) -> None:
        with trio.CancelScope(shield=True):  # it is a moment, and what is cancelled is not told
            await trio.sleep_until(until)
        # By identity: as outcomes they are all equal.
        if publisher.task is not None and any(other is publisher for other in self._under_way):
            self._dismissed += len(publisher.entries)
            publisher.tell(outcome.capture(raise_cancel))

    async def pass_on(self, entries: Sequence[Entry]) -> None:
        await trio.lowlevel.checkpoint_if_cancelled()
        if self._closing:
            raise _closed()
        self._feed.passing(passing(entries))
        await trio.lowlevel.cancel_shielded_checkpoint()

    async def forget(self, topic: str, id: int | None) -> bool:
        def forget() -> bool:
            found = self._opened.forget(topic, id)
            # From here, so that it is told also if nobody waits any more.
            self._token.run_sync_soon(self._feed.forgotten, topic, id)
            return found

        return await self._call(forget)

    async def find_once(self, topic: str, key: str) -> int | None:
        return await self._call(self._opened.known.find, topic, key)

    async def cursor_back(self, selection: Selection, count: int) -> int:
        found = LookedAt(None, count, self._opened.last + 1)
        while found.place is None and found.before:
            await trio.lowlevel.checkpoint_if_cancelled()
            look = self._opened.look_back
            found = await self._call(look, selection, found.missing, found.before)
        return found.place or EARLIEST

    async def cursor_since(self, selection: Selection, seconds: float) -> int:
        return await self._call(self._opened.place_since, seconds)

    async def _call(self, function: Callable[..., T], *args: Any) -> T:
        if self._closing:
            raise _closed()
        return await self._worker.call(function, *args)

    async def read(self, selection: Selection, after: int, limit: int) -> Page:
        head = self._opened.last
        page = await self._read(selection, after, limit)
        gone = page.gone
        # It may take long to find something. Publishers have their turn in between.
        while not page.records and page.upto < head:
            await trio.lowlevel.checkpoint_if_cancelled()
            page = await self._read(selection, page.upto, limit)
            gone = {**gone, **page.gone}
        return Page(page.records, page.upto, gone)

    async def _read(self, selection: Selection, after: int, limit: int) -> Page:
        return await self._call(self._opened.read, selection, after, limit)

    async def backup(self, path: str | os.PathLike[str]) -> None:
        """Write what is stored now to a new file, which a broker can be opened with.

        No other program can: the file is this process's alone. It takes about a second for 200 MB,
        in which publishers wait, and readers of what is not in memory. Cancelled, it goes on.

        Raises:
          BrokerStorageError: there is such a file already, or it cannot be written.
        """
        await self._call(self._opened.backup, os.fspath(path))

    def statistics(self) -> dict[str, Any]:
        waiting = [*self._full, self._gathering]
        return {
            "transactions": self._transactions,
            "waiting": sum(len(batch.publishers or ()) for batch in waiting),
        }


def _closed() -> trio.ClosedResourceError:
    return trio.ClosedResourceError("the broker is closed")
