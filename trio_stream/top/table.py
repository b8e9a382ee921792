"""A picture of streams as lines of text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..client.paper import Part, visible

__all__ = ["table_of"]

_Row = Mapping[str, Any]

#: Each column's head, its width, to the right if that is negative, and what is in it. The request
#: has the rest of the line, and the client's place where the line is short.
_COLUMNS: tuple[tuple[str, int, Callable[[_Row, float], str]], ...] = (
    ("state", 12, lambda row, now: _state(row, now)),
    ("open", -7, lambda row, now: _span(now - row["since"])),
    ("events", -8, lambda row, now: f"{row['events']:,}"),
    ("ev/s", -7, lambda row, now: f"{row['rate']:,.1f}"),
    ("bytes", -7, lambda row, now: _size(row["bytes"])),
    ("queued", -6, lambda row, now: f"{row['queued']:,}"),
    ("client", 21, lambda row, now: row["client"] or "none"),
)

#: Characters of a line that has room for the client.
_WIDE = 110

_STYLES = {"open": "green", "stuck": "yellow"}


def table_of(about: _Row, picture: _Row, now: float, width: int) -> list[list[Part]]:
    """The lines: totals, heads, and a row for each stream, cut to the width."""
    totals = picture["totals"]
    head = (
        f"{about['process']}: {totals['open']:,} open, {totals['stuck']:,} stuck, "
        f"{totals['rate']:,.1f} events/s, {_size(totals['byteRate'])}/s, "
        f"{totals['queued']:,} queued"
    )
    shown, found = len(picture["order"]), picture["matching"]
    more = f"; {shown:,} of {found:,} shown" if shown < found else ""
    columns = _COLUMNS if width >= _WIDE else _COLUMNS[:-1]
    heads = " ".join(_padded(name, size) for name, size, _ in columns)
    lines: list[list[Part]] = [
        [(_cut(visible(head + more), width), "bold")],
        [],
        [(_cut(f"{'stream':>8} {heads} request", width), "dim")],
    ]
    for number in picture["order"]:
        row = picture["streams"][str(number)]
        state, *others = (_padded(text(row, now), size) for _, size, text in columns)
        before = f"{number:>8} "
        rest = f" {' '.join(others)} {visible(row['request'])}"
        style = "red" if "outcome" in row else _STYLES["stuck" if "stuckSince" in row else "open"]
        room = width - len(before) - len(state)
        lines.append([(before, ""), (state, style), (_cut(rest, room), "")])
    return lines


def _padded(text: str, size: int) -> str:
    shown = visible(text)[: abs(size)]
    return shown.ljust(size) if size > 0 else shown.rjust(-size)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: max(width - 1, 0)]}…"


def _state(row: _Row, now: float) -> str:
    if "outcome" in row:
        return str(row["outcome"])
    return f"stuck {_span(now - row['stuckSince'])}" if "stuckSince" in row else "open"


def _span(seconds: float) -> str:
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if minutes < 60:
        return f"{minutes}m{whole % 60:02}s"
    return f"{hours}h{minutes % 60:02}m" if hours < 24 else f"{days}d{hours % 24:02}h"


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 10 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:,.1f} TB"
