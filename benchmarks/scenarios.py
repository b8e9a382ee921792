"""What is measured: which path is asked for by how many connections, and which figures count."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Kind = Literal[
    "flood",
    "ticks",
    "idle",
    "fanout",
    "topic",
    "topic-flood",
    "topic-idle",
    "crowd",
    "ticks-json",
    "topic-json",
]

#: HTTP/1.1 in clear or over TLS, or HTTP/2 over TLS, which is what browsers speak.
Wire = Literal["clear", "tls", "http2"]

SILENT: frozenset[Kind] = frozenset({"idle", "topic-idle", "crowd"})

#: Streams of each HTTP/2 connection: as many as Hypercorn, and so a browser, opens at most.
STREAMS_PER_CONNECTION = 100


@dataclass(frozen=True)
class Metric:
    key: str
    title: str
    better: Literal["more", "less"]
    digits: int


RATE = Metric("rate", "events/s", "more", 0)
CPU = Metric("cpu_us", "CPU µs/event", "less", 2)
MEDIAN = Metric("p50_ms", "p50 ms", "less", 3)
P99 = Metric("p99_ms", "p99 ms", "less", 3)
BYTES = Metric("bytes_per_event", "bytes/event", "less", 0)
MISSED = Metric("missed", "events missed", "less", 0)
MEMORY = Metric("kib_per_connection", "KiB/connection", "less", 1)
CONNECTED = Metric("connect_seconds", "seconds", "less", 3)


@dataclass(frozen=True)
class Scenario:
    name: str
    kind: Kind  # the path on every server
    title: str
    connections: int
    metrics: tuple[Metric, ...]
    latency: bool = False
    numbered: bool = False  # the events' numbers go on by one, and are checked
    connect_rate: int = 0  # streams opened per second, in random gaps; 0: as fast as answered
    interval: float = 0.05  # seconds between two events of a client, or of the publisher
    at_once: bool = False  # all opened at once, and each waited for until its first event
    wire: Wire = "clear"

    @property
    def path(self) -> str:
        return f"/{self.kind}"

    def over(self, wire: Wire) -> Scenario:
        """The same over TLS or HTTP/2."""
        title = {"clear": "", "tls": ", over TLS", "http2": ", over HTTP/2"}[wire]
        return replace(self, name=f"{self.name}-{wire}", title=self.title + title, wire=wire)

    def small(self) -> Scenario:
        """The same with so few connections that it only shows that every piece runs."""
        return replace(self, connections=min(self.connections, 50))


def _fanout(connections: int, kind: Literal["fanout", "topic"] = "fanout") -> Scenario:
    whose = " of a topic" if kind == "topic" else ""
    return Scenario(
        f"{kind}-{connections}",
        kind,
        f"one publisher at 20/s to {connections:,} clients{whose}, latency from there to receipt",
        connections,
        (CPU, MEDIAN, P99, RATE),
        latency=True,
    )


def _growth(connections: int) -> Scenario:
    return Scenario(
        f"growth-{connections}",
        "topic",
        f"one publisher at 2/s to {connections:,} clients of a topic",
        connections,
        (CPU, MEDIAN, P99, RATE),
        latency=True,
        interval=0.5,
    )


_CLEAR = (
    Scenario("flood-1", "flood", "one stream of short strings, as fast as they go", 1, (RATE, CPU)),
    Scenario("flood-16", "flood", "sixteen such streams", 16, (RATE, CPU)),
    Scenario(
        "ticks",
        "ticks",
        "500 clients, each with its own producer sending every 50 ms",
        500,
        (CPU, RATE, MEDIAN, P99),
        latency=True,
        connect_rate=400,
    ),
    Scenario("idle", "idle", "2,000 silent streams: growth of resident memory", 2000, (MEMORY,)),
    _fanout(500),
    _fanout(2000),
    _fanout(500, "topic"),
    _fanout(2000, "topic"),
    *(_growth(connections) for connections in (500, 2000, 10_000)),
    Scenario(
        "topic-flood",
        "topic-flood",
        "one publisher, as fast as it goes, to 500 clients of a topic",
        500,
        (RATE, CPU, MISSED),
        numbered=True,
    ),
    Scenario(
        "topic-idle",
        "topic-idle",
        "10,000 clients of a silent topic: growth of resident memory",
        10_000,
        (MEMORY,),
    ),
    Scenario(
        "crowd-2000",
        "crowd",
        "2,000 clients at once: seconds until each has its first event",
        2000,
        (CONNECTED,),
        at_once=True,
    ),
    Scenario(
        "ticks-compressed",
        "ticks-json",
        "500 clients, each with its own producer of JSON every 50 ms, by their codings",
        500,
        (BYTES, CPU, MEMORY, MEDIAN, P99),
        latency=True,
        connect_rate=400,
    ),
    Scenario(
        "topic-500-compressed",
        "topic-json",
        "one publisher of JSON at 20/s to 500 clients of a topic, by their codings",
        500,
        (BYTES, CPU, MEDIAN, P99, MEMORY),
        latency=True,
    ),
)

_ENCRYPTED = ("flood-1", "ticks", "idle", "fanout-500", "topic-500", "topic-500-compressed")
_WIRES: tuple[Wire, ...] = ("tls", "http2")

SCENARIOS: dict[str, Scenario] = {scenario.name: scenario for scenario in _CLEAR}
SCENARIOS |= {
    scenario.name: scenario
    for scenario in (SCENARIOS[name].over(wire) for name in _ENCRYPTED for wire in _WIRES)
}
