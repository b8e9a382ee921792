"""Metrics for OpenTelemetry: instruments that are asked when somebody collects them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any, final

from opentelemetry.metrics import CallbackOptions, Meter, MeterProvider, Observation, get_meter

from ..metrics.measure import HISTOGRAMS, Values
from ..metrics.readings import readings
from ..metrics.table import METRICS, Metric
from ..tally import HistogramValue, Labels
from .undoing import Instrumentation

__all__ = ["instrument_metrics"]


def instrument_metrics(meter_provider: MeterProvider | None = None) -> Instrumentation:
    """Tell the metrics of this process by OpenTelemetry: to the given provider, or the global one.

    Once in each process, when it starts. They are observed when the provider's readers collect, in
    whatever thread; histograms are recorded as what they are of comes.
    """
    return _Instruments(get_meter("trio_stream", meter_provider=meter_provider)).made


@final
class _Instruments:
    def __init__(self, meter: Meter) -> None:
        self._lock = threading.Lock()
        self._values: Values = {}
        self._asked: set[str] = set()
        self._undo: list[Callable[[], None]] = []
        self._stopped = False
        for metric in METRICS.values():
            self._add(meter, metric)
        self.made = Instrumentation(self._stop)

    def _add(self, meter: Meter, metric: Metric) -> None:
        about: dict[str, Any] = {"unit": metric.unit, "description": metric.text}
        if metric.kind == "histogram":
            self._add_histogram(meter, metric, about)
            return
        create = {
            "counter": meter.create_observable_counter,
            "updown": meter.create_observable_up_down_counter,
            "gauge": meter.create_observable_gauge,
        }[metric.kind]

        def observe(_: CallbackOptions) -> Iterable[Observation]:
            return self._observe(metric)

        create(metric.name, callbacks=[observe], **about)

    def _add_histogram(self, meter: Meter, metric: Metric, about: dict[str, Any]) -> None:
        counted = HISTOGRAMS[metric.name]
        bounds = list(counted.bounds)
        made = meter.create_histogram(
            metric.name, explicit_bucket_boundaries_advisory=bounds, **about
        )

        def record(value: float, labels: Labels) -> None:
            made.record(value, _attributes(metric, labels))

        counted.listeners.append(record)
        self._undo.append(lambda: counted.listeners.remove(record))

    def _observe(self, metric: Metric) -> list[Observation]:
        if self._stopped:
            return []
        return [
            Observation(value, _attributes(metric, labels))
            for labels, value in self._reading(metric.name)[metric.name].items()
            if not isinstance(value, HistogramValue)
        ]

    def _reading(self, name: str) -> Values:
        """One for all instruments of a collection: who is asked again is asked in the next."""
        with self._lock:
            if not self._values or name in self._asked:
                self._values = readings.read()
                self._asked.clear()
            self._asked.add(name)
            return self._values

    def _stop(self) -> None:
        self._stopped = True
        for undo in self._undo:
            undo()


def _attributes(metric: Metric, labels: Labels) -> dict[str, str]:
    """Without those that are not known."""
    return {name: value for name, value in zip(metric.labels, labels, strict=True) if value}
