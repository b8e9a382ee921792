"""Metrics for Prometheus: a collector for prometheus_client, and an endpoint that is asked by it.

Needs the extra ``trio-stream[prometheus]``.
"""

from __future__ import annotations

from .app import MetricsApp, metrics_app
from .collector import StreamCollector

__all__ = ["MetricsApp", "StreamCollector", "metrics_app"]
