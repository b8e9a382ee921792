"""`ResumableRun`: a producer that is being run, in this process."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar, final

import outcome
import trio

from ...errors import BrokerError, GapError, LeaseLostError
from ..contract import LEASE, Engine, Entry, Lease, lease_of
from ..contract.entries import body_of
from ..contract.topics import Selection
from ..keep_lease import keep_lease
from ..publisher import Publisher
from ..reading.feed import LocalFeed
from ..subscribing.subscription import Subscription
from .marks import Ending, find_run, is_stop, mark_end, mark_start, topic_of, truth
from .producing import produce

__all__ = ["Producer", "ResumableRun"]

log: logging.Logger = logging.getLogger("trio_stream")

Producer = Callable[["ResumableRun"], Any]

ResultT = TypeVar("ResultT")

#: Seconds between two looks at who still watches, at most; and seconds that the first has to come.
_LOOK = 1.0


@final
class ResumableRun:
    """What a resumable producer sends its events into; the producer's one argument.

    Attributes:
      key: as given to `Broker.resumable`.
      principal: whose it is, if that is known.
    """

    def __init__(
        self,
        engine: Engine,
        feed: LocalFeed,
        publisher: Publisher,
        key: str,
        principal: str | None = None,
    ) -> None:
        self.principal: str | None = principal
        self._engine = engine
        self._feed = feed
        self._publisher = publisher
        self.key = key
        self.topic: str = topic_of(key)
        #: Who holds its lease while it is run. Whoever finds that he does not may declare it dead,
        #: and then not even what is on its way is stored any more.
        self.owner: str = uuid.uuid4().hex
        #: For one who finds that its lease has lapsed, and takes it again, or learns that it may
        #: not.
        self._asking = trio.Lock()
        self._start: int | None = None
        self.scope: trio.CancelScope = trio.CancelScope()
        self.ended: trio.Event = trio.Event()
        #: When it was made, and when somebody was last seen watching.
        self.begun_at: float = trio.current_time()
        self.watched_at: float = self.begun_at
        self._reason: Ending | None = None
        #: Whether others have taken it for dead, and have said so.
        self._buried = False

    async def send(self, data: Any, *, event: str | None = None) -> str:
        """Publish one event to all who watch, now or later; returns its id. Never waits for them.

        Raises what `Broker.publish` does, and `LeaseLostError` when it has been taken for dead, and
        this is not where that cancels it.
        """
        entry = Entry(self.topic, body_of(data, event))
        [id] = await self._while_alive(partial(self._publisher.publish, [entry]))
        return str(id)

    async def _while_alive(self, publish: Callable[[Lease], Awaitable[ResultT]]) -> ResultT:
        """Publish under its lease; if that has lapsed and nobody else was there, take it again."""
        while True:
            try:
                return await publish(Lease(self.topic, self.owner))
            except LeaseLostError:
                if self.ended.is_set() or self._buried or not await self._is_alive():
                    self._give_way()
                    await trio.lowlevel.checkpoint()
                    raise

    def stop(self, reason: Ending) -> None:
        """Cancel the producer, for the first reason there is."""
        self._reason = self._reason or reason
        self.scope.cancel()

    async def run(
        self, producer: Producer, linger: float, *, task_status: trio.TaskStatus[int]
    ) -> None:
        """Mark the start, run the producer beside what could end it early, mark the end."""
        try:
            lease = Lease(self.topic, self.owner)
            start = self._start = await mark_start(self._publisher, self.topic, lease)
            task_status.started(start)
            result = await outcome.acapture(self._run_guarded, producer, linger, start)
            with trio.move_on_after(LEASE, shield=True):
                await self._mark_end(result)
        finally:
            self.ended.set()
        if isinstance(result, outcome.Error) and not isinstance(result.error, Exception):
            raise result.error  # cancelled with the broker, or something like KeyboardInterrupt

    async def _run_guarded(self, producer: Producer, linger: float, start: int) -> None:
        async with trio.open_nursery() as guards:
            guards.start_soon(self._keep_lease)
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
        await produce(producer, self, self.send, f"the producer of {self.key}")
        self._reason = "done"

    async def _mark_end(self, result: outcome.Maybe[None]) -> None:
        if isinstance(result, outcome.Error) and isinstance(result.error, Exception):
            facts = {"key": self.key, "error": result.error}
            log.error("a resumable producer failed: %(key)s", facts, exc_info=result.error)
            self._reason = "failed"
        try:
            if not self._buried:
                reason = self._reason or "stopped"
                await self._while_alive(partial(mark_end, self._publisher, self.topic, reason))
            await self._engine.release(self.topic, self.owner)
        except (BrokerError, trio.ClosedResourceError) as exc:
            log.warning(
                "the end of %(key)s could not be told, its lease will lapse: %(error)s",
                {"key": self.key, "error": exc},
            )

    async def _keep_lease(self) -> None:
        await keep_lease(lease_of(self._engine), self._is_alive, self._tell_danger)
        self._give_way()

    def _tell_danger(self, error: BrokerError) -> None:
        facts = {"key": self.key, "error": error}
        log.warning("the lease of %(key)s could not be prolonged: %(error)s", facts)

    async def _is_alive(self) -> bool:
        """Prolong its lease, or take it again; whether nobody has declared it dead meanwhile."""
        engine, seconds = self._engine, lease_of(self._engine)
        async with self._asking:
            if await engine.prolong(self.topic, self.owner, seconds):
                return True
            # As somebody else: what is on its way must not be stored before this is decided.
            owner = uuid.uuid4().hex
            if await engine.claim(self.topic, owner, seconds) is not None:
                return False
            last = await find_run(truth(engine, self._feed), self.topic)
            if last.end is None and last.start in {self._start, None}:
                self.owner = owner
                return True
            await engine.release(self.topic, owner)
            return False

    def _give_way(self) -> None:
        self._buried = True
        self.stop("lost")

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
