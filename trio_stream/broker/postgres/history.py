"""Reading what PostgreSQL keeps of topics, and telling what is gone of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, final

from ..contract import Page, Retention
from ..contract.topics import EARLIEST, Selection
from .found import Found
from .statements import LOOK_AHEAD, LOOK_BACK, NEWEST, PLACE_SINCE, READ
from .values import Statement, read_bytes_array, read_int, read_int_array
from .wire import Row

__all__ = ["PAGE_BYTES", "History", "kept_of"]

#: Bytes of a page, unless a single event has more.
PAGE_BYTES = 2**16

#: Events that are looked at, whoever's they are, to find some that patterns match.
_LOOKED_AT = 2000

_MOST = 2**63 - 1


def kept_of(retention: Retention, names: Sequence[str]) -> list[Any]:
    """Topics and how much is kept of them, as the functions take it."""
    each = [retention.of(name) for name in names]
    return [
        [name.encode() for name in names],
        [min(kept.events, _MOST) for kept in each],
        [min(kept.bytes, _MOST) for kept in each],
        [kept.age for kept in each],
    ]


@final
class History:
    """The reading half of a `PostgresEngine`.

    Args:
      ask: asks a statement for its one row; raises what the connection does.
    """

    def __init__(self, ask: Callable[..., Any], retention: Retention) -> None:
        self._ask = ask
        self._retention = retention

    async def read(
        self, selection: Selection, after: int, limit: int, size: int = PAGE_BYTES
    ) -> Page:
        """As `Engine.read`, a page of so many bytes."""
        gone: dict[str, int] = {}
        while True:
            if selection.patterns:
                page = await self._read_some(selection, after, limit, size)
            else:
                page = await self._read_names(selection.names, after, _MOST, limit, size)
            gone |= page.gone
            if after > page.upto:  # it is not an id of this log
                gone.setdefault("", page.upto)
                after = EARLIEST
                continue
            if page.records or page.upto <= after or not selection.patterns:
                return Page(page.records, page.upto, gone)
            after = page.upto

    async def _read_some(self, selection: Selection, after: int, limit: int, size: int) -> Page:
        """A page of what patterns match among the next events."""
        upto, found, many = await self._row(LOOK_AHEAD, after, _LOOKED_AT)
        there = [name.decode() for name in read_bytes_array(found)]
        chosen = [name for name in there if name in selection and name not in selection.names]
        names = [*selection.names, *chosen]
        page = await self._read_names(names, after, read_int(upto), limit, size, others=True)
        if read_int(many):
            return Page(page.records, page.upto, {**page.gone, "": read_int(upto)})
        return page

    async def _read_names(
        self,
        names: Sequence[str],
        after: int,
        upto: int,
        limit: int,
        size: int,
        *,
        others: bool = False,
    ) -> Page:
        """A page of these topics; ``others``: there may be some that were forgotten."""
        kept = kept_of(self._retention, names)
        row: Row = await self._ask(READ, *kept, after, upto, limit, size)
        base, lost = (read_int(value or b"") for value in row[:2])
        gone: dict[str, int] = {"": base} if others and after < base else {}
        for name, mark in zip(names, read_int_array(row[2] or b""), strict=False):
            if mark > 0:
                gone[name] = mark
            elif mark < 0 and after < base:
                gone[""] = base
        if after < lost:
            gone[""] = max(lost, gone.get("", 0))
        floors, end, data, _, *columns = row[3:]
        if data is None:
            return Page((), read_int(end or b""), gone)
        found = Found(names, read_int_array(floors or b""), [data, *columns])
        records, is_more = found.after_floors(limit)
        return Page(records, records[-1].id if is_more else read_int(end or b""), gone)

    async def _row(self, statement: Statement, *values: Any) -> list[bytes]:
        row: Row = await self._ask(statement, *values)
        return [value or b"" for value in row]

    async def cursor_back(self, selection: Selection, count: int) -> int:
        """As `FullEngine.cursor_back`."""
        if not selection.patterns:
            found, oldest = await self._newest(selection.names, 0, _MOST, count)
            return oldest - 1 if found == count else EARLIEST
        before = _MOST
        while before:
            down_to, names = await self._row(LOOK_BACK, before, _LOOKED_AT)
            there = [name.decode() for name in read_bytes_array(names)]
            chosen = [name for name in there if name in selection]
            found, oldest = await self._newest(chosen, read_int(down_to), before, count)
            if found == count:
                return oldest - 1
            count -= found
            before = read_int(down_to)
        return EARLIEST

    async def _newest(
        self, names: Sequence[str], down_to: int, before: int, count: int
    ) -> tuple[int, int]:
        kept = kept_of(self._retention, names)
        found, oldest = await self._row(NEWEST, *kept, down_to, before, count)
        return read_int(found), read_int(oldest)

    async def cursor_since(self, seconds: float) -> int:
        """As `FullEngine.cursor_since`, whatever the selection: one of all topics' places."""
        [place] = await self._row(PLACE_SINCE, seconds)
        return read_int(place)
