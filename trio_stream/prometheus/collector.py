"""`StreamCollector`: this package's metrics, for a registry of prometheus_client."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import accumulate
from typing import final

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from ..metrics.measure import HISTOGRAMS, Value, Values
from ..metrics.readings import readings
from ..metrics.table import METRICS
from ..metrics.table import Metric as Described
from ..tally import HistogramValue, Labels

__all__ = ["StreamCollector", "families"]

_UNITS = {"s": "seconds", "By": "bytes"}


@final
class StreamCollector(Collector):
    """This package's metrics, for a registry: ``REGISTRY.register(StreamCollector())``.

    They are those of the whole process, whatever thread collects them, and cost nothing until it
    does. A registry can have one of these.
    """

    def collect(self) -> Iterable[Metric]:
        """A reading; called by the registry."""
        return families(readings.read())

    def describe(self) -> Iterable[Metric]:
        """The same without any value; called by the registry."""
        return families({})


def families(values: Values) -> list[Metric]:
    """A reading as prometheus_client has it."""
    return [_family(metric, values.get(name, {})) for name, metric in METRICS.items()]


def _family(metric: Described, values: Mapping[Labels, Value]) -> Metric:
    name, unit = metric.name.replace(".", "_"), _UNITS.get(metric.unit, "")
    labels = [label.replace(".", "_") for label in metric.labels]
    if metric.kind == "histogram":
        bounds = [*map(repr, HISTOGRAMS[metric.name].bounds), "+Inf"]
        histogram = HistogramMetricFamily(name, metric.text, labels=labels, unit=unit)
        for given, value in values.items():
            assert isinstance(value, HistogramValue)
            cumulated = list(zip(bounds, map(float, accumulate(value.counts)), strict=True))
            histogram.add_metric(given, cumulated, value.sum)
        return histogram
    of_kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family = of_kind(name, metric.text, labels=labels, unit=unit)
    for given, value in values.items():
        assert not isinstance(value, HistogramValue)
        family.add_metric(given, value)
    return family
