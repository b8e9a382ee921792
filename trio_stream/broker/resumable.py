"""Producers that outlive their client, and end with their last one.

A run of a producer is a topic of its own. It begins with a mark and ends with one, and between them
is what the producer sent; so a client that comes back reads on from its id like any subscriber,
and what state a run is in can be read from its topic by any process. That it *is* run is what its
lease says, which its process prolongs: when that process dies, the lease lapses, whoever watches
puts the missing mark at the end, and the next request may run the producer anew.
"""

from __future__ import annotations

import inspect
import logging
import uuid
from collections.abc import AsyncIterable, Callable
from typing import TYPE_CHECKING, Any, Literal, final

import outcome
import trio

from ..codec import encode
from ..errors import BrokerError, GapError
from .contract import LEASE, Entry, Record
from .reader import Cursor
from .subscription import Subscription
from .topics import EARLIEST, Selection, check_topic, parse_cursor

if TYPE_CHECKING:
    from ..stream.source.contract import Sink
    from .hub import Hub

__all__ = ["Resumable", "ResumableRun"]

log = logging.getLogger("trio_stream")

Producer = Callable[["ResumableRun"], Any]
Ending = Literal["done", "failed", "stopped", "abandoned", "lost"]

#: The keys of a run's marks. No event of a user's has such a key.
_START, _STOP, _END, _FAILED = "$start", "$stop", "$end", "$failed"

#: Comments: a client reads over them.
_START_BODY = b": a run begins\n\n"
_STOP_BODY = b": it is asked to stop\n\n"

#: Seconds between two looks at who still watches, at most.
_LOOK = 1.0


@final
class ResumableRun:
    """What a resumable producer sends its events into; the producer's one argument.

    Attributes:
      key: as given to `Broker.resumable`.
    """

    def __init__(self, hub: Hub, key: str) -> None:
        self._hub = hub
        self.key = key
        self.topic = _topic(key)
        self.owner = uuid.uuid4().hex
        self.scope = trio.CancelScope()
        self.ended = trio.Event()
        #: When somebody was last seen watching.
        self.watched_at = 0.0
        self._reason: Ending | None = None

    async def send(self, data: Any, *, event: str | None = None) -> str:
        """Publish one event to all who watch, now or later; returns its id. Never waits for them.

        Raises what `Broker.publish` does.
        """
        [id] = await self._hub.publish([Entry(self.topic, encode(data, event=event).data)])
        return str(id)

    def stop(self, reason: Ending) -> None:
        """Cancel the producer, for the first reason there is."""
        self._reason = self._reason or reason
        self.scope.cancel()

    async def run(
        self, producer: Producer, linger: float, *, task_status: trio.TaskStatus[None]
    ) -> None:
        """Mark the start, run the producer beside what could end it early, mark the end."""
        self._hub.runs[self.topic] = self
        try:
            [start] = await self._hub.append([Entry(self.topic, _START_BODY, _START)])
            task_status.started()
            result = await outcome.acapture(self._run_guarded, producer, linger, start)
            with trio.move_on_after(LEASE, shield=True):
                await self._mark_end(result)
        finally:
            self._hub.runs.pop(self.topic, None)
            self.ended.set()
        if isinstance(result, outcome.Error) and not isinstance(result.error, Exception):
            raise result.error  # cancelled with the broker, or something like KeyboardInterrupt

    async def _run_guarded(self, producer: Producer, linger: float, start: int) -> None:
        async with trio.open_nursery() as guards:
            guards.start_soon(self._keep_lease)
            guards.start_soon(self._hear_stop, start)
            guards.start_soon(self._notice_empty_house, linger)
            with self.scope:
                # A failure is taken out of the nursery, which would wrap it in a group.
                result = await outcome.acapture(self._produce, producer)
                if isinstance(result, outcome.Error) and not isinstance(result.error, Exception):
                    result.unwrap()
            guards.cancel_scope.cancel()
            if self.scope.cancelled_caught:
                return
        result.unwrap()

    async def _produce(self, producer: Producer) -> None:
        result = producer(self)
        if inspect.isawaitable(result):
            result = await result
        if isinstance(result, AsyncIterable):
            async for value in result:
                await self.send(value)
        self._reason = "done"

    async def _mark_end(self, result: outcome.Maybe[None]) -> None:
        if isinstance(result, outcome.Error) and isinstance(result.error, Exception):
            log.error("a resumable producer failed: %s", self.key, exc_info=result.error)
            self._reason = "failed"
        try:
            await _append_end(self._hub, self.topic, self._reason or "stopped")
            await self._hub.engine.release(self.topic, self.owner)
        except BrokerError as exc:
            log.warning("the end of %s could not be told, its lease will lapse: %s", self.key, exc)

    async def _keep_lease(self) -> None:
        while True:
            await trio.sleep(LEASE / 3)
            try:
                holder = await self._hub.engine.claim(self.topic, self.owner, self._hub.lease)
            except BrokerError as exc:
                log.warning("the lease of %s could not be prolonged: %s", self.key, exc)
            else:
                if holder not in {self.owner, None}:
                    self.stop("lost")

    async def _hear_stop(self, start: int) -> None:
        subscription = Subscription(self._hub, Selection([self.topic]), start)
        while True:
            try:
                record = await subscription.next_record()
            except GapError:
                continue  # the run's own history is too short for it
            if record.key == _STOP:
                self.stop("stopped")

    async def _notice_empty_house(self, linger: float) -> None:
        self.watched_at = trio.current_time()
        while True:
            await trio.sleep(min(_LOOK, linger / 4))
            try:
                watched = await self._hub.engine.members(self.topic)
            except BrokerError:
                watched = ["nobody knows"]  # type: ignore[list-item]
            now = trio.current_time()
            if watched:
                self.watched_at = now
            elif now - self.watched_at >= linger:
                self.stop("abandoned")


