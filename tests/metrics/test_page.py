"""The page lists what there is, by the names that it has, and nothing else."""

import re
from pathlib import Path

from trio_stream.metrics.readings import Readings
from trio_stream.metrics.table import METRICS, Metric
from trio_stream.prometheus.collector import families

PAGE = Path(__file__).parents[2] / "docs/metrics.md"


def rows() -> list[list[str]]:
    """The cells of each row that begins with a metric's name."""
    lines = PAGE.read_text().splitlines()
    found = [line for line in lines if line.startswith("| `trio_stream.")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in found]


def as_row(metric: Metric) -> tuple[str, str, str, set[str]]:
    units = {"s": "s", "By": "bytes", "1": "0 or 1"}
    return (
        metric.name,
        metric.kind,
        units.get(metric.unit, metric.unit.strip("{}") + "s"),
        set(metric.labels),
    )


def test_the_page_has_each_with_its_kind_unit_and_labels() -> None:
    found = []
    for name, kind, unit, labels, *_ in rows():
        names = {_LABELS[label] for label in re.findall(r"\w+", labels)}
        found.append((name.strip("`"), kind, unit, names))
    assert found == [as_row(metric) for metric in METRICS.values()]


def test_the_page_says_what_each_is_called_in_prometheus() -> None:
    """By the rules that it states: nobody has to look up a name twice."""
    for metric, family in zip(METRICS.values(), families({}), strict=True):
        unit = {"s": "_seconds", "By": "_bytes"}.get(metric.unit, "")
        assert family.name == metric.name.replace(".", "_") + unit
        assert family.documentation == metric.text


def test_a_reading_has_all_of_them() -> None:
    assert Readings().read().keys() == METRICS.keys()


#: The labels as the page has them for short.
_LABELS = {
    "route": "http.route",
    "outcome": "trio_stream.outcome",
    "version": "network.protocol.version",
    "transport": "trio_stream.transport",
    "coding": "trio_stream.coding",
    "engine": "trio_stream.engine",
}


def test_the_page_says_what_the_labels_are_called() -> None:
    text = PAGE.read_text()
    for short, label in _LABELS.items():
        assert f"| {short} | `{label}` |" in text
