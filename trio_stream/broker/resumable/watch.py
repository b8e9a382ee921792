"""`Resumable`: one client's watch of a run, which it starts if there is none."""

from __future__ import annotations

import logging
from math import inf
from typing import TYPE_CHECKING, Literal, Self, final

import outcome
import trio

from ...errors import BrokerError, GapError, LeaseLostError, RunFailedError, RunInProgressError
from ..contract import Record, lease_of
from ..contract.event import TopicEvent
from ..contract.notices import Notice
from ..contract.recent import Cursor
from ..contract.topics import EARLIEST, Selection, parse_cursor
from ..presence.visit import NamedVisit
from ..subscribing.subscription import Subscription
from .burying import bury
from .ends import RunEnding
from .marks import (
    LastRun,
    Log,
    ending_of,
    find_run,
    is_end,
    is_mark,
    topic_of,
    truth,
)
from .run import Producer
from .runs import Runs

if TYPE_CHECKING:
    from ...stream.source.contract import HeadersWaitFor, Sink

__all__ = ["IfRunning", "Resumable"]

log: logging.Logger = logging.getLogger("trio_stream")

#: What a client wants that would start a run and finds one.
IfRunning = Literal["join", "refuse", "replace"]

#: Seconds until one looks again whether a run that has a lease has said anything, and how often.
_AGAIN, _LOOKS = 0.05, 20


