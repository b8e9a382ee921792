"""`Keeper`: has a source run while somebody in this process watches, here or somewhere else."""

from __future__ import annotations

import logging
import uuid
from math import inf
from typing import final

import trio

from ...codec import EncodedEvent
from ...errors import BrokerError, LeaseLostError
from ..contract import Entry, FullEngine, Lease, lease_of
from ..contract.notices import shaped
from ..contract.topics import Selection
from ..following.mapping import UNMAPPED
from ..keep_lease import keep_lease
from ..presence.presence import Presence
from ..presence.visit import NamedVisit
from ..publisher import Publisher
from ..resumable.producing import produce
from .run import SourceRun
from .source import Source

__all__ = ["NEWS", "Keeper"]

log: logging.Logger = logging.getLogger("trio_stream")

#: Where keepers of other processes are told that one has stopped. Nothing of it is kept.
NEWS = "$source"

#: Seconds between the end of a source and its next start, at first and at most; each is twice the
#: last one, until it has run for longer than the most.
_PAUSE, _LONGEST_PAUSE = 1.0, 30.0

#: Seconds between two looks at whether somebody watches in another process, at most.
_LOOK = 1.0

#: Seconds for the last words to other processes.
_FAREWELL = 1.0


@final
class Keeper:
    """Of one source, for one of the topics that it runs for.

    Attributes:
      name: of the lease, and of what its watchers are present on.
    """

    def __init__(
        self,
        engine: FullEngine,
        publisher: Publisher,
        presence: Presence,
        source: Source,
        topic: str,
    ) -> None:
        self._engine = engine
        self.name: str = source.name_of(topic)
        self._publisher = publisher
        self._presence = presence
        self._source = source
        self._topic = topic
        self._owner = uuid.uuid4().hex
        #: What is watched in this process, by how many.
        self._watched: dict[str, int] = {}
        self._visits: dict[str, NamedVisit] = {}
        self._changed = trio.Event()
        self._asking = trio.Lock()
        #: Of what runs only as long as this process has the lease.
        self._scope = trio.CancelScope()
        #: Of its last end, and None while it runs.
        self.told: EncodedEvent | None = None
        #: The newest id then: who is not at the head, and has less, does not hear it.
        self.told_at: int = 0

    # What it is told.

    def arrive(self, watched: str) -> None:
        """Somebody watches it, under this name or pattern."""
        count = self._watched.get(watched, 0)
        self._watched[watched] = count + 1
        if not count:
            self.wake()

    def leave(self, watched: str) -> None:
        """And does no longer."""
        self._watched[watched] -= 1
        if not self._watched[watched]:
            del self._watched[watched]
            self.wake()

    def wake(self) -> None:
        """Have it look at what has changed."""
        self._changed.set()
        self._changed = trio.Event()

    @property
    def is_needed(self) -> bool:
        """Whether somebody in this process watches."""
        return bool(self._watched)

    # What it does.

    async def run(self) -> None:
        """Until nobody here watches, and it is not run here."""
        try:
            async with trio.open_nursery() as nursery:
                await nursery.start(self._say_who_watches)
                while self.is_needed:
                    if await self._claim():
                        await self._hold()
                    else:
                        await self._wait(lease_of(self._engine) / 3)
                nursery.cancel_scope.cancel()
        finally:
            for visit in self._visits.values():
                visit.end()
            self._visits.clear()

    async def publish(self, entry: Entry) -> int:
        """See `SourceRun.send`."""
        while True:
            try:
                [id] = await self._publisher.publish([entry], Lease(self.name, self._owner))
            except LeaseLostError:
                if not await self._is_alive():
                    self._scope.cancel()
                    await trio.lowlevel.checkpoint()
                    raise
            else:
                return id

    async def watched(self) -> list[str]:
        """See `SourceRun.watched`."""
        return [member.name for member in await self._engine.members(self.name)]

    async def _wait(self, seconds: float) -> None:
        changed = self._changed
        with trio.move_on_after(seconds):
            await changed.wait()

    async def _say_who_watches(self, *, task_status: trio.TaskStatus[None]) -> None:
        started = False
        while True:
            changed = self._changed
            for name in self._watched.keys() - self._visits.keys():
                self._visits[name] = visit = NamedVisit(
                    self._presence, Selection([self.name]), name
                )
                await visit.begin()
            for name in self._visits.keys() - self._watched.keys():
                self._visits.pop(name).end()
            if not started:
                started = True
                task_status.started()
            await changed.wait()

    async def _claim(self) -> bool:
        owner, seconds = uuid.uuid4().hex, lease_of(self._engine)
        try:
            if await self._engine.claim(self.name, owner, seconds) is not None:
                return False
        except BrokerError as exc:
            # That the engine is away is told by itself, and who watches asks every few seconds.
            log.debug(
                "who runs the source of %(topic)s could not be asked: %(error)s",
                {"topic": self._topic, "error": exc},
            )
            return False
        self._owner = owner
        return True

    async def _hold(self) -> None:
        """Run it until nobody watches, or another process does."""
        try:
            async with trio.open_nursery() as nursery:
                self._scope = nursery.cancel_scope
                nursery.start_soon(self._keep_lease)
                nursery.start_soon(self._notice_empty_house)
                await self._run_again_and_again()
        finally:
            self.told = None
            with trio.move_on_after(_FAREWELL, shield=True):
                await self._give_up()

    async def _give_up(self) -> None:
        try:
            await self._engine.release(self.name, self._owner)
            if self._engine.shared:
                await self._engine.pass_on([Entry(NEWS, b":\n\n")])
        except (BrokerError, trio.ClosedResourceError) as exc:
            log.warning(
                "the lease of the source of %(topic)s will lapse: %(error)s",
                {"topic": self._topic, "error": exc},
            )

    async def _keep_lease(self) -> None:
        await keep_lease(lease_of(self._engine), self._is_alive, self._tell_danger)
        self._scope.cancel()

    def _tell_danger(self, error: BrokerError) -> None:
        facts = {"topic": self._topic, "error": error}
        log.warning("the lease of the source of %(topic)s is in danger: %(error)s", facts)

    async def _is_alive(self) -> bool:
        """Prolong its lease, or take it again; whether no other process has it."""
        async with self._asking:
            if await self._engine.prolong(self.name, self._owner, lease_of(self._engine)):
                return True
            return await self._claim()

    async def _notice_empty_house(self) -> None:
        linger, left_at = self._source.linger, inf
        while True:
            now, changed = trio.current_time(), self._changed
            if await self._is_watched():
                left_at = inf
            else:
                left_at = min(left_at, now)
                if now - left_at >= linger:
                    self._scope.cancel()
                    return
            with trio.move_on_after(inf if self.is_needed else min(_LOOK, left_at + linger - now)):
                await changed.wait()

    async def _is_watched(self) -> bool:
        if self.is_needed or not self._engine.shared:
            return self.is_needed
        try:
            return bool(await self._engine.members(self.name))
        except BrokerError:
            return True  # nobody knows

    async def _run_again_and_again(self) -> None:
        pause = _PAUSE
        while True:
            begun, self.told = trio.current_time(), None
            reason = await self._run_once()
            if trio.current_time() - begun > _LONGEST_PAUSE:
                pause = _PAUSE
            await self._tell(reason, pause)
            await trio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _run_once(self) -> str:
        run = SourceRun(self, self._topic)
        try:
            await produce(self._source.fn, run, run.send, f"the source of {self._topic}")
        except Exception as exc:  # whatever a user's function raises is told, and tried again
            log.exception("the source of %(topic)s failed", {"topic": self._topic, "error": exc})
            return "failed"
        log.warning(
            "the source of %(topic)s has ended, and is run again while it is watched",
            {"topic": self._topic},
        )
        return "ended"

    async def _tell(self, reason: str, again: float) -> None:
        """Tell all who watch now, in every process."""
        try:
            event = shaped("failed", self._source.failed, None, reason, again)
            if event is not None:
                self.told, self.told_at = event, self._publisher.newest
                entries = [Entry(name, event.data, UNMAPPED) for name in await self.watched()]
                if entries:
                    await self._engine.pass_on(entries)
        except Exception as exc:  # the user's function may raise anything; the source goes on
            log.exception(
                "the watchers of the source of %(topic)s could not be told",
                {"topic": self._topic, "error": exc},
            )
