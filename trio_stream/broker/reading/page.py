"""Reading what is kept, once: a page of it, and where it goes on."""

from __future__ import annotations

from dataclasses import dataclass

from ..contract.event import TopicEvent
from ..contract.recent import Place
from ..contract.topics import Selection
from .feed import LocalFeed
from .reader import LogReader

__all__ = ["TopicPage", "read_page"]


@dataclass(frozen=True, slots=True)
class TopicPage:
    """Some of what is kept, oldest first; got by `Broker.read`.

    Attributes:
      events: what was found.
      next: the id to go on from: ``read(after=page.next)``, or ``subscribe(after=page.next)`` to
        follow from there on.
      more: whether there was more behind it when it was read.
      gap: whether something is gone behind the place that was asked for, or that was no id.
    """

    events: list[TopicEvent]
    next: str
    more: bool
    gap: bool


async def read_page(
    feed: LocalFeed, selection: Selection, after: Place, last: int | None, limit: int
) -> TopicPage:
    """As `Broker.read`."""
    reader = LogReader(feed, selection, latest=False, unknown=False)
    cursor = reader.start("earliest" if after is None else after)
    cursor = max(cursor, await reader.find_place())
    if last is not None:
        cursor = max(cursor, await feed.cursor_back(selection, last))
    events: list[TopicEvent] = []
    more = gap = False
    while not more:
        page, missing = await reader.read(cursor)
        gap = gap or missing is not None
        found = page.records[: limit - len(events)]
        events += [TopicEvent(record.topic, record.event, record.but) for record in found]
        more = len(found) < len(page.records)
        cursor = int(events[-1].id) if more and events else page.upto
        if not page.records:
            break
    return TopicPage(events, str(cursor), more, gap)
