"""A log in memory: all there is of ``memory://``, and what other engines' brokers know by heart.

Each topic is a list that grows at one end and is trimmed at the other. All topics share one
sequence of ids, so a cursor is one number whatever it is that it reads.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import final

from ...transport.base import LARGE
from ..contract import Page, Record, Retention
from ..contract.topics import EARLIEST, Selection
from .log_topic import LogTopic, by_id
from .overheard import Overheard, Told

__all__ = ["MemoryLog"]

#: Bytes that a record costs besides its event's: objects, id, time and list slots, as measured. The
#: names of topics and the keys are not counted, which many events share.
RECORD_OVERHEAD = 190

#: A page ends with the record that makes it larger than this, in bytes: it is what a subscriber
#: that waits for its client holds on to, whatever happens to the log meanwhile.
_PAGE_BYTES = 2**16

#: Topics whose events are all gone, of which the last id is remembered so that a cursor can be told
#: exactly whether it has missed something. About 200 bytes each.
_FORGOTTEN_TOPICS = 10_000


@final
class MemoryLog:
    """All that was fed since ``base``, within its bounds.

    Args:
      base: the id before the first that will be added.
      retention: bounds for each topic.
      max_bytes: for all topics together; the oldest events go first. This is the memory it takes.
      clock: for ages, in seconds; must not jump back.
      told: who hears of the events of which topics.
    """

    def __init__(
        self,
        base: int,
        retention: Retention,
        max_bytes: int,
        clock: Callable[[], float],
        told: Told | None = None,
    ) -> None:
        self.head: int = base
        self.bytes: int = 0
        self.events: int = 0
        self._retention = retention
        self._max_bytes = max_bytes
        self._clock = clock
        self._told = told or {}
        self._topics: dict[str, LogTopic] = {}
        #: The topics of all events, oldest first; see `LogTopic.stale`.
        self._order: deque[LogTopic] = deque()
        self._forgotten: OrderedDict[str, int] = OrderedDict()
        #: Of topics that it knows nothing about, everything up to here may be gone.
        self.base: int = base

    def __len__(self) -> int:
        return len(self._topics)

    def newest(self) -> Iterator[tuple[str, int]]:
        """The topics that have events, and the newest id of each."""
        return ((topic.name, topic.last) for topic in self._topics.values() if len(topic))

    def topic(self, name: str) -> tuple[int, int, int | None, int | None]:
        """Events, bytes, oldest and newest id of one topic."""
        topic = self._topics.get(name)
        if topic is None or not len(topic):
            return 0, 0, None, None
        return len(topic), topic.bytes, topic.records[topic.start].id, topic.records[-1].id

    def extend(self, records: Sequence[Record]) -> None:
        """Add the newest records, in the order of their ids."""
        now = self._clock()
        for record in records:
            topic = self._topics.get(record.topic)
            if topic is None:
                topic = self._add_topic(record.topic)
            size = len(record.data)
            topic.records.append(record)
            topic.times.append(now)
            topic.last = self.head = record.id
            topic.bytes += size
            self._order.append(topic)
            self.events += 1
            self.bytes += size + RECORD_OVERHEAD
            retention = topic.retention
            if (
                topic.bytes > retention.bytes
                or len(topic.records) - topic.start > retention.events
                or retention.age is not None
            ):
                self._trim(topic, now)
        if self.bytes > self._max_bytes:
            self._trim_all()

    def _add_topic(self, name: str) -> LogTopic:
        trimmed = self._forgotten.pop(name, self.base)
        topic = self._topics[name] = LogTopic(name, self._retention.of(name), trimmed)
        if name in self._told:
            topic.records = Overheard(self._told[name])
        return topic

    def restart(self, head: int) -> None:
        """Forget everything: what was fed up to ``head`` may have holes."""
        self._topics.clear()
        self._order.clear()
        self._forgotten.clear()
        self.bytes = self.events = 0
        self.base = self.head = max(head, self.head)

    def read(self, selection: Selection, after: int, limit: int) -> Page:
        """As `Engine.read`; gone is what this log does not know, whoever else may."""
        foreign = after > self.head  # not an id of this log's: nothing is known about the reader
        if foreign:
            after = EARLIEST
        topics = self._newer(selection, after)
        found: list[Record] = []
        for topic in topics:
            if topic.retention.age is not None:
                self._trim(topic, self._clock())
            found += topic.after(after, limit)
        if len(topics) > 1:
            found.sort(key=by_id)
        gone = self._gone(selection, after, topics)
        if foreign:
            gone.setdefault("", self.base)
        return self._page(found, limit, gone)

    def cursor_back(self, selection: Selection, count: int) -> int:
        """The id behind which are the newest ``count`` events; 0 if there are not so many here."""
        newest: list[int] = []
        for topic in self._live(selection):
            first = max(topic.start, len(topic.records) - count)
            newest += [record.id for record in topic.records[first:]]
        return sorted(newest)[-count] - 1 if len(newest) >= count else EARLIEST

    def cursor_since(self, selection: Selection, seconds: float) -> int:
        """The id behind which is all that came in the last ``seconds``; 0 if older is not here."""
        before = self._clock() - seconds
        older = EARLIEST
        for topic in self._live(selection):
            first = bisect_left(topic.times, before, topic.start)
            if first > topic.start:
                older = max(older, topic.records[first - 1].id)
        return older

    def _live(self, selection: Selection) -> list[LogTopic]:
        """The topics that may have something."""
        topics = self._newer(selection, EARLIEST)
        for topic in topics:
            if topic.retention.age is not None:
                self._trim(topic, self._clock())
        return topics

    def expire(self) -> None:
        """Give the memory of events back that are too old."""
        now = self._clock()
        for topic in list(self._topics.values()):
            self._trim(topic, now)
        self._forget_empty()

    def _page(self, found: Sequence[Record], limit: int, gone: Mapping[str, int]) -> Page:
        size = 0
        for count, record in enumerate(islice(found, limit), 1):
            size += len(record.data)
            if size > _PAGE_BYTES:
                # A large one is alone on its page, because it would be copied to be joined.
                limit = count - 1 if count > 1 and len(record.data) > LARGE else count
                break
        if len(found) >= limit:
            found = found[:limit]
            return Page(found, found[-1].id, gone)
        return Page(found, self.head, gone)

    def _newer(self, selection: Selection, after: int) -> list[LogTopic]:
        """The topics that had events after the cursor, whether or not they still have."""
        if selection.patterns:
            each: Iterable[LogTopic | None] = (
                topic
                for name, topic in self._topics.items()
                if topic.last > after and name in selection
            )
        else:
            each = map(self._topics.get, selection.names)
        return [topic for topic in each if topic is not None and topic.last > after]

    def _gone(self, selection: Selection, after: int, topics: Iterable[LogTopic]) -> dict[str, int]:
        """As of `Page`."""
        gone = {topic.name: topic.mark for topic in topics if after < topic.gone}
        if after < self.base and not self._topics.keys() >= set(selection.filters):
            gone[""] = self.base  # of the others nothing is known that far back
        if self._forgotten:
            for name in self._forgotten if selection.patterns else selection.names:
                if after < self._forgotten.get(name, 0) and name in selection:
                    gone[name] = self._forgotten[name]
        return gone

    def missing(self, after: int, gone: Mapping[str, int]) -> int | None:
        """How many events after this id are gone; None where that is not known.

        Args:
          gone: as of the `Page` that says so: only if that is all that is gone here, too.
        """
        count = 0
        for name, mark in gone.items():
            topic = self._topics.get(name)
            missing = None if topic is None or topic.mark != mark else topic.missing(after)
            if missing is None:
                return None
            count += missing
        return count

    def _trim(self, topic: LogTopic, now: float) -> None:
        retention = topic.retention
        while len(topic) > retention.events or (topic.bytes > retention.bytes and len(topic) > 1):
            self._drop_oldest(topic)
        if retention.age is not None:
            oldest = now - retention.age
            while len(topic) and topic.times[topic.start] < oldest:
                self._drop_oldest(topic)

    def forget(self, name: str, id: int | None) -> bool:
        """Drop one event of a topic, or all; whether there was any."""
        topic = self._topics.get(name)
        if topic is None or not len(topic):
            return False
        if id is None:
            while len(topic):
                self._drop_oldest(topic)
            return True
        if topic.records[topic.start].id == id:
            self._drop_oldest(topic)
            return True
        taken = topic.take_out(id)
        if taken is None:
            return False
        index, size = taken
        self.bytes -= size + RECORD_OVERHEAD
        self.events -= 1
        places = (place for place, other in enumerate(self._order) if other is topic)
        del self._order[next(islice(places, topic.stale + index, None))]
        return True

    def _drop_oldest(self, topic: LogTopic) -> None:
        self.bytes -= topic.drop_oldest() + RECORD_OVERHEAD
        self.events -= 1
        topic.stale += 1
        if len(self._order) > 2 * self.events + 64:
            self._order = deque(self._live_order())

    def _live_order(self) -> Iterator[LogTopic]:
        for topic in self._order:
            if topic.stale:
                topic.stale -= 1
            else:
                yield topic

    def _trim_all(self) -> None:
        while self.bytes > self._max_bytes and self.events > 1:
            topic = self._order.popleft()
            if topic.stale:
                topic.stale -= 1
            else:
                self.bytes -= topic.drop_oldest() + RECORD_OVERHEAD
                self.events -= 1
                if not len(topic):
                    self._forget(topic)

    def _forget_empty(self) -> None:
        for topic in list(self._topics.values()):
            if not len(topic):
                self._forget(topic)

    def _forget(self, topic: LogTopic) -> None:
        del self._topics[topic.name]
        self._forgotten[topic.name] = topic.gone
        if len(self._forgotten) > _FORGOTTEN_TOPICS:
            _, gone = self._forgotten.popitem(last=False)
            self.base = max(self.base, gone)
