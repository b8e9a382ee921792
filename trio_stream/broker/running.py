"""`Running`: the part of a `Broker` that runs producers, and tells which of them run."""

from __future__ import annotations

from math import inf
from typing import Any

from ..checks import check_callable, check_choice, check_flag, check_function, check_seconds
from ..errors import GapError
from ..stream.options.principals import check_principal
from .contract import Engine
from .contract.notices import DONE, Notice, check_notice, failed_event, gap_event
from .contract.recent import Cursor
from .contract.topics import check_cursor, check_name
from .overview import OpenRun, open_runs
from .publisher import Publisher
from .publishing import Publishing
from .reading.feed import LocalFeed
from .resumable import IfRunning, KnownRun, Producer, Resumable, RunEnding, Runs, known_run
from .sources import Source, SourceFunction, Sources, source_event

__all__ = ["Running"]

_FOREVER = "None goes on however long nobody watches"


class Running(Publishing):
    """What a broker does for those whose producers outlive their clients."""

    def __init__(
        self,
        engine: Engine,
        feed: LocalFeed,
        publisher: Publisher,
        once_for: float,
        runs: Runs,
        sources: Sources,
    ) -> None:
        super().__init__(engine, feed, publisher, once_for)
        self._runs = runs
        self._sources = sources

    def source(
        self,
        pattern: str,
        fn: SourceFunction,
        *,
        linger: float | None = 30.0,
        each: bool = True,
        failed: Notice[[str, float]] = source_event,
    ) -> None:
        """Run a function while anybody watches: in one process, however many watch in how many.

        Say it in every process, before there are subscribers: who has subscribed before does not
        count. It runs in the broker's nursery, in a process of one who watches, and in another one
        when that process ends: at once, or, where it was killed, within 15 seconds.

        When it ends or raises while somebody watches, it is run again after a second, and after
        twice as long each time, up to 30 seconds, until it has run for longer than that. Those who
        watch are told by an event ``source`` without an id, data ``{"reason": ..., "again": 2.0}``:
        ``"ended"`` or ``"failed"``, and the seconds until it runs again.

        Args:
          pattern: of the topics that it is a source of. A subscription watches what it names, if
            the pattern matches that, and a pattern if it is this one, letter by letter.
          fn: ``async (run) -> None`` that calls ``await run.send(data, event=...)``, or an async
            generator function. ``run.topic`` is what is watched. It is cancelled when nobody does.
          linger: seconds for which it goes on when the last one has left. None: as long as its
            process does.
          each: whether it runs for each of the names that are watched by itself. False: once for
            all, with the pattern as its topic; ``await run.watched()`` are the names.
          failed: what a client is told instead: an event, ``(reason, again) -> event or None``, or
            None for nothing.

        Raises:
          TypeError, ValueError: an option is wrong, or there is one for this pattern.
        """
        check_name(pattern, "pattern")
        if pattern.startswith("$"):
            raise ValueError(f"pattern begins with '$', as the library's own: {pattern!r}")
        check_callable(
            "fn",
            fn,
            "takes a SourceRun and sends its events into that",
            takes=1,
            awaited=True,
            iterated=True,
        )
        seconds = _checked_linger(linger)
        check_flag("each", each)
        check_notice("failed", failed, takes=2)
        self._feed.check_open()
        self._sources.add(Source(pattern, fn, seconds, each, failed))

    def resumable(
        self,
        key: str,
        producer: Producer | None,
        *,
        after: Cursor = None,
        linger: float | None = 30.0,
        gap: Notice[[GapError]] = gap_event,
        done: Notice[[]] = DONE,
        failed: Notice[[str]] = failed_event,
        stale_after: float | None = None,
        principal: str | int | None = None,
        presence: str | None = None,
        if_running: IfRunning = "join",
    ) -> Resumable:
        """The events of a producer that outlives its client: for a `Stream`, or to iterate.

        The first stream of a key starts the producer, in the broker's nursery. Others, in this
        process or another that shares the log, get what it has sent so far and what it sends from
        then on; a client that comes back gets what it has not seen yet, each event once.

        When the producer returns, the clients are sent an event ``done`` and their streams end;
        when it ends in any other way, an event ``failed`` with ``{"reason": ...}``: ``"failed"``,
        it raised, and the log says what; ``"stopped"``, by `stop_resumable`; ``"abandoned"``, as
        nobody watched; ``"lost"``, its process ended, or was silent too long, and nothing of it is
        stored any more. Who comes back with the id of either is answered 204, and only who asks
        without an id starts a run again that was not ``done``, as long as anything of it is kept.

        Args:
          key: names the run, like a topic. Whoever may ask for it sees all of it, so put the user's
            id in it, or check that it is his.
          producer: ``async (run) -> None`` that calls ``await run.send(data, event=...)``, or an
            async generator function. None watches a run without starting one, as far as it is kept.
          after: the id that the client came back with, or None. One that is not of this run is
            answered with an event ``gap`` and the run from its start.
          linger: seconds after which a run is cancelled that nobody watches; less than 1 is 1.
            None: it goes on to its end.
          gap: as for `subscribe`.
          done: what a stream's client is told at the end instead of ``done``: an event, or
            ``() -> event or None``, or None for the stream's end alone.
          failed: what it is told instead of ``failed``: an event, or ``(reason) -> event or None``.
            None breaks the stream off with `RunFailedError`, so that it is not taken for whole.
          stale_after: as for `subscribe`.
          principal: whose the run is, for `disconnect`; None: the principal's of the stream that
            starts it.
          presence: the name under which `run` tells this client among those who watch. None: the
            principal of its stream, and ``"watcher"`` if that has none.
          if_running: what becomes of a client without an id that finds the run in progress.
            ``"join"``: it watches what runs. ``"refuse"``: `RunInProgressError`, which is answered
            409. ``"replace"``: what runs is stopped, once it has ended the producer is started
            anew, and so it is where the run is ``done``. Who comes back with an id is not asking
            for a start, and watches in any case.

        These events get an id of the log's; one of their own is a `ValueError`. What a function
        raises breaks the stream off.
        """
        if producer is not None and not callable(producer):
            raise TypeError(f"a producer is a function, not {type(producer).__name__}")
        check_function("a producer", producer, " of its run", takes=1, awaited=True, iterated=True)
        seconds = _checked_linger(linger, "less than 1 is 1, ")
        check_cursor(after)
        check_notice("gap", gap, takes=1)
        check_seconds("stale_after", stale_after, "None tells nothing", or_none=True)
        ending = RunEnding(key, done, failed)
        whose = None if principal is None else check_principal(principal)
        if presence is not None:
            check_name(presence, "a name to be present under")
        check_choice("if_running", if_running, ("join", "refuse", "replace"))
        return Resumable(
            self._runs,
            key,
            producer,
            after,
            seconds,
            gap,
            ending,
            stale_after,
            whose,
            presence,
            if_running,
        )

    async def start_resumable(
        self,
        key: str,
        producer: Producer,
        *,
        linger: float | None = 30.0,
        principal: str | int | None = None,
        if_running: IfRunning = "join",
    ) -> bool:
        """Start the producer of this key before anybody watches; whether this has started it.

        False: it runs, in whatever process, or it is ``done``, as far as it is kept; for others
        that are over it is started anew, as for a client without an id. Who is to watch it, now or
        later, asks for ``resumable(key, None, after=...)``.

        Args:
          key, producer, principal: as for `resumable`.
          linger: seconds that it goes on while nobody watches, from its start. None, for a job
            that nobody has to wait for: to its end.
          if_running: likewise; ``"refuse"`` raises `RunInProgressError`.

        Raises what the engine does, and `trio.ClosedResourceError`.
        """
        if producer is None:
            raise TypeError("a producer is what is started: None only watches, by `resumable`")
        options: dict[str, Any] = {"principal": principal, "if_running": if_running}
        run = self.resumable(key, producer, linger=linger, **options)
        await self._check_open()
        return await run.start()

    async def stop_resumable(self, key: str) -> bool:
        """Cancel the producer of this key, whichever process runs it; whether one was running."""
        await self._check_open()
        return await self._runs.request_stop(key)

    async def run(self, key: str) -> KnownRun | None:
        """How the last run of this key is, in whatever process; None if nothing of it is kept.

        Whether it runs or how it ended, since when, and who watches it. A checkpoint. Raises what
        the engine does, and `trio.ClosedResourceError`.
        """
        await self._check_open()
        return await known_run(self._runs, key)

    def runs(self) -> tuple[OpenRun, ...]:
        """The resumable runs whose producers are in this process; a snapshot."""
        return open_runs(self._runs)


def _checked_linger(linger: float | None, hint: str = "") -> float:
    """How many seconds it goes on; infinity where nobody has to watch."""
    check_seconds("linger", linger, f"{hint}{_FOREVER}", zero=True, or_none=True)
    return inf if linger is None else linger
