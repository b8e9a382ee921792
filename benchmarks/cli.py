"""The command: `python -m benchmarks`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from benchmarks import build, report
from benchmarks.build import UnavailableError
from benchmarks.generator import Pace
from benchmarks.peers import OWN, PEERS, Peer
from benchmarks.runner import Bench, Contestant, Result, rounds
from benchmarks.scenarios import SCENARIOS, Scenario

FILES_NEEDED = 10_500  # 10,000 connections, and what a server opens besides
OVERHEAD_SECONDS = 2.0  # to start, connect and end, roughly
SMOKE, LONGER_SMOKE = Pace(warmup=0.3, seconds=0.7), Pace(warmup=3, seconds=10)
TABLE_WIDTH = 132  # when the output is not a terminal


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    choose: dict[str, Any] = {"action": "append", "metavar": "NAME"}
    parser.add_argument(
        "--scenario", choices=SCENARIOS, **choose, help=f"may be repeated: {', '.join(SCENARIOS)}"
    )
    parser.add_argument("--peer", choices=PEERS, **choose, help=f"as well: {', '.join(PEERS)}")
    parser.add_argument("--repeats", type=int, default=5, help="rounds (default: 5)")
    parser.add_argument("--seconds", type=float, default=4.0, help="measured per run (default: 4)")
    parser.add_argument("--warmup", type=float, default=1.0, help="before that (default: 1)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there, too")
    parser.add_argument(
        "--figures", type=Path, metavar="FOLDER", help="draw them, too (see benchmarks.figures)"
    )
    parser.add_argument(
        "--smoke",
        action="store_true",
        help="one short round, few connections, installing nothing: shows that every piece runs",
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Gives the exit status."""
    chosen = arguments(argv)
    console = Console(width=None if sys.stdout.isatty() else TABLE_WIDTH)
    # A server has a process group of its own: it would survive an unhandled SIGTERM to this one.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))
    server_core, load_core = pin(console)
    raise_file_limit(console)
    try:
        load = build.load_generator()
    except UnavailableError as reason:
        console.print(f"[red]no load generator[/]: {escape(str(reason))}")
        return 1
    pace = SMOKE if chosen.smoke else Pace(chosen.warmup, chosen.seconds)
    again = LONGER_SMOKE if chosen.smoke else None
    bench = Bench(load, server_core, pace, 1 if chosen.smoke else chosen.repeats, again)
    scenarios = [SCENARIOS[name] for name in chosen.scenario or SCENARIOS]
    if chosen.smoke:
        scenarios = small(scenarios)
    names = chosen.peer or [peer.name for peer in PEERS.values() if peer.default]
    wanted = [PEERS[name] for name in names]
    contestants = line_up(console, wanted, install=not chosen.smoke)
    about = describe(console, bench, contestants, load_core)
    results = compete(console, bench, scenarios, contestants)
    if chosen.json or chosen.figures:
        save(chosen.json, chosen.figures, results, scenarios, contestants, about)
    return status(results, own_wanted=OWN in names, strict=chosen.smoke)


def status(results: Sequence[Result], *, own_wanted: bool, strict: bool) -> int:
    """1 when nothing ran, or this project did not; `strict`: or when any run failed.

    In a full run a peer that breaks down under the load is a finding, not a failure.
    """
    failed = {result.peer for result in results if result.failure}
    ran = {result.peer for result in results if result.figures}
    own_failed = own_wanted and (OWN in failed or OWN not in ran)
    return int(not ran or own_failed or (strict and bool(failed)))


def pin(console: Console) -> tuple[int, int]:
    """The server's core and the load generator's; this process moves to the latter."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) == 1:
        console.print("[yellow]One core, shared by server and load: no figure means much.[/]")
    server_core, load_core = cores[0], cores[min(1, len(cores) - 1)]
    os.sched_setaffinity(0, {load_core})
    return server_core, load_core


def raise_file_limit(console: Console) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard != resource.RLIM_INFINITY and hard < FILES_NEEDED:
        console.print(f"[yellow]ulimit -n is {hard}: too low for 10,000 clients.[/]")


def small(scenarios: Sequence[Scenario]) -> list[Scenario]:
    """So few connections that several scenarios become the same, which then runs once."""
    shrunk = [scenario.small() for scenario in scenarios]
    return list(
        {(one.kind, one.connections, one.interval, one.wire): one for one in shrunk}.values()
    )


def line_up(console: Console, wanted: Sequence[Peer], *, install: bool) -> list[Contestant]:
    """Those that can run here; for each other one, a line that says how to get it."""
    contestants = []
    for peer in wanted:
        try:
            contestants.append(Contestant(peer, peer.prepare(install)))
        except UnavailableError as reason:
            console.print(f"[yellow]skipped[/] {peer.name}: {escape(str(reason))}", highlight=False)
    return contestants


def describe(
    console: Console, bench: Bench, contestants: Sequence[Contestant], load_core: int
) -> dict[str, Any]:
    """Prints, and gives for the JSON file, what the figures depend on."""
    about = {
        "machine": f"{_processor()}, {os.cpu_count()} cores, Linux {platform.release()}",
        "python": platform.python_version(),
        "load_average": os.getloadavg()[0],
        "server_core": bench.core,
        "load_core": load_core,
        "warmup_seconds": bench.pace.warmup,
        "window_seconds": bench.pace.seconds,
        "repeats": bench.repeats,
        "versions": {c.peer.name: c.peer.versions() for c in contestants},
    }
    for key, value in about.items():
        if key != "versions":
            console.print(f"{key.replace('_', ' ')}: {value}", highlight=False)
    for contestant in contestants:
        peer = contestant.peer
        line = f"  {peer.name}: {peer.title} ({peer.versions()})"
        console.print(line, highlight=False, markup=False)
    return about


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def compete(
    console: Console,
    bench: Bench,
    scenarios: Sequence[Scenario],
    contestants: Sequence[Contestant],
) -> list[Result]:
    results: list[Result] = []
    runs = len(scenarios) * len(contestants) * bench.repeats
    minutes = runs * (bench.pace.warmup + bench.pace.seconds + OVERHEAD_SECONDS) / 60
    console.print(f"{runs} runs, about {max(1, round(minutes))} min", highlight=False)
    for scenario in scenarios:
        able = [c for c in contestants if c.peer.takes_part(scenario)]
        for contestant in contestants:
            if contestant not in able:
                console.print(f"{contestant.peer.name} has no {scenario.name}")
        for result in rounds(bench, scenario, able):
            report.progress(console, result, scenario)
            results.append(result)
        names = [contestant.peer.name for contestant in able]
        if names:
            report.tables(console, results, scenario, names, reference(names))
    report.trust(console, results)
    return results


def reference(names: Sequence[str]) -> str:
    """What the ratios divide by: this project, or the first in line when it isn't there."""
    return OWN if OWN in names else names[0]


def save(
    file: Path | None,
    folder: Path | None,
    results: Sequence[Result],
    scenarios: Sequence[Scenario],
    contestants: Sequence[Contestant],
    about: dict[str, Any],
) -> None:
    """Write all figures into a file, draw them into a folder."""
    names = [contestant.peer.name for contestant in contestants]
    content = report.as_json(results, scenarios, names, reference(names), about)
    if file is not None:
        file.write_text(json.dumps(content, indent=2) + "\n")
    if folder is not None:
        from benchmarks.figures import draw  # with matplotlib, which nothing else needs

        for _ in draw(content, folder):
            pass
