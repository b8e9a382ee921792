"""Who is there: members of a topic, and the news of their coming and going.

The news are events like any other, on a topic of their own (`presence_topic`), so that they are
kept, resumed and fanned out as everything else is. Where several processes share a log, each says
again every few seconds who is present through it; a process that died says nothing, and its members
are gone when their lease is over.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from math import inf
from typing import TYPE_CHECKING, final

import trio

from ..codec import encode
from ..errors import BrokerError
from .contract import Entry
from .topics import Selection

if TYPE_CHECKING:
    from .hub import Hub

__all__ = ["LEASE", "Presence", "presence_topic"]

log = logging.getLogger("trio_stream")

#: Seconds after which what a dead process held is free again. Ten are a few lost seconds of a
#: network between servers; a third of it is how often a living one says that it lives.
LEASE = 10.0


def presence_topic(topic: str) -> str:
    """Where the news of a topic's members are published: events ``join`` and ``leave``.

    Their data is ``{"name": ...}``. Subscribe to it along with the topic itself.
    """
    return f"$presence/{topic}"


@final
class Presence:
    """The members that are present through this process."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._counts: dict[tuple[str, str], int] = {}
        #: Who has left and may be back in a moment, with the time at which that moment is over.
        self._leaving: deque[tuple[float, tuple[str, str]]] = deque()
        self._somebody_left = trio.Event()
        self.grace = 0.0

    @property
    def lease(self) -> float:
        """Seconds that this process's word holds."""
        return LEASE if self._hub.engine.shared else inf

    async def join(self, selection: Selection, name: str) -> None:
        """A subscription has come; the first under a name is news."""
        for topic in _present_on(selection):
            key = (topic, name)
            count = self._counts.get(key)
            self._counts[key] = (count or 0) + 1
            others = await self._tell(key)
            if count is None and not others:
                await self._publish("join", key)

    def leave(self, selection: Selection, name: str) -> None:
        """A subscription has gone; the last under a name is news, if it stays away."""
        for topic in _present_on(selection):
            key = (topic, name)
            self._counts[key] -= 1
            if not self._counts[key]:
                self._leaving.append((trio.current_time() + self.grace, key))
                self._somebody_left.set()

    async def run(self) -> None:
        """Until cancelled: tell who has left."""
        while True:
            while self._leaving:
                when, key = self._leaving[0]
                await trio.sleep_until(when)
                self._leaving.popleft()
                if self._counts.get(key) == 0:
                    with _logged():
                        await self._gone(key)
            self._somebody_left = trio.Event()
            await self._somebody_left.wait()

    async def keep_alive(self) -> None:
        """Until cancelled: say again who is present, and tell who was so through dead processes."""
        while True:
            await trio.sleep(LEASE / 3)
            with _logged():
                for key in list(self._counts):
                    if self._counts.get(key):
                        await self._tell(key)
                for topic, name in await self._hub.engine.lapsed():
                    await self._publish("leave", (topic, name))

    async def close(self) -> None:
        """Everybody who is present through this process is gone."""
        for key in list(self._counts):
            with _logged():
                await self._gone(key)

    async def _gone(self, key: tuple[str, str]) -> None:
        del self._counts[key]
        if not await self._tell(key):
            await self._publish("leave", key)

    async def _tell(self, key: tuple[str, str]) -> int:
        topic, name = key
        count = self._counts.get(key, 0)
        return await self._hub.engine.join(topic, name, self._hub.owner, count, self.lease)

    async def _publish(self, event: str, key: tuple[str, str]) -> None:
        topic, name = key
        body = encode({"name": name}, event=event).data
        await self._hub.append([Entry(presence_topic(topic), body)])


def _present_on(selection: Selection) -> Iterable[str]:
    """The topics that a subscription is present on: not those it only matches, nor the news."""
    return [name for name in selection.names if not name.startswith("$")]


@contextmanager
def _logged() -> Iterator[None]:
    """Presence is no reason to end a broker whose engine cannot be reached for a while."""
    try:
        yield
    except BrokerError as exc:
        log.warning("could not tell who is present: %s", exc)
