"""What a broker knows of its topics and runs in this process, for who looks after it."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import trio

from .contract.statistics import SubscriptionStatistics, TopicStatistics

if TYPE_CHECKING:
    from .reading.feed import LocalFeed
    from .resumable import Runs

__all__ = [
    "KnownTopic",
    "OpenRun",
    "known_topics",
    "open_runs",
    "subscribers_of",
    "topic_statistics",
]


@dataclass(frozen=True, slots=True)
class KnownTopic:
    """A topic, or a pattern that somebody has subscribed to; got by `Broker.topics`."""

    name: str
    statistics: TopicStatistics


@dataclass(frozen=True, slots=True)
class OpenRun:
    """A resumable run whose producer is in this process; got by `Broker.runs`."""

    #: As given to `Broker.resumable`.
    key: str
    #: Whose it is, if that is known.
    principal: str | None
    #: Seconds since it began.
    age: float
    #: Seconds since somebody was last seen watching: up to a second while somebody is.
    seconds_unwatched: float


def known_topics(feed: LocalFeed, find: str, most: int) -> tuple[KnownTopic, ...]:
    """See `Broker.topics`."""
    wanted, filters = find.casefold(), feed.fanout.filters()
    newest = {name: id for name, id in feed.log.newest() if _is_shown(name, wanted)}
    newest |= {name: 0 for name in filters if name not in newest and _is_shown(name, wanted)}
    names = heapq.nlargest(most, newest, lambda name: (newest[name], name))
    return tuple(KnownTopic(name, topic_statistics(feed, name)) for name in names)


def _is_shown(name: str, wanted: str) -> bool:
    return not name.startswith("$") and wanted in name.casefold()


def topic_statistics(feed: LocalFeed, name: str) -> TopicStatistics:
    """What is known of one topic, or of one pattern as it was given."""
    events, size, oldest, newest = feed.log.topic(name)
    return TopicStatistics(
        subscriptions=len(feed.fanout.followers(name)),
        events=events,
        bytes=size,
        oldest=None if oldest is None else str(oldest),
        newest=None if newest is None else str(newest),
    )


def subscribers_of(feed: LocalFeed, topic: str, most: int) -> tuple[SubscriptionStatistics, ...]:
    """See `Broker.subscribers`."""
    return tuple(reader.statistics() for reader in islice(feed.readers(topic), most))


def open_runs(runs: Runs) -> tuple[OpenRun, ...]:
    """See `Broker.runs`."""
    now = trio.current_time()
    return tuple(
        OpenRun(run.key, run.principal, now - run.begun_at, now - run.watched_at)
        for run in runs.each()
    )
