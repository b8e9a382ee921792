"""`Resumable`: one client's watch of a run, which it starts if there is none."""

from __future__ import annotations

import logging
import uuid
from typing import TYPE_CHECKING, final

import outcome
import trio

from ...errors import BrokerError
from ..contract import lease_of
from ..reader import Cursor
from ..subscription import Subscription
from ..topics import EARLIEST, Selection, parse_cursor
from .marks import LastRun, find_run, is_end, mark_end, topic_of
from .run import Producer
from .runs import Runs

if TYPE_CHECKING:
    from ...stream.source.contract import Sink

__all__ = ["Resumable"]

log = logging.getLogger("trio_stream")

#: Seconds until one looks again whether a run that has a lease has said anything, and how often.
_AGAIN, _LOOKS = 0.05, 20


@final
class Resumable:
    """One client's watch of a run, as a stream's source; made by `Broker.resumable`."""

    holds_headers = False

    __slots__ = ("_after", "_key", "_linger", "_producer", "_runs", "_topic")

    def __init__(
        self, runs: Runs, key: str, producer: Producer | None, after: Cursor, linger: float
    ) -> None:
        self._runs = runs
        self._key = key
        self._topic = topic_of(key)
        self._producer = producer
        self._after = after
        self._linger = linger

    async def run(self, sink: Sink) -> None:
        """Find the run or start it, and deliver it from the client's id on, to its end."""
        subscription = await self._find_or_start()
        if subscription is None:
            return
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

    async def _find_or_start(self) -> Subscription | None:
        """From where to read; None when there is nothing that this client has not seen."""
        after = None if self._after is None else parse_cursor(self._after)
        silent = 0
        while not self._runs.feed.closed:
            run = await find_run(self._runs.feed, self._topic, after)
            has_seen_end = run.end is not None and run.end.id == after
            if has_seen_end and run.is_done:
                return None
            if run.kept and run.end is None and await self._bury():
                continue
            if run.kept and not has_seen_end and self._is_watchable(run):
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

    def _is_watchable(self, run: LastRun) -> bool:
        """Whether to go on with this run, instead of running the producer anew."""
        whole = run.start is not None or self._producer is None
        return run.end is None or run.known or (run.is_done and whole)

    def _watch(self, run: LastRun, after: int | None) -> Subscription:
        runs, selection = self._runs, Selection([self._topic])
        beginning = EARLIEST if run.start is None else run.start - 1
        return Subscription(
            runs.feed,
            selection,
            after if run.known else beginning,
            visit=runs.presence.visit(selection, "watcher"),
            stops_at=is_end,
            # A client that was in the middle of something else has to be told to forget it, and
            # one that can't have the beginning, that it hasn't.
            unknown=not run.known and (self._after is not None or run.start is None),
        )

    async def _start(self, last: LastRun) -> bool:
        """Run the producer, unless somebody else does by now."""
        assert self._producer is not None
        engine, run = self._runs.engine, self._runs.new(self._key)
        if await engine.claim(self._topic, run.owner, lease_of(engine)) is not None:
            await trio.sleep(_AGAIN)  # somebody has just begun, and will say so
            return True
        begun = False
        try:
            if last.is_same(await find_run(self._runs.feed, self._topic)):
                await self._runs.start(run, self._producer, self._linger)
                begun = True
        finally:
            if not begun:  # it was run while this one looked, or this client has gone already
                with trio.move_on_after(1, shield=True):
                    await engine.release(self._topic, run.owner)
        return True

    async def _bury(self) -> bool:
        """Mark the end of a run that nobody runs; whether that was so."""
        engine = self._runs.engine
        lease = lease_of(engine)
        if await engine.holder(self._topic) is not None:
            return False
        if engine.shared:
            # Leases lapse in an outage, too: whoever lives takes his again when it is over.
            await trio.sleep(lease / 10)
        undertaker = uuid.uuid4().hex
        if await engine.claim(self._topic, undertaker, lease) is not None:
            return False
        try:
            run = await find_run(self._runs.feed, self._topic)
            if run.kept and run.end is None:
                await mark_end(self._runs.publisher, self._topic, "lost")
        finally:
            with trio.move_on_after(1, shield=True):
                await engine.release(self._topic, undertaker)
        return True

    async def _notice_death(self) -> None:
        while True:
            await trio.sleep(lease_of(self._runs.engine) / 3)
            try:
                await self._bury()
            except BrokerError as exc:
                log.warning("whether %s is still run could not be asked: %s", self._key, exc)

    async def aclose(self) -> None:
        """For a stream that is never served: nothing has been started."""
        await trio.lowlevel.checkpoint()

    def close_unawaited(self) -> bool:
        """Likewise."""
        return True
