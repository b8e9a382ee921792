"""The live streams of a Trio run, and the one task that watches all their clocks.

Pings, stalls and deadlines are checked here and not by a timer in every stream: moving a deadline
with every event costs Trio about 5 us, a tenth of what the whole event costs, and a timer's task
costs memory in every idle stream. So each stream says when it next wants to be looked at, and
sending an event only notes the time. The same task wakes whoever waits by `Stream.wait`. It ends
with the last stream.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import weakref
from collections import Counter, deque
from math import inf
from typing import Any, Protocol

import trio

from ..checks import check_on_trio
from .tally import streams
from .waiting import Waits

__all__ = ["Registry", "Watched", "current_registry", "streams_of_all_runs"]

log: logging.Logger = logging.getLogger("trio_stream")

#: Streams that have ended of which it is kept what they were, half a kilobyte each.
_KEPT = 100

#: Seconds between two wakings to look at streams, at least, but for what is asked for meanwhile: of
#: 500 that ping each at a time of its own, to wake for every one was a fortieth of `topic-500-tls`.
_APART = 0.02

#: Seconds in which it is enough to log once what goes wrong in many streams.
_QUIET = 60.0


class Watched(Protocol):
    """A stream, as its registry sees it."""

    @property
    def worker(self) -> Any:
        """The server's worker that it is served by, or None; see `Registry.join_worker`."""

    def check(self, now: float, /) -> float:
        """Do what is due at ``now``; returns when to look again, on Trio's clock."""

    def shut_down(self, share: float, /) -> None:
        """The server has begun to shut down; ``share`` of all its streams are to end before it."""


class Worker(Protocol):
    """Hypercorn's worker context: one for each `serve`, so mostly one in a process."""

    terminated: Any


class _Entry:
    """A stream's place in the heap; emptied, not removed, when the stream ends first."""

    __slots__ = ("stream", "when")

    def __init__(self, when: float, stream: Watched) -> None:
        self.when = when
        self.stream: Watched | None = stream

    def __lt__(self, other: _Entry) -> bool:
        return self.when < other.when


