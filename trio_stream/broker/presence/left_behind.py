"""Who was present through a process that was killed, and had the log to itself.

Where several processes share a log, the others tell who has left with one that died. Of a log that
is one process's nobody else hears: the next one that opens it does. So the log says that somebody
is present, and, when a broker is closed, that all have left. Where that is missing, those have left
whose last news is that they came; of whom no news are kept any more none are told.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from typing import Any, final

import msgspec

from ...codec import encode
from ...errors import BrokerError
from ..contract import Engine, Entry, Record
from ..contract.event import TopicEvent
from ..contract.topics import EARLIEST, PRESENCE, Selection, presence_topic
from ..publisher import Publisher
from ..reading.feed import LocalFeed
from .agenda import Key

__all__ = ["LeftBehind"]

log: logging.Logger = logging.getLogger("trio_stream")

_TOPIC = "$attended"
_BEGUN = Entry(_TOPIC, encode("", event="begun").data)
_ENDED = Entry(_TOPIC, encode("", event="ended").data)

_NEWS = Selection([presence_topic("**")])

#: News that are read at once: a few milliseconds, in which nothing else runs.
_PAGE = 200


class _News(msgspec.Struct):
    name: str


@final
class LeftBehind:
    """Says in the log whether anybody may be present, and finds whom its last process has left.

    It does nothing where others share the log, or nothing of it outlives this process.
    """

    def __init__(self, engine: Engine, feed: LocalFeed, publisher: Publisher) -> None:
        self._engine: Any = engine
        self._feed = feed
        self._publisher = publisher
        self._counts = engine.keeps_history and not engine.shared and hasattr(engine, "cursor_back")
        #: Whether the log says that somebody may be present.
        self._begun = not self._counts
        #: Whether somebody may be whom nobody has looked for yet; up to which id.
        self._unfound = not self._counts
        self._head = 0

    async def look(self) -> None:
        """Look how the log was left, before anybody is present."""
        if self._counts:
            self._head = self._feed.head
            selection = Selection([_TOPIC])
            last = await self._engine.cursor_back(selection, 1)
            page = await self._engine.read(selection, last, 1)
            said = [_event_of(record) for record in page.records]
            self._begun = said == ["begun"]
            self._unfound = said != ["ended"]  # it may also have been too old to be kept

    async def find(self) -> Collection[Key]:
        """Topics and names of those who were present then."""
        present: dict[Key, None] = {}
        if self._counts and self._unfound:
            cursor = EARLIEST
            try:
                while cursor < self._head:
                    page = await self._engine.read(_NEWS, cursor, _PAGE)
                    if not page.records:
                        break
                    _take(present, (one for one in page.records if one.id <= self._head))
                    cursor = page.upto
            except BrokerError as exc:
                log.warning(
                    "who was present when the last process ended is not known: %(error)s",
                    {"error": exc},
                )
                return ()
            self._unfound = False
        return present

    async def publish(self, news: Entry) -> None:
        """Publish news of somebody's presence."""
        await self._publisher.append([news] if self._begun else [_BEGUN, news])
        self._begun = True

    async def end(self) -> None:
        """All have left, and been told to have."""
        if self._begun and not self._unfound:
            await self._publisher.append([_ENDED])


def _event_of(record: Record) -> str:
    return TopicEvent(record.topic, record.event).event


def _take(present: dict[Key, None], news: Iterable[Record]) -> None:
    for record in news:
        event = TopicEvent(record.topic, record.event)
        try:
            name = msgspec.json.decode(event.data, type=_News).name
        except msgspec.MsgspecError:
            continue  # whoever may write to the file may write that
        key = (record.topic.removeprefix(PRESENCE), name)
        if event.event == "leave":
            present.pop(key, None)
        else:
            present[key] = None
