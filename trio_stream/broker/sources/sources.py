"""`Sources`: the sources of one broker in this process, and who watches them here."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import final

import trio

from ...codec import EncodedEvent
from ..contract import Engine, full_engine
from ..contract.topics import Selection
from ..presence.presence import Presence
from ..publisher import Publisher
from ..reading.feed import LocalFeed
from ..subscribing.roles import Visit
from .keeper import NEWS, Keeper
from .source import Source

__all__ = ["Sources"]


@final
class Sources:
    """What is run on demand. Whoever subscribes afterwards is a watcher."""

    def __init__(
        self, engine: Engine, feed: LocalFeed, publisher: Publisher, presence: Presence
    ) -> None:
        self._engine = engine
        self._publisher = publisher
        self._presence = presence
        self._sources: dict[str, Source] = {}
        self._keepers: dict[str, Keeper] = {}
        self._token = trio.lowlevel.current_trio_token()
        self._nursery: trio.Nursery | None = None
        self._ended = trio.Event()
        feed.overhear(NEWS, self._wake_all)

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Until cancelled, or stopped."""
        try:
            async with trio.open_nursery() as self._nursery:
                task_status.started()
                await trio.sleep_forever()
        finally:
            self._nursery = None
            self._ended.set()

    async def stop(self) -> None:
        """Let other processes run them."""
        nursery, self._nursery = self._nursery, None  # none is started from now on
        if nursery is not None:
            nursery.cancel_scope.cancel()
            await self._ended.wait()

    def add(self, source: Source) -> None:
        """Run it from now on while somebody watches who comes from now on.

        Raises:
          TypeError: the engine cannot tell others that it has failed.
          ValueError: there is one for this pattern.
        """
        full_engine(self._engine, "a source on demand")
        if source.pattern in self._sources:
            raise ValueError(f"there is a source of {source.pattern!r} already")
        self._sources[source.pattern] = source

    def watched_by(self, selection: Selection, visit: Visit | None) -> Visit | None:
        """What makes somebody a watcher of whatever is a source of these topics.

        Args:
          visit: what else he is.
        """
        watched = [
            (source, topic, name)
            for source in self._sources.values()
            for topic, name in source.watched_by(selection)
        ]
        return Watch(self, watched, visit) if watched else visit

    def arrive(self, source: Source, topic: str, name: str) -> None:
        """Somebody watches what this source runs for a topic, under a name of his."""
        keeper = self._keepers.get(source.name_of(topic))
        if keeper is None:
            if self._nursery is None:
                return  # the broker is closed
            engine = full_engine(self._engine, "a source on demand")
            keeper = Keeper(engine, self._publisher, self._presence, source, topic)
            self._keepers[keeper.name] = keeper
            self._nursery.start_soon(self._keep, keeper)
        keeper.arrive(name)

    def leave(self, source: Source, topic: str, name: str) -> None:
        """And does no longer."""
        keeper = self._keepers.get(source.name_of(topic))
        if keeper is not None:
            keeper.leave(name)

    def told(self, source: Source, topic: str, had: int) -> EncodedEvent | None:
        """What those at the head were told after this id, if it is so still, and run here."""
        keeper = self._keepers.get(source.name_of(topic))
        return keeper.told if keeper is not None and keeper.told_at > had else None

    def leave_soon(self, source: Source, topic: str, name: str) -> None:
        """`leave`, from whatever thread."""
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(partial(self.leave, source, topic, name))

    async def _keep(self, keeper: Keeper) -> None:
        try:
            await keeper.run()
            while keeper.is_needed:  # somebody has come while it ended
                await keeper.run()
        finally:
            del self._keepers[keeper.name]

    def _wake_all(self) -> None:
        for keeper in self._keepers.values():
            keeper.wake()


@final
class Watch:
    """One subscription's watch of sources, while it is used."""

    __slots__ = ("_sources", "_visit", "_watched", "begun", "name")

    def __init__(
        self, sources: Sources, watched: Sequence[tuple[Source, str, str]], visit: Visit | None
    ) -> None:
        self._sources = sources
        self._watched = watched
        self._visit = visit
        self.name: str | None = None if visit is None else visit.name
        self.begun: bool = False

    async def begin(self) -> None:
        self.begun = True
        for source, topic, name in self._watched:
            self._sources.arrive(source, topic, name)
        if self._visit is not None:
            await self._visit.begin()

    def end(self) -> None:
        if self.begun:
            self.begun = False
            for source, topic, name in self._watched:
                self._sources.leave(source, topic, name)
        if self._visit is not None:
            self._visit.end()

    def missed(self, had: int) -> Sequence[EncodedEvent]:
        told = [self._sources.told(source, topic, had) for source, topic, _ in self._watched]
        return [event for event in told if event is not None]

    def end_soon(self) -> None:
        for source, topic, name in self._watched:
            self._sources.leave_soon(source, topic, name)
        if self._visit is not None:
            self._visit.end_soon()