class Registry:
    """The live streams of one Trio run; got by `current_registry`."""

    def __init__(self) -> None:
        self._entries: dict[Watched, _Entry] = {}
        self._heap: list[_Entry] = []
        #: That of the task that watches; None while there is none.
        self._sleep: trio.CancelScope | None = None
        self._waits = Waits()
        self._looked = -inf
        #: Of streams, each one's own.
        self.numbers: itertools.count[int] = itertools.count(1)
        #: How streams ended, and what is known of the last of them.
        self.outcomes: Counter[Any] = Counter()
        self.ended: deque[Any] = deque(maxlen=_KEPT)
        self._warned: set[str] = set()
        self._said: dict[str, float] = {}
        #: Those with a task that waits for their shutdown, and its scope.
        self._workers: dict[Worker, trio.CancelScope] = {}

    def __len__(self) -> int:
        """How many streams are live."""
        return len(self._entries)

    @property
    def streams(self) -> list[Watched]:
        """The live streams."""
        return list(self._entries)  # in one step, as other threads ask, too

    def add(self, stream: Watched, when: float) -> None:
        """Watch ``stream`` from now on, and look at it at ``when`` for the first time."""
        self._schedule(_Entry(when, stream))
        if len(self._entries) == 1 and self._sleep is None:
            self._sleep = trio.CancelScope()
            trio.lowlevel.spawn_system_task(self._watch, name="trio_stream clock")

    def join_worker(self, stream: Watched, worker: Worker) -> None:
        """Tell ``stream``, whose ``worker`` it is, when that begins to shut down.

        Until it is discarded. One task waits for all streams of a worker; one in each would be a
        tenth of an idle stream's memory.
        """
        if worker in self._workers:
            return
        if worker.terminated.is_set():
            stream.shut_down(0)
        else:
            self._workers[worker] = trio.CancelScope()
            trio.lowlevel.spawn_system_task(
                self._watch_worker, worker, self._workers[worker], name="trio_stream shutdown"
            )

    async def _watch_worker(self, worker: Worker, scope: trio.CancelScope) -> None:
        with scope:
            await worker.terminated.wait()
            if self._workers.get(worker) is not scope:  # all its streams ended in this very turn
                return
            del self._workers[worker]
            members = [stream for stream in self._entries if stream.worker is worker]
            if members:
                streams.shut_down()
            for number, stream in enumerate(members):
                stream.shut_down(number / len(members))

    def warn_once(self, message: str, facts: dict[str, Any]) -> None:
        """Log a warning that every stream would repeat."""
        if message not in self._warned:
            self._warned.add(message)
            log.warning(message, facts)

    def news_level(self, what: str, level: int) -> int:
        """At which level to log what goes wrong in many streams: this one once in a minute."""
        now = trio.current_time()
        if now < self._said.get(what, -inf) + _QUIET:
            return logging.DEBUG
        self._said[what] = now
        return level

    def discard(self, stream: Watched) -> None:
        """Watch ``stream`` no longer."""
        entry = self._entries.pop(stream, None)
        if entry is None:
            return
        entry.stream = None
        if not self._entries:
            self._heap.clear()
            if self._sleep is not None:
                self._sleep.cancel()
            for scope in self._workers.values():
                scope.cancel()
            self._workers.clear()
        elif len(self._heap) > 2 * len(self._entries) + 64:
            self._heap = [entry for entry in self._heap if entry.stream is not None]
            heapq.heapify(self._heap)

    def reschedule(self, stream: Watched, when: float) -> None:
        """Look at ``stream`` at ``when`` already."""
        entry = self._entries.get(stream)
        if entry is not None and when < entry.when:
            moved, entry.stream = entry.stream, None
            if moved is not None:
                self._schedule(_Entry(when, moved))

    def _schedule(self, entry: _Entry) -> None:
        assert entry.stream is not None
        self._entries[entry.stream] = entry
        heapq.heappush(self._heap, entry)
        if self._sleep is not None and entry.when < self._sleep.deadline:
            self._sleep.deadline = entry.when

    async def sleep(self, seconds: float) -> None:
        """`trio.sleep`, but for what it costs; that itself where there is no stream to watch."""
        if seconds == 0:
            await trio.lowlevel.checkpoint()
            return
        when = trio.current_time() + seconds
        if self._sleep is not None:
            if when < self._sleep.deadline:
                self._sleep.deadline = when
            if await self._waits.until(when):
                return
        await trio.sleep_until(when)

    async def _watch(self) -> None:
        try:
            while self._entries:
                next_look = max(self._heap[0].when, self._looked + _APART)
                deadline = min(next_look, self._waits.next_wake)
                self._sleep = trio.CancelScope(deadline=deadline)
                with self._sleep:
                    await trio.sleep_forever()
                now = trio.current_time()
                self._waits.wake_due(now)
                self._check_due(now)
        finally:
            self._sleep = None
            self._waits.let_go()

    def _check_due(self, now: float) -> None:
        while self._heap and self._heap[0].when <= now:
            self._looked = now
            entry = heapq.heappop(self._heap)
            stream = entry.stream
            if stream is not None:
                when = stream.check(now)
                # It may have ended, or have been rescheduled, while it was looked at.
                if entry.stream is stream:
                    # Never at once again: a stream that is due for ever must not spin.
                    self._schedule(_Entry(max(when, now + 0.001), stream))


#: Those of all Trio runs of this process.
_all: list[weakref.ref[Registry]] = []

_registry: trio.lowlevel.RunVar[Any] = trio.lowlevel.RunVar("trio_stream_registry")


def current_registry() -> Registry:
    """The registry of this Trio run, made when first asked for."""
    try:
        registry: Registry = _registry.get()
    except LookupError:
        registry = Registry()
        _registry.set(registry)
        _all[:] = [ref for ref in _all if ref() is not None] + [weakref.ref(registry)]
    except RuntimeError:  # Trio's
        check_on_trio()
        raise
    return registry


def streams_of_all_runs() -> list[Watched]:
    """The live streams of this process, whatever thread asks."""
    registries = [registry for ref in list(_all) if (registry := ref()) is not None]
    return [stream for registry in registries for stream in registry.streams]
