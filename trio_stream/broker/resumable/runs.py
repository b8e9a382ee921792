"""`Runs`: the resumable producers that run in this process, and what they use of their broker."""

from __future__ import annotations

from typing import final

import trio

from ..contract import Engine
from ..presence.presence import Presence
from ..publisher import Publisher
from ..reading.feed import LocalFeed
from .marks import mark_stop, topic_of
from .run import Producer, ResumableRun

__all__ = ["Runs"]


@final
class Runs:
    """The runs of one broker in this process.

    A run publishes and its watchers subscribe like anybody; who watches is who is present.
    """

    def __init__(
        self,
        engine: Engine,
        feed: LocalFeed,
        publisher: Publisher,
        presence: Presence,
        nursery: trio.Nursery,
    ) -> None:
        self.engine = engine
        self.feed = feed
        self.publisher = publisher
        self.presence = presence
        self._nursery = nursery
        self._by_topic: dict[str, ResumableRun] = {}

    @property
    def count(self) -> int:
        """How many are in this process."""
        return len(self._by_topic)

    def get(self, topic: str) -> ResumableRun | None:
        """The run of this topic, if it is in this process."""
        return self._by_topic.get(topic)

    def each(self) -> list[ResumableRun]:
        """All that are in this process."""
        return list(self._by_topic.values())

    def new(self, key: str, principal: str | None) -> ResumableRun:
        """One that is still to be started, and whose it is."""
        return ResumableRun(self.engine, self.feed, self.publisher, key, principal)

    async def start(self, run: ResumableRun, producer: Producer, linger: float) -> int:
        """Start it in the broker's nursery; returns once its start is marked, that mark's id."""
        start: int = await self._nursery.start(self._run, run, producer, linger)
        return start

    async def _run(
        self,
        run: ResumableRun,
        producer: Producer,
        linger: float,
        *,
        task_status: trio.TaskStatus[int],
    ) -> None:
        self._by_topic[run.topic] = run
        try:
            await run.run(producer, linger, task_status=task_status)
        finally:
            self._by_topic.pop(run.topic, None)

    async def request_stop(self, key: str) -> bool:
        """Ask a run to stop, whichever process it is in; whether there was one."""
        topic = topic_of(key)
        if (run := self.get(topic)) is not None:
            run.stop("stopped")
            return True
        if await self.engine.holder(topic) is None:
            return False
        await mark_stop(self.publisher, topic)
        return True

    def stop_of(self, principal: str) -> None:
        """Stop those of this process that are this principal's."""
        for run in self.each():
            if run.principal == principal:
                run.stop("stopped")

    async def stop_all(self) -> None:
        """Stop those of this process, and tell those who watch them."""
        runs = self.each()
        for run in runs:
            run.stop("lost")
        for run in runs:
            await run.ended.wait()
