"""A picture of streams as lines of text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from ..client.terminal.paper import Part, visible

__all__ = ["table_of"]

_Row = Mapping[str, Any]

#: A column's head, its width, to the right if that is negative, and what is in it.
_Column: TypeAlias = tuple[str, int, Callable[[_Row, float], str]]

#: The request has the rest of the line.
_COLUMNS: tuple[_Column, ...] = (
    ("state", 12, lambda row, now: _state(row, now)),
    ("open", -7, lambda row, now: _span(now - row["since"])),
    ("events", -8, lambda row, now: f"{row['events']:,}"),
    ("ev/s", -7, lambda row, now: f"{row['rate']:,.1f}"),
    ("bytes", -7, lambda row, now: _size(row["bytes"])),
    ("queued", -6, lambda row, now: f"{row['queued']:,}"),
    ("client", 21, lambda row, now: row["client"] or "none"),
)

#: Which columns a line has as far as there is room, the state always, and the characters that it
#: leaves for the request, which says most.
_FIRST = ("state", "open", "ev/s", "queued", "events", "bytes", "client")
_REQUEST = 20

_STYLES = {"open": "green", "stuck": "yellow"}


def table_of(about: _Row, picture: _Row, now: float, width: int) -> list[list[Part]]:
    """The lines: totals, heads, and a row for each stream, cut to the width."""
    totals = picture["totals"]
    process = visible(f"{about['process']}: ")
    head = (
        f"{totals['open']:,} open, {totals['stuck']:,} stuck, {totals['rate']:,.1f} events/s, "
        f"{_size(totals['byteRate'])}/s, {totals['queued']:,} queued"
    )
    shown, found = len(picture["order"]), picture["matching"]
    if shown < found:
        head += f"; {shown:,} of {found:,} shown"
    if len(process) + len(head) <= width:
        head = process + head
    first = max([len("stream"), *(len(str(number)) for number in picture["order"])])
    columns = _columns(width - first - 1)
    heads = " ".join(_padded(name, size) for name, size, _ in columns)
    lines: list[list[Part]] = [
        [(_cut(head, width), "bold")],
        [],
        [(_cut(f"{'stream':>{first}} {heads} request", width), "dim")],
    ]
    for number in picture["order"]:
        row = picture["streams"][str(number)]
        state, *others = (_padded(text(row, now), size) for _, size, text in columns)
        before = f"{number:>{first}} "
        rest = "".join(f" {text}" for text in [*others, visible(row["request"])])
        style = "red" if "outcome" in row else _STYLES["stuck" if "stuckSince" in row else "open"]
        room = width - len(before) - len(state)
        lines.append([(before, ""), (state, style), (_cut(rest, room), "")])
    return lines


def _columns(width: int) -> list[_Column]:
    """Those that a line of this width has, in their order."""
    state, *others = sorted(_COLUMNS, key=lambda column: _FIRST.index(column[0]))
    chosen, left = [state], width - abs(state[1]) - 1 - _REQUEST
    for column in others:
        left -= abs(column[1]) + 1
        if left < 0:
            break
        chosen.append(column)
    return [column for column in _COLUMNS if column in chosen]


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
