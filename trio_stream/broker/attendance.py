"""`Attendance`: the part of a `Broker` that is about who is there."""

from __future__ import annotations

from typing import Any

from ..codec import ServerSentEvent
from .contract import Engine, Member, full_engine
from .contract.presence_value import decoded, value_of
from .contract.topics import Selection, check_name, check_topic
from .presence.places import present_on
from .presence.presence import Presence
from .presence.visit import NamedVisit
from .publisher import Publisher
from .reading.feed import LocalFeed
from .resumable import Runs
from .running import Running
from .sources import Sources
from .subscribing.roles import Visit

__all__ = ["Attendance"]


class Attendance(Running):
    """What a broker does for those who are present; `Broker` is what users have."""

    def __init__(
        self,
        engine: Engine,
        feed: LocalFeed,
        publisher: Publisher,
        once_for: float,
        runs: Runs,
        sources: Sources,
        presence: Presence,
    ) -> None:
        super().__init__(engine, feed, publisher, once_for, runs, sources)
        self._presence = presence

    async def presence(self, topic: str) -> list[Member]:
        """Who is present on a topic, by name, in all processes that share the log.

        Their coming and going are events ``join`` and ``leave`` on ``presence_topic(topic)``.
        """
        check_topic(topic)
        await self._check_open()
        return [decoded(member) for member in await self.engine.members(topic)]

    async def presence_event(self, topic: str) -> ServerSentEvent:
        """Who is present on a topic, as an event ``members``, for ``subscribe(snapshot=)``.

        ``subscribe(presence_topic(t), snapshot=lambda: broker.presence_event(t))`` begins with the
        list, and the news that follow go on from it. Its data is a list of
        ``{"name": ..., "connections": ..., "data": ...}``.
        """
        members = await self.presence(topic)
        return ServerSentEvent(members, event="members")

    async def update_presence(self, topic: str, name: str, data: Any) -> bool:
        """Say what belongs to a name that is present on a topic; whether it is.

        It is the name's, whatever process its connections are in and however many there are, until
        the last of them has left. An event ``update`` on ``presence_topic(topic)`` tells it.

        Args:
          data: up to 1024 bytes of JSON: a colour, a place in a document, that somebody is away.
            None is what all have of whom nothing was said.

        Raises:
          TypeError, ValueError: it has no JSON, or too much.
          BrokerError: it is said, or not; what is said will be told.
        """
        check_topic(topic)
        check_name(name, "a name to be present under")
        said = self._value_of(data)
        await self._check_open()
        return await self._presence.update(topic, name, said)

    def _visit(self, selection: Selection, name: str | None, data: Any) -> Visit | None:
        """Somebody's on these topics, while a subscription of them is used."""
        if name is None:
            if data is not None:
                raise TypeError("presence_data= belongs to a name: presence=")
            return None
        check_name(name, "a name to be present under")
        if not present_on(selection):
            raise ValueError(
                f"presence= is on topics that are named, and on none that {selection!r} only "
                "matches: name the one where somebody is, too"
            )
        said = None if data is None else self._value_of(data)
        return NamedVisit(self._presence, selection, name, said)

    def _value_of(self, data: Any) -> str:
        full_engine(self.engine, "what belongs to a name")
        return value_of(data)
