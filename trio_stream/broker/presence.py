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
from .contract import LEASE, Entry
from .topics import Selection

if TYPE_CHECKING:
    from .hub import Hub

__all__ = ["Presence", "presence_topic"]

log = logging.getLogger("trio_stream")


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
        self._away: dict[tuple[str, str], float] = {}
        self._somebody_left = trio.Event()
        self.grace = 0.0

    async def join(self, selection: Selection, name: str) -> None:
        """A subscription has come; the first under a name is news."""
        for topic in _present_on(selection):
            key = (topic, name)
            count = self._counts.get(key)
            self._counts[key] = (count or 0) + 1
            with _logged():
                others = await self._tell(key)
                if count is None and not others:
                    await self._publish("join", key)

    def leave(self, selection: Selection, name: str) -> None:
        """A subscription has gone; the last under a name is news, if it stays away."""
        for topic in _present_on(selection):
            key = (topic, name)
            if key in self._counts:  # else the broker is closed, and all have gone
                self._counts[key] -= 1
                if not self._counts[key]:
                    self._goes_away(key)

    def _goes_away(self, key: tuple[str, str]) -> None:
        now = trio.current_time()
        if key[0].startswith("$"):  # nobody is told, so nobody is spared either
            self._away[key] = now
            self._leaving.appendleft((now, key))
        else:
            self._away[key] = now + self.grace
            self._leaving.append((now + self.grace, key))
        self._somebody_left.set()

    async def run(self) -> None:
        """Until cancelled: tell who has left."""
        while True:
            self._somebody_left = trio.Event()
            soonest = self._leaving[0][0] if self._leaving else inf
            with trio.move_on_at(soonest):
                await self._somebody_left.wait()
            while self._leaving and self._leaving[0][0] <= trio.current_time():
                when, key = self._leaving.popleft()
                # Unless somebody came back, and maybe left again.
                if self._counts.get(key) == 0 and self._away.get(key) == when:
                    with _logged():
                        await self._gone(key)

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
        self._away.pop(key, None)
        if not await self._tell(key):
            await self._publish("leave", key)

    async def _tell(self, key: tuple[str, str]) -> int:
        topic, name = key
        count = self._counts.get(key, 0)
        return await self._hub.engine.join(topic, name, self._hub.owner, count, self._hub.lease)

    async def _publish(self, event: str, key: tuple[str, str]) -> None:
        topic, name = key
        if topic.startswith("$"):
            return  # the watchers of a resumable producer: counted, but no news
        body = encode({"name": name}, event=event).data
        await self._hub.append([Entry(presence_topic(topic), body)])


def _present_on(selection: Selection) -> Iterable[str]:
    """The topics that a subscription is present on: not those it only matches, nor the news."""
    return [name for name in selection.names if not name.startswith("$presence/")]


@contextmanager
def _logged() -> Iterator[None]:
    """Presence is no reason to end a broker whose engine cannot be reached for a while."""
    try:
        yield
    except BrokerError as exc:
        log.warning("could not tell who is present: %s", exc)
