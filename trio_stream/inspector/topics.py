"""What is shown of a broker: its topics and runs, and of one topic the events as they come."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, final

import trio

from ..broker import Broker, KnownTopic, SubscriptionStatistics
from ..broker.contract.topics import is_pattern
from ..endpoints.refused import RefusedError
from ..errors import BrokerError
from .ear import Ear
from .pace import Pace
from .runs import runs_of
from .scene import Others, Picture
from .view import View

__all__ = ["TopicScene"]

#: Subscribers of one topic that are shown.
_SUBSCRIBERS = 50


@final
class TopicScene:
    """The topics of a broker, and its runs in this process.

    Raises:
      RefusedError: the topic that is to be looked at closely is no name of one.
    """

    def __init__(
        self, broker: Broker, view: View, others: Others | None, *, payloads: bool
    ) -> None:
        self._broker = broker
        self._others = others
        self._view = view
        self._ear: Ear | None = None
        if view.topic is not None:
            try:
                self._ear = Ear(broker, view.topic, payloads=payloads)
            except ValueError as exc:
                raise RefusedError(400, str(exc)) from None

    @property
    def ear(self) -> Callable[[], Awaitable[None]] | None:
        return None if self._ear is None else self._ear.listen

    def close(self) -> None:
        """Its ear ends with the stream."""

    async def take(self, pace: Pace) -> Picture:
        try:
            return await self._take(pace)
        except trio.ClosedResourceError:
            return {"broker": {"closed": True}}

    async def _take(self, pace: Pace) -> Picture:
        broker, view, others = self._broker, self._view, self._others
        if others is not None:
            await others.ask_all()
        with pace:
            topics = broker.topics(view.find, most=view.rows)
            picture: Picture = {
                "broker": _broker_row(broker),
                "order": [topic.name for topic in topics],
                "topics": {topic.name: _topic_row(topic) for topic in topics},
                "runs": runs_of(broker) if others is None else others.runs,
            }
        if self._ear is not None:
            picture["topic"] = await self._details(self._ear.topic, self._ear)
            picture["events"] = self._ear.heard
        return picture

    async def _details(self, name: str, ear: Ear) -> dict[str, Any]:
        each = self._broker.subscribers(name, most=_SUBSCRIBERS)
        details: dict[str, Any] = {"name": name, "subscribers": [*map(_subscriber, each)]}
        if ear.busy:
            details["busy"] = True
        if is_pattern(name):
            return details
        details |= _topic_row(KnownTopic(name, self._broker.topic_statistics(name)))
        try:
            members = await self._broker.presence(name)
        except BrokerError:
            return details
        return details | {"present": {member.name: member.connections for member in members}}


def _broker_row(broker: Broker) -> dict[str, Any]:
    health, counted = broker.health(), broker.statistics()
    return {
        "reachable": health.reachable,
        "trouble": health.trouble,
        "published": counted.published,
        "delivered": counted.delivered,
        "subscriptions": counted.subscriptions,
        "behind": counted.behind,
        "topics": counted.topics,
        "events": counted.events,
        "bytes": counted.bytes,
    }


def _subscriber(counted: SubscriptionStatistics) -> dict[str, Any]:
    return {
        "stream": counted.stream_number or 0,  # 0: it is iterated
        "atHead": counted.at_head,
        "fellBehind": counted.fell_behind,
        "gaps": counted.gaps,
    }


def _topic_row(topic: KnownTopic) -> dict[str, Any]:
    counted = topic.statistics
    row: dict[str, Any] = {
        "subscriptions": counted.subscriptions,
        "events": counted.events,
        "bytes": counted.bytes,
    }
    if counted.newest is not None:
        row |= {"oldest": counted.oldest, "newest": counted.newest}
    return row
