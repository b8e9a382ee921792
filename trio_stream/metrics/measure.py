"""One reading of all metrics, made of what is counted anyway; from any thread."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Mapping
from typing import final

from ..broker.tally import Counted, brokers
from ..client.tally import sources
from ..stream.life.lifetime import Lifetime
from ..stream.overview import STUCK
from ..stream.registry import streams_of_all_runs
from ..stream.tally import streams
from ..tally import HistogramValue, Labels, lock

__all__ = ["HISTOGRAMS", "Value", "Values", "measure"]

Value = float | HistogramValue

#: By a metric's name and the values of its labels.
Values = dict[str, Mapping[Labels, Value]]

#: Streams that are looked at one after another, some 2 us each.
_TURN = 256

_VERSIONS = frozenset({"1.0", "1.1", "2", "3"})

#: Those that are counted as they come.
HISTOGRAMS = {
    "trio_stream.server.stream.duration": streams.durations,
    "trio_stream.broker.publish.duration": brokers.stored,
    "trio_stream.client.reconnect.delay": sources.delays,
}


@final
class _OfRoute:
    """The open streams of one route, together."""

    __slots__ = ("age", "bytes", "events", "longest", "peak", "queued", "queued_bytes", "stalled")

    def __init__(self) -> None:
        self.events = self.bytes = self.queued = self.queued_bytes = 0
        self.longest = self.peak = self.stalled = 0
        self.age = 0.0

    def add(self, served: Lifetime) -> None:
        state = served.state
        channel, transport, clock = state.channel, state.transport, state.clock
        self.events += state.events
        self.bytes += state.written
        if queued := channel.queued_events:
            self.queued += queued
            self.queued_bytes += channel.queued_bytes
            self.longest = max(self.longest, queued)
        self.peak = max(self.peak, channel.peak_events)
        if transport is not None and clock is not None:
            stuck_since = transport.stuck_since
            age = clock.current_time() - (
                transport.last_write if stuck_since is None else stuck_since
            )
            self.age = max(self.age, age)
            self.stalled += stuck_since is not None and age >= STUCK


def measure() -> Generator[None, None, Values]:
    """Read everything; lets others run wherever it yields.

    Each stream is counted once, whenever it ends meanwhile: so no counter goes back.
    """
    with lock:
        opened, ended = Counter(streams.opened), Counter(streams.ended)
        events, sizes = Counter(streams.events), Counter(streams.bytes)
        served = streams_of_all_runs()
    active: Counter[Labels] = Counter()
    routes = {name: _OfRoute() for name in opened}
    for number, stream in enumerate(served, 1):
        if isinstance(stream, Lifetime):
            active[_way(stream)] += 1
            route = routes.get(stream.counted_as)
            if route is None:
                route = routes[stream.counted_as] = _OfRoute()
            route.add(stream)
        if number % _TURN == 0:
            yield
    for name, route in routes.items():
        events[name] += route.events
        sizes[name] += route.bytes

    def by_route(value: str) -> dict[Labels, Value]:
        return {(name,): getattr(route, value) for name, route in routes.items()}

    server: Values = {
        "active_streams": dict(active),
        "opened_streams": {(name,): count for name, count in opened.items()},
        "ended_streams": dict(ended),
        "stream.events": {(name,): count for name, count in events.items()},
        "stream.io": {(name,): size for name, size in sizes.items()},
        "queue.events": by_route("queued"),
        "queue.size": by_route("queued_bytes"),
        "queue.longest": by_route("longest"),
        "queue.peak": by_route("peak"),
        "write.age": by_route("age"),
        "stalled_streams": by_route("stalled"),
        "shutdown.duration": {(): streams.shutdown_seconds},
    }
    client: Values = {
        "attempts": {(): sources.attempts},
        "failures": {(): sources.failures},
        "reconnects": {(): sources.reconnects},
    }
    parts = {"server": server, "broker": _of_brokers(), "client": client}
    values = {
        f"trio_stream.{part}.{name}": found
        for part, metrics in parts.items()
        for name, found in metrics.items()
    }
    return values | {name: dict(histogram.values()) for name, histogram in HISTOGRAMS.items()}


def _way(served: Lifetime) -> Labels:
    state = served.state
    version = state.scope.get("http_version", "1.1")
    transport = state.transport
    return (
        served.counted_as,
        version if version in _VERSIONS else "other",
        "direct" if transport is not None and transport.direct else "buffered",
        (None if transport is None else transport.coding) or "identity",
    )


#: What a broker counts, and the metric that it is.
_TOTALS = {
    "fell_behind": "fallen_behind",
    "gaps": "gaps",
    "conflated": "conflated_events",
    "published": "published_events",
    "delivered": "delivered_events",
    "turns": "fan_out_turns",
}

#: What `_now` counts.
_NOW = (
    *("subscriptions", "behind_subscriptions", "history.topics", "history.events", "history.size"),
    "resumable_runs",
)


def _of_brokers() -> Values:
    opened, totals = brokers.read()
    values: dict[str, dict[Labels, Value]] = {
        metric: {(name,): counted[total] for name, counted in totals.items()}
        for total, metric in _TOTALS.items()
    }
    sums: dict[str, Counter[Labels]] = {name: Counter() for name in _NOW}
    away: dict[Labels, float] = {}
    connected: dict[Labels, bool] = {}
    for broker in opened:
        labels = (broker.name,)
        for name, value in _now(broker).items():
            sums[name][labels] += value
        seconds = broker.feed.outage.seconds
        away[labels] = max(away.get(labels, 0.0), seconds or 0.0)
        connected[labels] = connected.get(labels, True) and seconds is None
    return {
        **values,
        **sums,
        "engine.away": away,
        "engine.connected": {labels: float(there) for labels, there in connected.items()},
    }


def _now(broker: Counted) -> dict[str, int]:
    feed = broker.feed
    log, subscriptions = feed.log, feed.subscriptions
    return {
        "subscriptions": subscriptions,
        "behind_subscriptions": max(0, subscriptions - feed.fanout.following),
        "history.topics": len(log),
        "history.events": log.events,
        "history.size": log.bytes,
        "resumable_runs": broker.runs.count,
    }
