"""Draws what `python -m benchmarks --json FILE` has measured: `python -m benchmarks.figures FILE`.

Three pictures as SVG, into docs/figures unless --into says otherwise. Each figure is the median of
the rounds, as in the tables' second half. They bring a background of their own, so that they can be
read on a light page and on a dark one.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

OWN = "trio-stream"
NAMES = {
    OWN: "trio_stream",
    "go": "Go net/http",
    "nchan": "nchan (nginx, C)",
    "bare-uvicorn": "bare ASGI on uvicorn",
    "sse-starlette-uvicorn": "sse-starlette on uvicorn",
    "sse-starlette-hypercorn": "sse-starlette on Hypercorn",
}
SCENARIOS = {
    "ticks": "500 producers, 20 events/s each",
    "fanout-2000": "one publisher at 20/s, 2,000 clients",
    "topic-2000": "a topic at 20/s, 2,000 clients",
}
INK, QUIET, LINE, ACCENT = "#1d2125", "#5d656f", "#d8d8d2", "#0b7268"
OTHERS = ("#9a5b00", "#7a3e9d", "#3a5fa8", "#8c2f39", "#5d656f")

STYLE = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": QUIET,
    "axes.edgecolor": LINE,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": QUIET,
    "ytick.color": INK,
    "svg.fonttype": "none",  # text stays text: small, and can be searched
    "svg.hashsalt": "trio_stream",  # the same figures give the same file
}

Figures = Mapping[tuple[str, str], Mapping[str, float]]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.figures", description=__doc__)
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument("--into", type=Path, default=Path("docs/figures"), metavar="FOLDER")
    chosen = parser.parse_args(argv)
    for path in draw(json.loads(chosen.file.read_text()), chosen.into):
        print(path)


def draw(measured: Mapping[str, Any], folder: Path) -> Iterator[Path]:
    """Draw all for which there is anything; the files."""
    figures = medians(measured["runs"])
    folder.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(STYLE):
        pictures = {
            "cpu": bars(figures, "cpu_us", "CPU per event, µs (less is better)"),
            "latency": bars(figures, "p50_ms", "median latency, ms (less is better)", log=True),
            "growth": growth(figures),
        }
        for name, figure in pictures.items():
            if figure is not None:
                figure.text(0.985, 0.012, provenance(measured), fontsize=7, color=QUIET, ha="right")
                path = folder / f"{name}.svg"
                figure.savefig(path, facecolor="white", metadata={"Date": None})
                # One end of line, and none of the blanks that matplotlib leaves at its ends.
                lines = path.read_text().splitlines()
                path.write_text("".join(f"{line.rstrip()}\n" for line in lines))
                yield path


def medians(runs: Sequence[Mapping[str, Any]]) -> Figures:
    """Of each scenario and peer: each figure's median; nothing of who failed in every round."""
    rounds: dict[tuple[str, str], dict[str, list[float]]] = {}
    for run in runs:
        figures = rounds.setdefault((run["scenario"], run["peer"]), {})
        for key, value in run["figures"].items():
            figures.setdefault(key, []).append(value)
    return {
        place: {key: median(values) for key, values in figures.items()}
        for place, figures in rounds.items()
    }


def provenance(measured: Mapping[str, Any]) -> str:
    """Where the figures are from: they say as much about the machine."""
    rounds = len({run["round"] for run in measured["runs"]})
    load = float(measured.get("load_average", 0.0))
    return (
        f"{measured.get('machine', 'unknown machine')}; Python {measured.get('python', '?')}; "
        f"median of {rounds} round{'s' * (rounds != 1)}; load average before: {load:.1f}"
    )


def bars(figures: Figures, key: str, label: str, *, log: bool = False) -> Figure | None:
    """A row of bars for each peer, in a panel for each scenario."""
    shown = [name for name in SCENARIOS if any(place[0] == name for place in figures)]
    if not shown:
        return None
    peers = {name: [p for p in NAMES if (name, p) in figures] for name in shown}
    heights = [len(peers[name]) + 0.6 for name in shown]
    figure = Figure(
        figsize=(8, 0.36 * sum(heights) + 0.55 * len(shown) + 0.5), layout="constrained"
    )
    panels = figure.subplots(len(shown), squeeze=False, height_ratios=heights)
    for name, [axes] in zip(shown, panels, strict=True):
        values = [figures[name, peer].get(key) for peer in peers[name]]
        panel(axes, SCENARIOS[name], peers[name], values, log=log)
    figure.suptitle(label, fontsize=11, x=0.02, ha="left")
    return framed(figure)


def framed(figure: Figure) -> Figure:
    """With room at its edges, and for a line below."""
    engine = figure.get_layout_engine()
    assert engine is not None
    engine.set(rect=(0.015, 0.04, 0.97, 0.945), h_pad=0.06)
    return figure


def panel(
    axes: Axes, title: str, peers: Sequence[str], values: Sequence[float | None], *, log: bool
) -> None:
    axes.set_title(title, color=QUIET)
    most = max([value for value in values if value is not None], default=1.0)
    least = min([value for value in values if value is not None], default=1.0)
    start = least / 3 if log else 0.0
    for row, (peer, value) in enumerate(zip(peers, values, strict=True)):
        own = peer == OWN
        if value is None:
            write(axes, start, row, "overloaded", color=QUIET, style="italic")
            continue
        axes.barh(row, value - start, left=start, height=0.62, color=ACCENT if own else "#b9bec4")
        weight = "bold" if own else "normal"
        write(axes, value, row, f"{value:.3g}", fontweight=weight)
    axes.set_yticks(range(len(peers)), [NAMES[peer] for peer in peers])
    axes.set_ylim(len(peers) - 0.4, -0.6)
    if log:
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlim(start, most * (2 if log else 1.12))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.tick_params(length=0)


def write(axes: Axes, x: float, row: int, text: str, **style: Any) -> None:
    """Beside the end of a bar."""
    place = {"xytext": (4, 0), "textcoords": "offset points", "va": "center"}
    axes.annotate(text, (x, row), **place, **style)


def growth(figures: Figures) -> Figure | None:
    """How a topic's cost and latency go with the number of its clients."""
    counts = sorted({count for place in figures if (count := clients(place[0]))})
    if len(counts) < 2:
        return None
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    panels = figure.subplots(1, 2)
    for axes, key, title in zip(
        panels, ("cpu_us", "p50_ms"), ("CPU per event, µs", "median latency, ms"), strict=True
    ):
        axes.set_title(title, color=QUIET)
        colours = iter(OTHERS)
        for peer in NAMES:
            points = [(n, figures.get((f"growth-{n}", peer), {}).get(key)) for n in counts]
            line = [(n, value) for n, value in points if value is not None]
            if line:
                colour = ACCENT if peer == OWN else next(colours)
                axes.plot(*zip(*line, strict=True), marker="o", color=colour, label=NAMES[peer])
        axes.set_xscale("log")
        axes.set_xticks(counts, [f"{n:,}" for n in counts])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_ylim(bottom=0)
        axes.grid(axis="y", color=LINE, linewidth=0.6)
        axes.tick_params(length=0)
        axes.set_xlabel("clients of one topic, 2 events/s")
    panels[0].legend(frameon=False)
    return framed(figure)


def clients(scenario: str) -> int:
    """Of how many clients a scenario of growth is, or 0 if it is another."""
    kind, _, count = scenario.partition("-")
    return int(count) if kind == "growth" and count.isdigit() else 0


if __name__ == "__main__":
    main()
