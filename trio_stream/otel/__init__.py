"""OpenTelemetry: a span for each stream, and the metrics of a process.

Needs the extra ``trio-stream[otel]``, which brings OpenTelemetry's API. Where it is sent to is the
SDK's matter.
"""

from __future__ import annotations

from .measured import instrument_metrics
from .spans import instrument, link
from .undoing import Instrumentation

__all__ = ["Instrumentation", "instrument", "instrument_metrics", "link"]
