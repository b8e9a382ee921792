"""Listening to one topic for a page: the newest events, and no more work than is looked at."""

from __future__ import annotations

import time
from collections import deque
from typing import Any, final

import trio

from ..broker import Broker, Last, Subscription, TopicEvent
from ..errors import BrokerError, GapError
from .pace import PERIOD

__all__ = ["Ear"]

#: Events that are shown, and that are listened to in a second.
_SHOWN = 30

#: Characters of an event's data that are shown.
_LENGTH = 1000


@final
class Ear:
    """The last events of a topic or pattern: of its history first, and then as they come.

    It subscribes as anybody does. Of a topic that says more in a second than is shown it leaves the
    rest unheard, and comes back a second later: what it costs is bounded.

    Args:
      payloads: whether what events say is told, besides their names, ids and sizes.

    Raises:
      ValueError: there can be no such topic.
    """

    def __init__(self, broker: Broker, topic: str, *, payloads: bool) -> None:
        broker.subscribe(topic)
        self.topic: str = topic
        #: Whether there is more than is heard.
        self.busy: bool = False
        self._broker = broker
        self._payloads = payloads
        self._newest = 0
        self._count = 0
        self._events: deque[tuple[int, dict[str, Any]]] = deque(maxlen=_SHOWN)

    @property
    def heard(self) -> dict[str, dict[str, Any]]:
        """The last events, each by the number that it has here, the newest last."""
        return {str(number): event for number, event in self._events}

    async def listen(self) -> None:
        """Until cancelled, or the broker is closed."""
        while True:
            try:
                async with self._broker.subscribe(self.topic, after=Last(_SHOWN)) as events:
                    await self._hear(events)
            except trio.ClosedResourceError:
                return
            except BrokerError:
                pass  # the engine is away, as the page says; what it has is read when it is back
            await trio.sleep(PERIOD)

    async def _hear(self, events: Subscription) -> None:
        """Until there is more in a second than is shown."""
        since, heard = trio.current_time(), 0
        while heard < _SHOWN:
            try:
                event = await anext(events)
            except GapError:
                continue  # of a history of which it shows the end
            now = trio.current_time()
            if now - since >= PERIOD:
                since, heard, self.busy = now, 0, False
            if self._note(event):
                heard += 1
        self.busy = True

    def _note(self, event: TopicEvent) -> bool:
        """Keep it; whether it is news."""
        if event.id:
            if int(event.id) <= self._newest:
                return False
            self._newest = int(event.id)
        row: dict[str, Any] = {
            "at": round(time.time(), 1),
            "topic": event.topic,
            "event": event.event,
            "id": event.id,
            "bytes": len(event.encoded.data),
        }
        if self._payloads:
            data = event.data
            row["data"] = data if len(data) <= _LENGTH else f"{data[:_LENGTH]}..."
        self._count += 1
        self._events.append((self._count, row))
        return True
