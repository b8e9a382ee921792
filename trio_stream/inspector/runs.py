"""What is shown of resumable runs."""

from __future__ import annotations

from typing import Any

from ..broker import Broker, OpenRun

__all__ = ["runs_of"]

#: Runs of a process that are shown, the newest: what is said reaches every process.
_MOST = 100


def runs_of(broker: Broker) -> dict[str, dict[str, Any]]:
    """The newest runs whose producers are in this process, by their keys."""
    newest = sorted(broker.runs(), key=lambda run: run.age)[:_MOST]
    return {run.key: _row(run) for run in newest}


def _row(run: OpenRun) -> dict[str, Any]:
    row: dict[str, Any] = {"age": round(run.age), "unwatched": round(run.seconds_unwatched)}
    return row if run.principal is None else row | {"principal": run.principal}
