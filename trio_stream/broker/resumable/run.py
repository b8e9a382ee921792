"""`ResumableRun`: a producer that is being run, in this process."""

from __future__ import annotations

import inspect
import logging
import uuid
from collections.abc import AsyncIterable, Callable
from typing import Any, final

import outcome
import trio

from ...codec import encode
from ...errors import BrokerError, GapError
from ...stream.source.contract import close_within
from ..contract import LEASE, Engine, Entry, lease_of
from ..feed import LocalFeed
from ..publisher import Publisher
from ..subscription import Subscription
from ..topics import Selection
from .marks import Ending, find_run, is_stop, mark_end, mark_start, topic_of

__all__ = ["Producer", "ResumableRun"]

log = logging.getLogger("trio_stream")

Producer = Callable[["ResumableRun"], Any]

#: Seconds between two looks at who still watches, at most; and seconds that the first has to come.
_LOOK = 1.0


@final
class ResumableRun:
    """What a resumable producer sends its events into; the producer's one argument.

    Attributes:
      key: as given to `Broker.resumable`.
    """

    def __init__(self, engine: Engine, feed: LocalFeed, publisher: Publisher, key: str) -> None:
        self._engine = engine
        self._feed = feed
        self._publisher = publisher
        self.key = key
        self.topic = topic_of(key)
        self.owner = uuid.uuid4().hex
        self.scope = trio.CancelScope()
        self.ended = trio.Event()
        #: When somebody was last seen watching.
        self.watched_at = 0.0
        self._reason: Ending | None = None
        #: Whether others have taken it for dead, and have said so.
        self._buried = False

    async def send(self, data: Any, *, event: str | None = None) -> str:
        """Publish one event to all who watch, now or later; returns its id. Never waits for them.

        Raises what `Broker.publish` does.
        """
        [id] = await self._publisher.publish([Entry(self.topic, encode(data, event=event).data)])
        return str(id)

    def stop(self, reason: Ending) -> None:
        """Cancel the producer, for the first reason there is."""
        self._reason = self._reason or reason
        self.scope.cancel()

    async def run(
        self, producer: Producer, linger: float, *, task_status: trio.TaskStatus[None]
    ) -> None:
        """Mark the start, run the producer beside what could end it early, mark the end."""
        try:
            start = await mark_start(self._publisher, self.topic)
            task_status.started()
            result = await outcome.acapture(self._run_guarded, producer, linger, start)
            with trio.move_on_after(LEASE, shield=True):
                await self._mark_end(result)
        finally:
            self.ended.set()
        if isinstance(result, outcome.Error) and not isinstance(result.error, Exception):
            raise result.error  # cancelled with the broker, or something like KeyboardInterrupt

    async def _run_guarded(self, producer: Producer, linger: float, start: int) -> None:
        async with trio.open_nursery() as guards:
            guards.start_soon(self._keep_lease, start)
            guards.start_soon(self._hear_stop, start)
            guards.start_soon(self._notice_empty_house, max(linger, _LOOK))
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
        if inspect.isgenerator(result):
            result.close()
            raise TypeError(
                "a resumable producer is an async function, or an async generator function: this "
                "one is a generator function, which would block all other tasks"
            )
        if isinstance(result, AsyncIterable):
            try:
                async for value in result:
                    await self.send(value)
            finally:
                await close_within(result, f"the producer of {self.key}")
        self._reason = "done"

    async def _mark_end(self, result: outcome.Maybe[None]) -> None:
        if isinstance(result, outcome.Error) and isinstance(result.error, Exception):
            log.error("a resumable producer failed: %s", self.key, exc_info=result.error)
            self._reason = "failed"
        try:
            if not self._buried:
                await mark_end(self._publisher, self.topic, self._reason or "stopped")
            await self._engine.release(self.topic, self.owner)
        except (BrokerError, trio.ClosedResourceError) as exc:
            log.warning("the end of %s could not be told, its lease will lapse: %s", self.key, exc)

    async def _keep_lease(self, start: int) -> None:
        lease = lease_of(self._engine)
        usual = lease / 3
        pause = usual
        while True:
            await trio.sleep(pause)
            try:
                holder = await self._engine.claim(self.topic, self.owner, lease)
                ours = holder == self.owner or (holder is None and await self._is_last(start))
            except BrokerError as exc:
                if pause == usual:
                    log.warning("the lease of %s could not be prolonged: %s", self.key, exc)
                pause = usual / 10  # at once when it can be, before others look
            else:
                pause = usual
                if not ours:
                    self._buried = True
                    self.stop("lost")

    async def _is_last(self, start: int) -> bool:
        """Whether nobody has declared it dead while its lease had lapsed."""
        last = await find_run(self._feed, self.topic)
        return last.end is None and last.start in {start, None}

    async def _hear_stop(self, start: int) -> None:
        async with Subscription(self._feed, Selection([self.topic]), start) as subscription:
            while True:
                try:
                    record = await subscription.next_record()
                except GapError:
                    continue  # the run's own history is too short for it
                except trio.ClosedResourceError:
                    return  # the broker is closed, and stops it
                if is_stop(record):
                    self.stop("stopped")

    async def _notice_empty_house(self, linger: float) -> None:
        self.watched_at = trio.current_time()
        while True:
            await trio.sleep(min(_LOOK, linger / 4))
            try:
                watched = await self._engine.members(self.topic)
            except BrokerError:
                watched = ["nobody knows"]  # type: ignore[list-item]
            now = trio.current_time()
            if watched:
                self.watched_at = now
            elif now - self.watched_at >= linger:
                self.stop("abandoned")
