"""The metrics in OpenTelemetry: all of the table, as the SDK's readers collect them."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    Histogram,
    InMemoryMetricReader,
    MetricExporter,
    MetricExportResult,
    MetricsData,
    PeriodicExportingMetricReader,
    Sum,
)

from trio_stream import Stream, open_broker
from trio_stream.metrics.readings import readings
from trio_stream.metrics.table import METRICS
from trio_stream.otel import instrument_metrics
from trio_stream.testing import connect


def by_name(data: MetricsData | None) -> dict[str, Any]:
    assert data is not None
    return {
        metric.name: metric
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }


def collect(reader: InMemoryMetricReader) -> dict[str, Any]:
    readings.forget()
    return by_name(reader.get_metrics_data())


@pytest.fixture
def reader() -> Iterator[InMemoryMetricReader]:
    reader = InMemoryMetricReader()
    instrumentation = instrument_metrics(MeterProvider([reader]))
    yield reader
    instrumentation.stop()


async def forever(stream: Stream) -> None:
    await trio.sleep_forever()


def point(metric: Any, **attributes: str) -> Any:
    wanted = {name.replace("__", "."): value for name, value in attributes.items()}
    [found] = [p for p in metric.data.data_points if wanted.items() <= dict(p.attributes).items()]
    return found


async def test_each_is_there_with_its_unit_and_kind(
    reader: InMemoryMetricReader, tmp_path: Path
) -> None:
    async with open_broker(f"sqlite:///{tmp_path}/log") as broker:
        await broker.publish("t", 1)
        async with connect(Stream(forever, label="otel", hold_headers=False)):
            pass
        async with connect(Stream(forever, label="otel", hold_headers=False)):
            found = collect(reader)
    # Of which there has been none: the delays of event sources.
    assert METRICS.keys() - found.keys() <= {"trio_stream.client.reconnect.delay"}
    for name, metric in found.items():
        described = METRICS[name]
        assert (metric.unit, metric.description) == (described.unit, described.text)
        is_sum = isinstance(metric.data, Sum)
        assert is_sum == (described.kind in ("counter", "updown"))
        if is_sum:
            assert metric.data.is_monotonic == (described.kind == "counter")
        assert isinstance(metric.data, Histogram) == (described.kind == "histogram")


async def test_values_and_their_attributes(
    reader: InMemoryMetricReader, autojump_clock: trio.testing.MockClock
) -> None:
    async def for_a_while(stream: Stream) -> None:
        await stream.send("a")
        await stream.wait(30)

    async with connect(Stream(for_a_while, label="values")) as client:
        await client.read()
    async with connect(Stream(forever, label="values", hold_headers=False)):
        found = collect(reader)
    route = {"http__route": "values"}
    active = point(found["trio_stream.server.active_streams"], **route)
    assert active.value == 1
    assert dict(active.attributes) == {
        "http.route": "values",
        "network.protocol.version": "1.1",
        "trio_stream.transport": "buffered",
        "trio_stream.coding": "identity",
    }
    assert point(found["trio_stream.server.stream.events"], **route).value == 1
    duration = point(found["trio_stream.server.stream.duration"], **route)
    assert (duration.count, duration.sum) == (1, pytest.approx(30))
    assert list(duration.explicit_bounds)[:4] == [0.1, 1, 10, 60]
    assert duration.bucket_counts[3] == 1
    unknown = collect(reader)["trio_stream.server.shutdown.duration"]
    assert [dict(each.attributes) for each in unknown.data.data_points] == [{}]


async def test_each_collection_is_one_reading_and_a_new_one(
    reader: InMemoryMetricReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    count, read = 0, readings.read

    def counting() -> Any:
        nonlocal count
        count += 1
        return read()

    monkeypatch.setattr(readings, "read", counting)
    for n in range(1, 4):
        reader.get_metrics_data()
        assert count == n


async def test_after_stop_there_is_nothing() -> None:
    reader = InMemoryMetricReader()
    instrumentation = instrument_metrics(MeterProvider([reader]))
    instrumentation.stop()
    async with connect(Stream(["a"])) as client:
        await client.read()
    data = reader.get_metrics_data()
    assert data is None or by_name(data) == {}


class Slow(MetricExporter):
    """One whose receiver takes long."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.exports = 0
        self.threads: set[int] = set()
        self._seconds = seconds

    def export(
        self, metrics_data: MetricsData, timeout_millis: float = 10_000, **options: Any
    ) -> MetricExportResult:
        self.exports += 1
        self.threads.add(threading.get_ident())
        time.sleep(self._seconds)
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return True

    def shutdown(self, timeout_millis: float = 30_000, **options: Any) -> None:
        pass


async def test_a_reader_in_a_thread_that_comes_often_and_is_slow_holds_nobody() -> None:
    """And the provider is shut down from Trio's own thread, as a lifespan does, while it reads."""
    exporter = Slow(0.02)
    provider = MeterProvider([PeriodicExportingMetricReader(exporter, 10)])
    instrumentation = instrument_metrics(provider)
    async with connect(Stream(forever, hold_headers=False)):
        while exporter.exports < 5:
            await trio.sleep(0.001)
        with trio.fail_after(60):
            provider.shutdown(timeout_millis=120_000)
            await trio.sleep(0)
    instrumentation.stop()
    assert threading.get_ident() not in exporter.threads
