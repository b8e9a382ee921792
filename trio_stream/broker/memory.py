"""``memory://``: the log of one process, gone when it ends.

What a broker keeps in memory anyway is all there is, so this engine is a counter and the leases.
"""

from __future__ import annotations

import logging
import multiprocessing
import sys
import time
from collections.abc import Sequence
from typing import Any, final

import trio

from .contract import Entry, Feed, Lease, Page, Record, passing, wire_form
from .contract.topics import Selection
from .log.leases import LocalLeases
from .log.once import KnownOnce

__all__ = ["MemoryEngine", "first_id"]

log: logging.Logger = logging.getLogger("trio_stream")


def first_id() -> int:
    """The id before the first of a new log: the time in microseconds.

    So the ids of an earlier log, which clients still have, are smaller than all of the new one's,
    and are recognised as a gap.
    """
    return time.time_ns() // 1000


@final
class MemoryEngine(LocalLeases):
    """Events in this process, for this process."""

    keeps_history = False
    shared = False

    def __init__(self) -> None:
        super().__init__()
        self._last = first_id()
        self._known = KnownOnce()
        self._feed: Feed | None = None

    async def run(self, feed: Feed, *, task_status: trio.TaskStatus[int]) -> None:
        workers = server_workers()
        if workers > 1:
            log.warning(
                "a memory:// broker is in each of the server's %(workers)d workers, and none "
                "hears of what the others publish: use redis://, or --workers 1",
                {"engine": "memory", "workers": workers},
            )
        self._feed = feed
        task_status.started(self._last)
        await trio.sleep_forever()

    async def append(self, entries: Sequence[Entry], lease: Lease | None = None) -> Sequence[int]:
        await trio.lowlevel.checkpoint_if_cancelled()
        if lease is not None:
            self.check_held(lease)
        assert self._feed is not None
        ids, records = [], []
        for entry in entries:
            if entry.once is not None:
                known = self._known.id(entry.topic, entry.once.key)
                if known is not None:
                    ids.append(known)
                    continue
                self._known.add(entry.topic, entry.once, self._last + 1)
            self._last = id = self._last + 1
            ids.append(id)
            data = wire_form(id, entry.body)
            records.append(Record(id, entry.topic, entry.key, data, entry.but))
        if records:
            self._feed.records(records)
        await trio.lowlevel.cancel_shielded_checkpoint()
        return ids

    async def pass_on(self, entries: Sequence[Entry]) -> None:
        await trio.lowlevel.checkpoint_if_cancelled()
        assert self._feed is not None
        self._feed.passing(passing(entries))
        await trio.lowlevel.cancel_shielded_checkpoint()

    async def cursor_back(self, selection: Selection, count: int) -> int:
        raise AssertionError("a memory broker's log is read where it is")

    async def cursor_since(self, selection: Selection, seconds: float) -> int:
        raise AssertionError("a memory broker's log is read where it is")

    async def forget(self, topic: str, id: int | None) -> bool:
        await trio.lowlevel.checkpoint()
        assert self._feed is not None
        if id is None:
            self._known.forget(topic)
        return self._feed.forgotten(topic, id)

    async def find_once(self, topic: str, key: str) -> int | None:
        await trio.lowlevel.checkpoint()
        return self._known.id(topic, key)

    async def read(self, selection: Selection, after: int, limit: int) -> Page:
        raise AssertionError("a memory broker's log is read where it is")

    def statistics(self) -> dict[str, Any]:
        return {}


def server_workers() -> int:
    """How many workers the Hypercorn has that this process is one of; 1 where nothing is known.

    Hypercorn does not tell its workers, but hands each its whole configuration: an argument of the
    process, which `multiprocessing` keeps. Both are looked at, not relied on.
    """
    if multiprocessing.parent_process() is None or "hypercorn.config" not in sys.modules:
        return 1
    arguments = getattr(multiprocessing.current_process(), "_kwargs", {})
    workers = getattr(arguments.get("config"), "workers", 1)
    return workers if isinstance(workers, int) else 1
