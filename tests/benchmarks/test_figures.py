"""The pictures that are drawn from what the benchmarks have measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from benchmarks.figures import draw


def run(scenario: str, peer: str, number: int, **figures: float) -> dict[str, Any]:
    return {"scenario": scenario, "peer": peer, "round": number, "figures": figures}


MEASURED = {
    "machine": "two cores",
    "python": "3.13.1",
    "load_average": 0.04,
    "runs": [
        *(run("ticks", "trio-stream", n, cpu_us=us, p50_ms=1.5) for n, us in enumerate((9, 7, 8))),
        run("ticks", "go", 0, cpu_us=2.25, p50_ms=1.25),
        run("ticks", "unknown", 0, cpu_us=99, p50_ms=99),
        run("ticks", "bare-uvicorn", 0),
        *(run(f"growth-{n}", "nchan", 0, cpu_us=3, p50_ms=n / 100) for n in (500, 10_000)),
        *(run(f"growth-{n}", "trio-stream", 0, cpu_us=4, p50_ms=n / 90) for n in (500, 10_000)),
    ],
}


def texts(path: Path) -> set[str]:
    tree = ElementTree.fromstring(path.read_text())
    return {"".join(each.itertext()).strip() for each in tree.iter() if each.tag.endswith("}text")}


def test_medians_are_drawn_of_whatever_was_measured(tmp_path: Path) -> None:
    assert [path.name for path in draw(MEASURED, tmp_path)] == [
        "cpu.svg",
        "latency.svg",
        "growth.svg",
    ]
    shown = texts(tmp_path / "cpu.svg")
    assert {"trio_stream", "8", "Go net/http", "2.25", "overloaded"} <= shown
    assert "99" not in shown
    assert "two cores; Python 3.13.1; median of 3 rounds; load average before: 0.0" in shown
    assert {"500", "10,000", "nchan (nginx, C)"} <= texts(tmp_path / "growth.svg")


def test_the_same_figures_give_the_same_file(tmp_path: Path) -> None:
    first = [path.read_bytes() for path in draw(MEASURED, tmp_path / "a")]
    assert first == [path.read_bytes() for path in draw(MEASURED, tmp_path / "b")]


def test_what_was_not_measured_is_not_drawn(tmp_path: Path) -> None:
    runs = [run("growth-500", "trio-stream", 0, cpu_us=4, p50_ms=1)]
    assert list(draw({"runs": runs}, tmp_path)) == []
