"""Topics: a topic is a log, a subscriber is a cursor.

`contract` says what an engine is, and there are four; everything else is the same for all of them.
`log` is what a process knows by heart, `fanout` hands out what is new, `feed` is both of them and
the engine behind; `subscription` is a cursor that catches up from the one and is served by the
other, `publisher` the way in. `presence` and `resumable` publish and subscribe like anybody's code,
`broker` puts them all together, and
`opening` opens it.
"""

from __future__ import annotations

from .broker import Broker
from .contract import Member
from .contract.event import TopicEvent
from .contract.health import BrokerHealth
from .contract.recent import Last
from .contract.retention import Retention
from .contract.statistics import BrokerStatistics, SubscriptionStatistics, TopicStatistics
from .contract.topics import presence_topic
from .counting import Published
from .opening import open_broker
from .outside import TopicPublisher, publisher
from .overview import KnownTopic, OpenRun
from .publish_app import PublishApp, publish_app
from .reading.page import TopicPage
from .ready_app import ReadyApp, ready_app
from .resumable import KnownRun, Resumable, ResumableRun
from .sources import SourceRun
from .subscribing.hooks import SubscriptionHooks
from .subscribing.subscription import Subscription
from .transaction import publish

__all__ = [
    "Broker",
    "BrokerHealth",
    "BrokerStatistics",
    "KnownRun",
    "KnownTopic",
    "Last",
    "Member",
    "OpenRun",
    "PublishApp",
    "Published",
    "ReadyApp",
    "Resumable",
    "ResumableRun",
    "Retention",
    "SourceRun",
    "Subscription",
    "SubscriptionHooks",
    "SubscriptionStatistics",
    "TopicEvent",
    "TopicPage",
    "TopicPublisher",
    "TopicStatistics",
    "open_broker",
    "presence_topic",
    "publish",
    "publish_app",
    "publisher",
    "ready_app",
]
