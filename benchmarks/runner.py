"""Runs peers in turn, round by round, and reckons each run's figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks import generator, proc
from benchmarks.generator import Pace
from benchmarks.peers import Command, Peer
from benchmarks.scenarios import SILENT, Scenario
from benchmarks.server import RunError, running


@dataclass(frozen=True)
class Contestant:
    peer: Peer
    command: Command


@dataclass(frozen=True)
class Bench:
    """What is the same for every run."""

    load: Path  # the compiled load generator
    core: int  # the server's
    pace: Pace
    repeats: int
    #: For another try where nothing came in the window; where it is only asked whether all runs.
    again: Pace | None = None


class SilentRunError(RunError):
    """Nothing came, or not to all: a fault, or a window shorter than a busy machine's pauses."""


@dataclass(frozen=True)
class Result:
    scenario: str
    peer: str
    round: int
    figures: dict[str, float] = field(default_factory=dict)
    failure: str | None = None


def rounds(bench: Bench, scenario: Scenario, contestants: Sequence[Contestant]) -> Iterator[Result]:
    """A B C A B C: whatever drifts in the machine meets everyone alike.

    Who has failed twice is not tried again: an overloaded server takes a minute to fail.
    """
    failures: Counter[str] = Counter()
    for number in range(bench.repeats):
        for contestant in contestants:
            name = contestant.peer.name
            if failures[name] >= 2:
                continue
            try:
                figures = attempt(bench, scenario, contestant)
            except RunError as failure:
                failures[name] += 1
                yield Result(scenario.name, name, number, failure=str(failure))
            else:
                yield Result(scenario.name, name, number, figures)


def attempt(bench: Bench, scenario: Scenario, contestant: Contestant) -> dict[str, float]:
    try:
        return run_once(bench, scenario, contestant)
    except SilentRunError:
        if bench.again is None:
            raise
    return run_once(replace(bench, pace=bench.again), scenario, contestant)


def run_once(bench: Bench, scenario: Scenario, contestant: Contestant) -> dict[str, float]:
    """One fresh server, one load."""
    samples: dict[str, proc.Sample] = {}
    with running(contestant.peer, contestant.command, bench.core, scenario) as (port, group):
        pids = proc.members(group)
        samples["before"] = proc.sample(pids, bench.core)

        def note(phase: str) -> None:
            samples[phase] = proc.sample(pids, bench.core)

        accepts = contestant.peer.accepts
        counted = generator.run(bench.load, scenario, accepts, port, bench.pace, note)
    check(scenario, counted)
    return figures_of(scenario, counted, samples)


def check(scenario: Scenario, counted: dict[str, Any]) -> None:
    if counted["lost"]:
        raise RunError(f"{counted['lost']} clients were lost: {counted['why']}")
    if counted["skewed"]:
        raise RunError(f"{counted['skewed']} timestamps lay in the future")
    if scenario.kind not in SILENT and not counted["least"]:
        raise SilentRunError(
            f"a connection got no event in the window; all got {counted['events']}"
        )
    if scenario.latency and not counted["samples"]:
        raise SilentRunError("no event held a timestamp")


def figures_of(
    scenario: Scenario, counted: dict[str, Any], samples: dict[str, proc.Sample]
) -> dict[str, float]:
    """CPU is divided by the time between its own two readings, events by the generator's window:
    so the milliseconds between a phase and its reading bias neither."""
    start, end = samples["start"], samples["end"]
    elapsed = end.at - start.at
    busy = (end.cpu - start.cpu) / elapsed
    rate = counted["events"] / counted["seconds"]
    figures = {
        "rate": rate,
        "server_busy": busy,
        "load_busy": counted["load_cpu"] / counted["seconds"],
        "foreign_busy": min(1.0, max(0.0, (end.core - start.core) / elapsed - busy)),
        "bytes_per_event": counted["bytes"] / counted["events"] if counted["events"] else 0.0,
        "kib_per_connection": (end.rss - samples["before"].rss) / 1024 / scenario.connections,
        "rss_mib": end.rss / 2**20,
        "connect_seconds": counted["connect_seconds"],
        "least_events": counted["least"],
        "most_events": counted["most"],
    }
    if rate:
        figures["cpu_us"] = busy / rate * 1e6
    told = ("p50_ms", "p90_ms", "p99_ms", "max_ms", "missed", "gaps")
    return figures | {key: counted[key] for key in told if key in counted}
