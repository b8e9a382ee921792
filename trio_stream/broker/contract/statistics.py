"""What is counted, as frozen snapshots."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["BrokerStatistics", "SubscriptionStatistics", "TopicStatistics"]


@dataclass(frozen=True, slots=True)
class BrokerStatistics:
    """What a broker has done in this process; got by `Broker.statistics`."""

    #: Events published through it.
    published: int
    #: Events handed to subscribers as they came, each as often as it had subscribers.
    delivered: int
    #: Subscriptions that are streamed or iterated now.
    subscriptions: int
    #: How many of them are catching up, or wait for nothing but their own reader.
    behind: int
    #: Topics, events and bytes that this process has in memory.
    topics: int
    events: int
    bytes: int
    #: What the engine counts.
    engine: dict[str, Any]


@dataclass(frozen=True, slots=True)
class TopicStatistics:
    """What this process knows of one topic; got by `Broker.topic_statistics`."""

    #: Subscriptions at the head that get its events, patterns included.
    subscriptions: int
    #: Its events in memory, and their bytes in wire form.
    events: int
    bytes: int
    #: The ids of the oldest and the newest of them, or None.
    oldest: str | None
    newest: str | None


@dataclass(frozen=True, slots=True)
class SubscriptionStatistics:
    """What a subscription has done so far; got by `Subscription.statistics`."""

    #: The id up to which everything has been delivered.
    cursor: int
    #: Whether it follows: False while it has still to catch up.
    at_head: bool
    #: How many times its client had no room and it fell behind; 0 of what is iterated, which comes
    #: for each event by itself.
    fell_behind: int
    #: Events that were left out because a newer one had the same key.
    conflated: int
    #: Gaps that its client was told of.
    gaps: int
    #: The `OpenStream.number` of the stream that it feeds, or None: it is iterated, or not begun.
    stream_number: int | None