@final
class Resumable:
    """One client's watch of a run; made by `Broker.resumable`.

    Use it once: as the source of a `Stream`, or as an async iterator of `TopicEvent`, which has the
    producer's events alone. It ends when the producer has returned, and raises

    * `RunFailedError` when the run has ended in any other way.
    * `GapError` where the client's place in the run is not known, or events of it are gone. The
      next ``__anext__`` goes on behind the gap.
    * `trio.ClosedResourceError` when it, or the broker, is closed.
    * `trio.BusyResourceError` when another task is iterating it.

    Use it in an ``async with``: who leaves the iteration watches no longer then.
    """

    #: Part of the contract of a stream's source: they may become those of a 204.
    headers_wait_for: HeadersWaitFor = "ready"

    __slots__ = (
        "_after",
        "_began",
        "_busy",
        "_ending",
        "_gap",
        "_if_running",
        "_key",
        "_left",
        "_linger",
        "_over",
        "_presence",
        "_principal",
        "_producer",
        "_runs",
        "_stale_after",
        "_subscription",
        "_topic",
    )

    def __init__(
        self,
        runs: Runs,
        key: str,
        producer: Producer | None,
        after: Cursor,
        linger: float,
        gap: Notice[[GapError]],
        ending: RunEnding,
        stale_after: float | None = None,
        principal: str | None = None,
        presence: str | None = None,
        if_running: IfRunning = "join",
    ) -> None:
        self._presence = presence
        # Who comes back does not ask for a start, and who only watches cannot make one.
        self._if_running = if_running if after is None and producer is not None else "join"
        self._stale_after = stale_after
        self._principal = principal
        self._gap = gap
        self._ending = ending
        self._subscription: Subscription | None = None
        self._over = self._busy = self._left = False
        #: The id of the mark at the start of the run that this has started, if it has.
        self._began: int | None = None
        self._runs = runs
        self._key = key
        self._topic = topic_of(key)
        self._producer = producer
        self._after = after
        self._linger = linger

    async def run(self, sink: Sink) -> None:
        """Find the run or start it, and deliver it from the client's id on, to its end."""
        if self._subscription is not None or self._over or self._left:
            raise RuntimeError("a Resumable can be used once: ask the broker for another one")
        client = getattr(sink, "principal", None)  # what others stream into need not have one
        self._principal = self._principal or client
        self._presence = self._presence or client
        subscription = await self._find_or_start()
        if subscription is None:
            if self._over:
                sink.no_content()
            return
        sink.ready()
        run = self._runs.get(self._topic)
        if run is not None or not self._runs.engine.shared:
            try:
                await subscription.run(sink)
            finally:
                if run is not None:
                    run.watched_at = trio.current_time()
            return
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._notice_death)
            result = await outcome.acapture(subscription.run, sink)
            nursery.cancel_scope.cancel()
        result.unwrap()

    async def start(self) -> bool:
        """Start the run, if it is to be started, and do not watch it; whether it was."""
        await self._find_or_start()
        self._over = True
        return self._began is not None

    async def _find_or_start(self) -> Subscription | None:
        """From where to read; None when there is nothing that this client has not seen."""
        after = None if self._after is None else parse_cursor(self._after)
        silent = 0
        stopped: set[int | None] = set()
        while not self._runs.feed.closed:
            run = await find_run(self._runs.feed, self._topic, after)
            if self._began is not None:  # its own is what it watches, whatever has become of that
                if run.is_from(self._began):
                    return self._watch(run, after)
                if (await find_run(self._truth, self._topic)).is_from(self._began):
                    await trio.sleep(_AGAIN)  # as this process hears in a moment
                    continue
            if run.over or (run.end is not None and self._has_seen_all(run, run.end, after)):
                self._over = True
                return None
            if run.kept and run.end is None and await bury(self._runs, self._topic):
                continue
            if run.end is None and not await self._may_join(run, stopped):
                continue
            if run.kept and self._is_watchable(run):
                return self._watch(run, after)
            if not run.kept and await self._runs.engine.holder(self._topic) is not None:
                # It has just begun and will say so. Or of what it has said nothing is kept.
                if silent == _LOOKS:
                    return self._watch(run, after)
                silent += 1
                await trio.sleep(_AGAIN)
            elif self._producer is None or not await self._start(run):
                return None
        return None

    def _has_seen_all(self, run: LastRun, end: Record, after: int | None) -> bool:
        # Where the end is left out, its id is not told either: the last event is all there is. Or,
        # if it is not done, this raises, and the answer has an error's status.
        return run.last == after is not None and self._ending.shape(end) is None

    def _is_watchable(self, run: LastRun) -> bool:
        """Whether to go on with this run, instead of running the producer anew.

        Who comes back with an id does not ask for another one: a browser does that by itself.
        """
        if run.end is None or self._after is not None or self._producer is None:
            return True
        return run.is_done and run.start is not None and self._if_running != "replace"

    async def _may_join(self, run: LastRun, stopped: set[int | None]) -> bool:
        """Whether to watch a run that has not ended, or start one; else look again.

        Raises:
          RunInProgressError: it runs, and this client wants one of its own or none.
        """
        if self._if_running == "join":
            return True
        if not run.kept and await self._runs.engine.holder(self._topic) is None:
            return True
        if self._if_running == "refuse":
            raise RunInProgressError(self._key)
        if run.start not in stopped:
            stopped.add(run.start)
            await self._runs.request_stop(self._key)
        await trio.sleep(_AGAIN)
        return False

    def _watch(self, run: LastRun, after: int | None) -> Subscription:
        runs, selection = self._runs, Selection([self._topic])
        beginning = EARLIEST if run.start is None else run.start - 1
        return Subscription(
            runs.feed,
            selection,
            after if run.known else beginning,
            visit=NamedVisit(runs.presence, selection, self._presence or "watcher"),
            gap=self._gap,
            ending=self._ending,
            stale_after=self._stale_after,
            # A client that was in the middle of something else has to be told to forget it, and
            # one that can't have the beginning, that it hasn't.
            unknown=not run.known and (self._after is not None or run.start is None),
        )

    async def _start(self, last: LastRun) -> bool:
        """Run the producer, unless somebody else does by now."""
        assert self._producer is not None
        engine, run = self._runs.engine, self._runs.new(self._key, self._principal)
        if await engine.claim(self._topic, run.owner, lease_of(engine)) is not None:
            await trio.sleep(_AGAIN)  # somebody has just begun, and will say so
            return True
        begun = False
        try:
            if last.is_same(await find_run(self._truth, self._topic)):
                self._began = await self._runs.start(run, self._producer, self._linger)
                begun = True
                self._if_running = "join"  # its own
            else:
                await trio.sleep(_AGAIN)  # it was run meanwhile, as this process hears in a moment
        except LeaseLostError:
            pass  # so long has that taken that another may be at it by now: look again
        finally:
            if not begun:  # or this client has gone already
                with trio.move_on_after(1, shield=True):
                    await engine.release(self._topic, run.owner)
        return True

    @property
    def _truth(self) -> Log:
        return truth(self._runs.engine, self._runs.feed)

    async def _notice_death(self) -> None:
        while True:
            await trio.sleep(lease_of(self._runs.engine) / 3)
            await self._try_to_bury()

    async def _try_to_bury(self) -> None:
        try:
            await bury(self._runs, self._topic)
        except BrokerError as exc:
            log.warning(
                "whether %(key)s is still run could not be asked: %(error)s",
                {"key": self._key, "error": exc},
            )

    # As an async iterator.

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> TopicEvent:
        if self._busy:  # or each would begin to watch, and have some events of the other's
            raise trio.BusyResourceError("another task is iterating this run")
        self._busy = True
        try:
            return await self._next_event()
        finally:
            self._busy = False

    async def _next_event(self) -> TopicEvent:
        if self._subscription is None and not (self._over or self._left):
            self._subscription = await self._find_or_start()
        if self._left:
            await self._leave()
            raise trio.ClosedResourceError("the run was left: ask the broker for another Resumable")
        while (subscription := self._subscription) is not None:
            record = await self._next_record(subscription)
            if is_end(record):
                self._over = True
                await self._leave()
                if (ending := ending_of(record)) != "done":
                    raise RunFailedError(self._key, ending)
            elif not is_mark(record):
                return TopicEvent(record.topic, record.event)
        self._over = True
        await trio.lowlevel.checkpoint()
        raise StopAsyncIteration

    async def _next_record(self, subscription: Subscription) -> Record:
        # An iterator has no task of its own that would notice the death of another process.
        elsewhere = self._runs.engine.shared and self._runs.get(self._topic) is None
        patience = lease_of(self._runs.engine) / 3 if elsewhere else inf
        while True:
            with trio.move_on_after(patience):
                return await subscription.next_record()
            await self._try_to_bury()

    async def aclose(self) -> None:
        """Leave: it is watched no longer. Idempotent.

        A task that is iterating it gets `trio.ClosedResourceError`.
        """
        self._left = not self._over
        await self._leave()

    async def _leave(self) -> None:
        subscription, self._subscription = self._subscription, None
        if subscription is None:
            await trio.lowlevel.checkpoint()
            return
        if (run := self._runs.get(self._topic)) is not None:
            run.watched_at = trio.current_time()
        await subscription.aclose()

    def close_unawaited(self) -> bool:
        """For a stream that is never served: nothing has been started."""
        return True

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()
