"""The metrics: their names, units and labels, as OpenTelemetry writes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["METRICS", "Kind", "Metric"]

#: ``counter`` only grows, ``updown`` is a sum of what is there now, ``gauge`` no sum.
Kind = Literal["counter", "updown", "gauge", "histogram"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One of them.

    Attributes:
      unit: in UCUM: ``s``, ``By``, or what is counted in braces.
      labels: the names of its attributes.
    """

    name: str
    kind: Kind
    unit: str
    text: str
    labels: tuple[str, ...] = ()


_ROUTE = "http.route"
_BY_ROUTE = (_ROUTE,)
_BY_OUTCOME = (_ROUTE, "trio_stream.outcome")
_BY_WAY = (_ROUTE, "network.protocol.version", "trio_stream.transport", "trio_stream.coding")
_BY_ENGINE = ("trio_stream.engine",)

_SERVER = [
    Metric("active_streams", "updown", "{stream}", "Streams that are open.", _BY_WAY),
    Metric("opened_streams", "counter", "{stream}", "Streams that have opened.", _BY_ROUTE),
    Metric("ended_streams", "counter", "{stream}", "Streams that have ended.", _BY_OUTCOME),
    Metric("stream.duration", "histogram", "s", "How old streams were at their end.", _BY_OUTCOME),
    Metric("stream.events", "counter", "{event}", "Events accepted from producers.", _BY_ROUTE),
    Metric("stream.io", "counter", "By", "Bytes of body handed to the server.", _BY_ROUTE),
    Metric("queue.events", "updown", "{event}", "Events that wait for clients.", _BY_ROUTE),
    Metric("queue.size", "updown", "By", "Bytes that wait for clients.", _BY_ROUTE),
    Metric("queue.longest", "gauge", "{event}", "The most that wait in one stream.", _BY_ROUTE),
    Metric(
        "queue.peak", "gauge", "{event}", "The most that ever waited in an open stream.", _BY_ROUTE
    ),
    Metric(
        "write.age", "gauge", "s", "Longest time since bytes of a stream were taken.", _BY_ROUTE
    ),
    Metric(
        "stalled_streams",
        "updown",
        "{stream}",
        "Streams whose client has taken nothing of an unfinished write for a second.",
        _BY_ROUTE,
    ),
    Metric("shutdown.duration", "gauge", "s", "From the shutdown to the last stream's end."),
]
_BROKER = [
    Metric("subscriptions", "updown", "{subscription}", "Subscriptions in use."),
    Metric("behind_subscriptions", "updown", "{subscription}", "Those that are catching up."),
    Metric("fallen_behind", "counter", "{fall}", "Times that a subscriber had no room."),
    Metric("gaps", "counter", "{gap}", "Gaps that subscribers were told of."),
    Metric("conflated_events", "counter", "{event}", "Events that newer ones replaced."),
    Metric("published_events", "counter", "{event}", "Events published by this process."),
    Metric("publish.duration", "histogram", "s", "Time to store a batch of events."),
    Metric("delivered_events", "counter", "{event}", "Events handed to subscribers at the head."),
    Metric("fan_out_turns", "counter", "{turn}", "Times that new events were handed out."),
    Metric("history.topics", "updown", "{topic}", "Topics in memory."),
    Metric("history.events", "updown", "{event}", "Events in memory."),
    Metric("history.size", "updown", "By", "Bytes of events in memory."),
    Metric("engine.connected", "gauge", "1", "1 while the engine is there, else 0."),
    Metric("engine.away", "gauge", "s", "For how long the engine has been away."),
    Metric("resumable_runs", "updown", "{run}", "Resumable runs in this process."),
]
_CLIENT = [
    Metric("attempts", "counter", "{attempt}", "Attempts of event sources to connect."),
    Metric("failures", "counter", "{attempt}", "Attempts that failed, or brought nothing."),
    Metric("reconnects", "counter", "{attempt}", "Attempts that were not a source's first."),
    Metric("reconnect.delay", "histogram", "s", "Time to wait before the next attempt."),
]


def _named(part: str, metric: Metric, labels: tuple[str, ...]) -> Metric:
    return Metric(
        f"trio_stream.{part}.{metric.name}", metric.kind, metric.unit, metric.text, labels
    )


#: All of them, by name.
METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in [
        *(_named("server", metric, metric.labels) for metric in _SERVER),
        *(_named("broker", metric, _BY_ENGINE) for metric in _BROKER),
        *(_named("client", metric, ()) for metric in _CLIENT),
    ]
}
