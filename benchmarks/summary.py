"""Medians, and ratios to this project: from the results of all rounds to what a table shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.peers import FLOOR
from benchmarks.runner import Result


@dataclass(frozen=True)
class Spread:
    median: float
    least: float
    most: float


def spread(values: Sequence[float]) -> Spread | None:
    return Spread(median(values), min(values), max(values)) if values else None


def by_round(results: Sequence[Result], scenario: str, peer: str, key: str) -> dict[int, float]:
    return {
        result.round: result.figures[key]
        for result in results
        if result.scenario == scenario and result.peer == peer and key in result.figures
    }


def absolute(results: Sequence[Result], scenario: str, peer: str, key: str) -> Spread | None:
    return spread(list(by_round(results, scenario, peer, key).values()))


def ratio(
    results: Sequence[Result], scenario: str, peer: str, reference: str, key: str
) -> Spread | None:
    """The spread of each round's own ratio, peer to reference: neighbours in time are compared."""
    of_peer = by_round(results, scenario, peer, key)
    of_reference = by_round(results, scenario, reference, key)
    return spread([of_peer[n] / of_reference[n] for n in of_peer if of_reference.get(n, 0.0) > 0.0])


def failures(results: Sequence[Result], scenario: str, peer: str) -> list[str]:
    return [
        result.failure
        for result in results
        if result.scenario == scenario and result.peer == peer and result.failure
    ]


def busiest_load(results: Sequence[Result]) -> Result | None:
    """The run in which the load generator had most to do, the floor's apart."""
    runs = [result for result in results if result.figures and result.peer != FLOOR]
    return max(runs, key=lambda result: result.figures["load_busy"], default=None)


def ceiling(results: Sequence[Result]) -> float | None:
    """Events/s that the load generator takes when it is fully busy, from the floor's floods."""
    rates = [
        result.figures["rate"] / result.figures["load_busy"]
        for result in results
        if result.figures and result.peer == FLOOR and result.scenario.startswith("flood")
    ]
    return median(rates) if rates else None