@final
class Resumable:
    """One client's watch of a run, as a stream's source; made by `Broker.resumable`."""

    holds_headers = False

    __slots__ = ("_after", "_hub", "_key", "_linger", "_producer", "_topic")

    def __init__(
        self, hub: Hub, key: str, producer: Producer | None, after: Cursor, linger: float
    ) -> None:
        self._hub = hub
        self._key = key
        self._topic = _topic(key)
        self._producer = producer
        self._after = after
        self._linger = linger

    async def run(self, sink: Sink) -> None:
        """Find the run or start it, and deliver it from the client's id on, to its end."""
        subscription = await self._find_or_start()
        if subscription is None:
            return
        run = self._hub.runs.get(self._topic)
        if run is not None or not self._hub.engine.shared:
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
        while not self._hub.closed:
            start, end = await find_run(self._hub, self._topic)
            if start is not None and not (end and after is not None and after >= end.id):
                known = after is not None and start.id <= after
                if end is None and await self._bury():
                    continue
                if end is None or end.key == _END or known:
                    return self._watch(start, after if known else None)
            elif end is not None and end.key == _END:
                return None  # it is over, and this client has seen the end of it
            if self._producer is None or not await self._start(start):
                return None
        return None

    def _watch(self, start: Record, after: int | None) -> Subscription:
        lost = after is None and self._after is not None
        return Subscription(
            self._hub,
            Selection([self._topic]),
            start.id - 1 if after is None else after,
            presence="watcher",
            stops_at=_is_end,
            # A client that was in the middle of something else has to be told to forget it.
            unknown=lost,
        )

    async def _start(self, last: Record | None) -> bool:
        """Run the producer, unless somebody else does by now."""
        assert self._producer is not None
        hub = self._hub
        run = ResumableRun(hub, self._key)
        if await hub.engine.claim(self._topic, run.owner, hub.lease) is not None:
            await trio.sleep(0.05)  # somebody has just begun, and will say so
            return True
        begun = False
        try:
            start, _ = await find_run(hub, self._topic)
            if start is None or (last is not None and start.id == last.id):
                await hub.nursery.start(run.run, self._producer, self._linger)
                begun = True
        finally:
            if not begun:  # it was run while this one looked, or this client has gone already
                with trio.move_on_after(1, shield=True):
                    await hub.engine.release(self._topic, run.owner)
        return True

    async def _bury(self) -> bool:
        """Mark the end of a run that nobody runs; whether that was so."""
        hub = self._hub
        if await hub.engine.holder(self._topic) is not None:
            return False
        undertaker = uuid.uuid4().hex
        if await hub.engine.claim(self._topic, undertaker, hub.lease) is not None:
            return False
        try:
            start, end = await find_run(hub, self._topic)
            if start is not None and end is None:
                await _append_end(hub, self._topic, "lost")
        finally:
            with trio.move_on_after(1, shield=True):
                await hub.engine.release(self._topic, undertaker)
        return True

    async def _notice_death(self) -> None:
        while True:
            await trio.sleep(LEASE / 3)
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


async def find_run(hub: Hub, topic: str) -> tuple[Record | None, Record | None]:
    """The marks of a topic's last run: its start, if it is still kept, and its end, if there is."""
    start = end = None
    cursor, selection = EARLIEST, Selection([topic])
    while True:
        page = await hub.read(selection, cursor, 256)
        for record in page.records:
            if record.key == _START:
                start, end = record, None
            elif _is_end(record):
                end = record
        if not page.records:
            return start, end
        cursor = page.upto


async def request_stop(hub: Hub, key: str) -> bool:
    """Ask a run to stop, whichever process it is in; whether there was one."""
    topic = _topic(key)
    if await hub.engine.holder(topic) is None:
        return False
    await hub.append([Entry(topic, _STOP_BODY, _STOP)])
    return True


async def _append_end(hub: Hub, topic: str, reason: Ending) -> None:
    if reason == "done":
        await hub.append([Entry(topic, encode("", event="done").data, _END)])
    else:
        body = encode({"reason": reason}, event="failed").data
        await hub.append([Entry(topic, body, _FAILED)])


def _is_end(record: Record) -> bool:
    return record.key in {_END, _FAILED}


def _topic(key: str) -> str:
    return f"$resumable/{check_topic(key)}"
