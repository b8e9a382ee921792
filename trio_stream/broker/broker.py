"""`Broker`: topics for an application."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, final

from ..checks import (
    check_callable,
    check_count,
    check_kind,
    check_seconds,
    check_text,
)
from ..errors import GapError
from .attendance import Attendance
from .backchannel import Backchannel, Backchannels
from .contract import Engine
from .contract.health import BrokerHealth, health_of
from .contract.notices import PLACE, Notice, check_notice, gap_event
from .contract.recent import Last, Place, check_after
from .contract.statistics import BrokerStatistics, SubscriptionStatistics, TopicStatistics
from .contract.topics import check_name, check_topic, select_topics
from .disconnects import Disconnects, check_disconnect
from .following.mapping import EventMap, MapFunction, check_map
from .overview import KnownTopic, known_topics, subscribers_of, topic_statistics
from .presence.presence import Presence
from .publisher import Publisher
from .reading.feed import LocalFeed
from .reading.page import TopicPage, read_page
from .reading.snapshot import Snapshot, SnapshotFunction, check_snapshot
from .resumable import Runs
from .sources import Sources
from .subscribing.hooks import NO_HOOKS, SubscriptionHooks
from .subscribing.subscription import Overflow, Subscription

__all__ = ["Broker"]


@final
class Broker(Attendance):
    """Topics: publish to a name, and whoever subscribes to it gets the event; see `open_broker`.

    Everything here may be called from any task, while the broker is open.

    Attributes:
      engine: numbers the events and keeps them. For tests of what else it can do: what is
        appended there is not checked.
    """

    def __init__(
        self,
        engine: Engine,
        feed: LocalFeed,
        publisher: Publisher,
        presence: Presence,
        runs: Runs,
        sources: Sources,
        disconnects: Disconnects,
        backchannels: Backchannels,
        once_for: float,
    ) -> None:
        super().__init__(engine, feed, publisher, once_for, runs, sources, presence)
        self._disconnects = disconnects
        self._backchannels = backchannels

    def subscribe(
        self,
        *topics: str,
        after: Place = None,
        overflow: Overflow = "all",
        presence: str | None = None,
        presence_data: Any = None,
        patterns: bool = True,
        gap: Notice[[GapError]] = gap_event,
        stale_after: float | None = None,
        map: MapFunction | None = None,
        place: Notice[[]] = PLACE,
        snapshot: SnapshotFunction | None = None,
        statistics: Notice[[SubscriptionStatistics]] = None,
        hooks: SubscriptionHooks | None = None,
    ) -> Subscription:
        """Events of these topics: a source for a `Stream`, or an async iterator.

        Args:
          topics: names, or patterns in which ``*`` stands for any one segment and ``**`` for one or
            more. A leading wildcard matches nothing that begins with ``$``.
          after: None for what is published from now on; before that, ``"earliest"`` for all that is
            kept, ``Last(20)`` or ``timedelta(minutes=2)`` for the newest of it; or an
            id, for what came after it: what a client brings back as ``Last-Event-ID``, which is
            ``last_event_id(scope)``. An id is a place in the log and nothing else: it opens no
            topic that is not named here, so choose the topics by who is asking, and the id may come
            from anyone. One that is unknown, forged, from the future or no id at all is answered
            with a gap and all that is kept.
          overflow: what a client gets that is slower than its topics. ``"all"``: every event, when
            it has time, until the history is over. ``"latest"``: of each key only the newest.
          presence: a name of up to 1024 bytes under which this subscription is present on its
            topics (not on its patterns) while it is streamed or iterated: see `presence`.
          presence_data: what belongs to that name from then on, up to 1024 bytes of JSON; None is
            nothing new. See `update_presence`.
          patterns: False where a part of a name comes from outside, from a URL or a user's name:
            what would be a pattern is a `ValueError` then, and not a view of everybody's topics.
          gap: what a stream's client is told where events are gone that came after its cursor: an
            event, or ``(GapError) -> event or None``, or None for nothing. An event named ``gap``
            when not given. An iterator is told by `GapError`.
          stale_after: seconds after which a stream's client is told by an event ``stale`` that the
            engine is away, and by an event ``fresh`` when it is back; the data of both is
            ``{"seconds": 12.5}``, for how long. None tells nothing: what was published meanwhile
            comes anyhow.
          map: ``(event) -> event``, a `TopicEvent` as it is kept: the same one, or a
            `ServerSentEvent` that is sent under its id, or None to leave it out. It runs once for
            all streams at the head of their topics whose ``map`` is equal, so give them the same
            function; whoever catches up runs it for himself. It must not block. What it raises
            ends these subscriptions with `MapError`, and no others.
          place: what a stream's client is told, so that it does not come back from too far, where
            ``map`` has left out much: an event, which gets the id of the last that was left out, or
            ``() -> event or None``, or None for nothing. An event named ``place`` when not given.
          snapshot: ``() -> state``, or async: what a client that has no id is sent first, and any
            instead of a gap; who comes back with an id that is kept goes on from there. Data as
            for ``stream.send``, a `ServerSentEvent`, or a list with such; not for ``map``. The
            place in the log is taken before it is called, so that whatever changes meanwhile
            follows it, and the last event gets its id. An empty list is the state ``[]``. ``after``
            is an id or None then. What it raises ends the stream.
          statistics: with ``overflow="latest"``, what a stream's client is told each time that
            events were left out for newer ones: an event, or ``(SubscriptionStatistics) -> event or
            None``; None, the default, for nothing.
          hooks: a `SubscriptionHooks`: what is called when it opens, gives its first event, leaves
            some out, ends.
        """
        check_snapshot(snapshot)
        if snapshot is not None and (after == "earliest" or isinstance(after, Last | timedelta)):
            raise ValueError("snapshot= goes on from where it was taken: after= is an id or None")
        check_notice("statistics", statistics, takes=1)
        if statistics is not None and overflow == "all":
            raise ValueError('statistics= are of what overflow="latest" leaves out')
        check_kind("hooks", hooks, SubscriptionHooks, "a SubscriptionHooks", or_none=True)
        check_map(map)
        check_notice("place", place, takes=0)
        check_notice("gap", gap, takes=1)
        check_seconds("stale_after", stale_after, "None tells nothing", or_none=True)
        check_after(after)
        selection = select_topics(topics, patterns)
        present = self._visit(selection, presence, presence_data)
        visit = self._sources.watched_by(selection, present)
        mapping = None if map is None else EventMap(map, place)
        return Subscription(
            self._feed,
            selection,
            after,
            overflow,
            visit,
            gap=gap,
            mapping=mapping,
            snapshot=None if snapshot is None else Snapshot(snapshot),
            statistics=statistics,
            stale_after=stale_after,
            hooks=hooks or NO_HOOKS,
        )

    async def read(
        self,
        *topics: str,
        after: Place = None,
        last: int | None = None,
        limit: int = 1000,
        patterns: bool = True,
    ) -> TopicPage:
        """What is kept of these topics, once: as events, with the place to go on from.

        Args:
          topics, patterns: as for `subscribe`.
          after: likewise, but that None is all that is kept, as ``"earliest"``.
          last: no more than the newest so many of that, or None. The oldest of them comes first.
          limit: events that are read at once, at most. They are in memory together.

        A checkpoint. Raises what the engine does, and `trio.ClosedResourceError`.
        """
        check_after(after)
        check_count("last", last, "None means no bound", or_none=True)
        check_count("limit", limit)
        selection = select_topics(topics, patterns)
        await self._check_open()
        return await read_page(self._feed, selection, after, last, limit)

    async def disconnect(
        self, principal: str | int, *, refuse_for: float = 0.0, runs: bool = False
    ) -> None:
        """End all streams of a principal, in every process that shares the log.

        Their outcome is ``revoked``: what is queued goes out, their ``farewell_event``, and an end
        as ``farewell`` says. Those of this process have ended, but for that, when this returns, and
        also when it raises; those of others some milliseconds later, or when they can read the log
        again. It is streams that have it, whatever they stream: ``Stream(principal=)``.

        Args:
          principal: as `Stream` takes it: 17 and "17" are the same.
          refuse_for: seconds for which no stream of theirs may open, anywhere, up to a day: a 403,
            after which an EventSource does not come back. With 0 it may come back at once, and is
            asked who it is.
          runs: whether their resumable runs are stopped, too.

        Raises:
          BrokerError: the others may hear of it, or not.
          trio.ClosedResourceError: the broker is closed.
        """
        whose = check_disconnect(principal, refuse_for, runs)
        await self._check_open()
        await self._disconnects.disconnect(whose, float(refuse_for), runs)

    @property
    def last_id(self) -> str:
        """The newest id that this process knows.

        Read it, then load a snapshot of your data, then ``subscribe(after=...)`` it: whatever
        changes in between is in the events. ``subscribe(snapshot=...)`` does that for each client.
        """
        return str(self._feed.head)

    def backchannel(
        self, name: str, own: str, run: Callable[[Backchannel], Awaitable[None]]
    ) -> Backchannel:
        """A place where the processes that share the log hear each other, and nobody else does.

        For tools: `inspector_app` asks other processes by it what they see. Nothing that is said
        there is stored, or reaches a subscriber, whatever its pattern.

        Args:
          name: of the place, the same in every process.
          own: of this process, by which others can speak to it alone.
          run: ``async (channel) -> None``, started with the channel, to ``await channel.receive()``
            in; cancelled when the broker is closed. What it raises is logged.

        Raises:
          TypeError: the broker's engine is one's own that hands nothing on, or an argument is none.
        """
        check_name(own, "own")
        what = "takes the channel and returns an awaitable"
        check_callable("run", run, what, takes=1, awaited=True)
        return self._backchannels.open(name, own, run)

    def statistics(self) -> BrokerStatistics:
        """Counters of this process, for logs and metrics; a snapshot."""
        feed, log = self._feed, self._feed.log
        return BrokerStatistics(
            published=self._publisher.published,
            delivered=feed.fanout.delivered,
            subscriptions=feed.subscriptions,
            behind=feed.subscriptions - feed.fanout.following,
            topics=len(log),
            events=log.events,
            bytes=log.bytes,
            engine=self.engine.statistics(),
        )

    def health(self) -> BrokerHealth:
        """Whether the engine is there, and since when not; waits for nothing, raises if closed."""
        self._feed.check_open()
        return health_of(self.engine)

    def topic_statistics(self, topic: str) -> TopicStatistics:
        """What this process knows of one topic; a snapshot."""
        return topic_statistics(self._feed, check_topic(topic))

    def subscribers(self, topic: str, *, most: int = 100) -> tuple[SubscriptionStatistics, ...]:
        """The subscriptions in this process that want a topic, or have asked for a pattern.

        Also those that are behind. In no order; 10,000 subscriptions take some 10 ms.

        Args:
          most: how many.
        """
        check_name(topic, "a topic")
        check_count("most", most)
        return subscribers_of(self._feed, topic, most)

    def topics(self, find: str = "", *, most: int = 100) -> tuple[KnownTopic, ...]:
        """The topics that this process knows, those with the newest events first.

        That is those of which it has events in memory, and the names and patterns that
        subscriptions at their head have asked for; not what begins with ``$``. 100,000 topics take
        some 50 ms.

        Args:
          find: text that is to be in their names; upper or lower case.
          most: how many.
        """
        check_text("find", find)
        check_count("most", most)
        return known_topics(self._feed, find, most)
