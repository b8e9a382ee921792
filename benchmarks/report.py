"""The tables, and the lines that say how far to trust them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks import summary
from benchmarks.runner import Result
from benchmarks.scenarios import Metric, Scenario
from benchmarks.summary import Spread

LOAD_TOO_BUSY = 0.9  # a load generator beyond this may be what was measured
FOREIGN_TOO_BUSY = 0.02  # share of the server's core that others may use


def progress(console: Console, result: Result, scenario: Scenario) -> None:
    where = f"{result.scenario}  round {result.round + 1}  {result.peer}"
    if result.failure:
        console.print(f"{where}: [red]failed[/]: {escape(result.failure)}", highlight=False)
        return
    shown = (
        f"{_number(result.figures[metric.key], metric.digits)} {metric.title}"
        for metric in scenario.metrics
        if metric.key in result.figures
    )
    console.print(f"[dim]{where}: {', '.join(shown)}[/]", highlight=False)


def tables(
    console: Console,
    results: Sequence[Result],
    scenario: Scenario,
    peers: Sequence[str],
    reference: str,
) -> None:
    ratios, figures = _table(), _table()
    for metric in scenario.metrics:
        heading = f"{metric.title}\n({metric.better} is better)"
        ratios.add_column(heading, justify="right")
        figures.add_column(metric.title, justify="right")
    for extra in ("bytes/event", "server busy", "load busy"):
        figures.add_column(extra, justify="right")
    for peer in peers:
        ratios.add_row(peer, *_ratio_cells(results, scenario, peer, reference))
        figures.add_row(peer, *_absolute_cells(results, scenario, peer))
    console.print(f"\n[bold]{scenario.name}: {scenario.title}[/]", highlight=False)
    console.print(f"Ratios, server / {reference}: median of the rounds' ratios (least to most)")
    console.print(ratios)
    console.print("Absolute medians, for information")
    console.print(figures)


def _table() -> Table:
    table = Table()
    table.add_column("server", no_wrap=True)
    return table


def _ratio_cells(
    results: Sequence[Result], scenario: Scenario, peer: str, reference: str
) -> list[str]:
    if peer == reference:
        return ["1"] * len(scenario.metrics)
    return [
        _ratio(summary.ratio(results, scenario.name, peer, reference, metric.key))
        for metric in scenario.metrics
    ]


def _ratio(spread: Spread | None) -> str:
    if spread is None:
        return "-"
    inverse = f" = 1/{1 / spread.median:.3g}" if 0 < spread.median < 0.5 else ""
    within = f" [dim]({spread.least:.3g} to {spread.most:.3g})[/]"
    return f"{spread.median:.3g}{inverse}{within if spread.least != spread.most else ''}"


def _absolute_cells(results: Sequence[Result], scenario: Scenario, peer: str) -> list[str]:
    def cell(key: str, digits: int, unit: str = "", scale: float = 1.0) -> str:
        spread = summary.absolute(results, scenario.name, peer, key)
        return "-" if spread is None else _number(spread.median * scale, digits) + unit

    def metric_cell(metric: Metric) -> str:
        return cell(metric.key, metric.digits)

    failed = summary.failures(results, scenario.name, peer)
    if failed and summary.absolute(results, scenario.name, peer, "rate") is None:
        return ["[red]failed[/]"]
    return [
        *map(metric_cell, scenario.metrics),
        cell("bytes_per_event", 0),
        cell("server_busy", 0, " %", 100),
        cell("load_busy", 0, " %", 100),
    ]


def _number(value: float, digits: int) -> str:
    return f"{value:,.{digits}f}"


def trust(console: Console, results: Sequence[Result]) -> None:
    """Whether the load generator, or somebody else on the core, was what got measured."""
    console.print()
    busiest = summary.busiest_load(results)
    most = summary.ceiling(results)
    reach = "unknown without the C floor's flood" if most is None else f"{most:,.0f} events/s"
    if busiest:
        busy = busiest.figures["load_busy"]
        at = f"{busiest.peer}, {busiest.scenario}"
        console.print(f"load generator: {busy:.0%} busy at most ({at}); ceiling {reach}")
        if busy > LOAD_TOO_BUSY:
            console.print("[red]The load generator was the bottleneck there.[/]")
    disturbed = [r for r in results if r.figures.get("foreign_busy", 0.0) > FOREIGN_TOO_BUSY]
    if disturbed:
        worst = max(disturbed, key=lambda result: result.figures["foreign_busy"])
        console.print(
            f"[yellow]Not a quiet machine: in {len(disturbed)} of {len(results)} runs others used"
            f" more than {FOREIGN_TOO_BUSY:.0%} of the server's core,"
            f" at worst {worst.figures['foreign_busy']:.0%} ({worst.peer}, {worst.scenario}).[/]"
        )
    for result in results:
        if result.failure:
            reason = escape(result.failure.partition("\n")[0])
            console.print(f"[red]failed[/]: {result.scenario}, {result.peer}: {reason}")


def as_json(
    results: Sequence[Result],
    scenarios: Sequence[Scenario],
    peers: Sequence[str],
    reference: str,
    about: dict[str, Any],
) -> dict[str, Any]:
    def ratios(scenario: Scenario, peer: str) -> dict[str, Any]:
        spreads = {
            metric.key: summary.ratio(results, scenario.name, peer, reference, metric.key)
            for metric in scenario.metrics
        }
        return {key: asdict(spread) for key, spread in spreads.items() if spread}

    return {
        **about,
        "reference": reference,
        "load_ceiling_events_per_second": summary.ceiling(results),
        "ratios": {s.name: {peer: ratios(s, peer) for peer in peers} for s in scenarios},
        "runs": [asdict(result) for result in results],
    }
