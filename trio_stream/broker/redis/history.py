"""Reading topics' streams after a cursor, and telling what is missing from them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, final

from ..contract import Page, Record, wire_form
from ..contract.topics import EARLIEST, Selection
from . import read_scripts
from .keys import Keys
from .link import Link

__all__ = ["History"]

#: Topics that are asked for at once.
_TOPICS = 500

_PAGE_BYTES = 2**16

_by_id = attrgetter("id")


@dataclass(slots=True)
class _Log:
    """The state of the log as a whole."""

    last: int
    #: Up to where nothing is known of a topic that is not there.
    base: int
    lost: int
    cuts: list[tuple[int, int]]

    def gone(self, after: int, *, patterns: bool) -> dict[str, int]:
        """What is gone after a cursor, whatever its topics, or of those that patterns forgot."""
        lost = [high for low, high in self.cuts if low < after < high]
        lost += [self.lost] if after < self.lost else []
        lost += [self.base] if patterns and after < self.base else []
        return {"": max(lost)} if lost else {}


@dataclass(slots=True)
class _Found:
    """What some topics' streams have after a cursor, in the order of the topics."""

    records: list[Record] = field(default_factory=list)
    gone: dict[str, int] = field(default_factory=dict)
    #: Up to where all is known: a stream of which as many entries were read as were asked for may
    #: have more.
    upto: int = 2**63  # more than any id

    def add(self, name: str, entries: Sequence[Any], oldest: int) -> int | None:
        """Add a topic's entries; returns the id before the first that is kept, None without any.

        Those at the beginning that were made before ``oldest``, in milliseconds, are gone, though
        not trimmed yet. Behind a younger one none is: the clock has been set back.
        """
        before: int | None = None
        kept = False
        for entry in entries:
            id, fields = _id(entry), entry[1]
            previous, _, milliseconds = fields[5].split(b":")
            if not kept and int(milliseconds) < oldest:
                before = id
                continue
            if not kept:
                before, kept = int(previous), True
            but = fields[7].decode() if len(fields) > 7 else ""
            data = wire_form(id, fields[3])
            self.records.append(Record(id, name, fields[1].decode(), data, but))
        return before


@final
class History:
    """The reading half of a `RedisEngine`.

    Args:
      age: of a topic, in milliseconds, or 0 for no limit.
    """

    def __init__(self, link: Link, keys: Keys, age: Callable[[str], int]) -> None:
        self._link = link
        self._keys = keys
        self._age = age
        self._cuts: list[tuple[int, int]] = []

    def is_lost(self, id: int) -> bool:
        """Whether it is among those that were lost, when something was read last."""
        return any(low < id < high for low, high in self._cuts)

    async def read(self, selection: Selection, after: int, limit: int) -> Page:
        """As `Engine.read`; raises what the link does."""
        gone: dict[str, int] = {}
        while True:
            names, upto = list(selection.names), None
            if selection.patterns:
                upto, newer = await self._newer(after)
                names += [name for name in newer if name in selection and name not in names]
            log, found = await self._read_names(names, after, limit)
            if after > log.last:
                gone[""] = log.base
                after = EARLIEST
                continue
            gone |= found.gone | log.gone(after, patterns=bool(selection.patterns))
            last = log.last if upto is None else upto
            page = _page(found.records, limit, min(last, found.upto), gone)
            if page.records or page.upto == last:
                return page
            after = page.upto  # all that was found is too old, and there is more

    async def cursor_back(self, selection: Selection, count: int) -> int:
        """As `FullEngine.cursor_back`."""
        ids: list[int] = []
        for names in await self._names(selection):
            _, found = await self._newest(names, count, list(map(self._age, names)))
            ids = sorted(ids + found)[-count:]
        return ids[0] - 1 if len(ids) == count else EARLIEST

    async def cursor_since(self, selection: Selection, seconds: float) -> int:
        """As `FullEngine.cursor_since`."""
        place = EARLIEST
        for names in await self._names(selection):
            older, _ = await self._newest(names, 10**9, [max(1, int(seconds * 1000))] * len(names))
            place = max(place, older)
        return place

    async def _names(self, selection: Selection) -> list[list[str]]:
        """The topics, some at a time."""
        names = list(selection.names)
        if selection.patterns:
            _, there = await self._newer(EARLIEST)
            names += [name for name in there if name in selection and name not in selection.names]
        return [names[start : start + _TOPICS] for start in range(0, len(names), _TOPICS)]

    async def _newest(
        self, names: Sequence[str], count: int, ages: Sequence[int]
    ) -> tuple[int, list[int]]:
        keys = [self._keys.topic(name) for name in names]
        older, found = await self._link.call(read_scripts.NEWEST, keys, count, *ages)
        return int(older), [int(id) for id in found]

    async def _newer(self, after: int) -> tuple[int, list[str]]:
        keys = [self._keys.log, self._keys.heads]
        last, names = await self._link.call(read_scripts.NEWER, keys, after)
        return int(last or 0), [name.decode() for name in names]

    async def _read_names(
        self, names: Sequence[str], after: int, limit: int
    ) -> tuple[_Log, _Found]:
        found = _Found()
        log: _Log | None = None
        for start in range(0, max(len(names), 1), _TOPICS):
            some = names[start : start + _TOPICS]
            answer = await self._link.call(
                read_scripts.READ,
                [
                    *(self._keys.log, self._keys.heads, self._keys.cuts),
                    *map(self._keys.topic, some),
                    *map(self._keys.holes, some),
                ],
                after,
                limit,
                *some,
            )
            state, cuts, now, streams = answer
            log = log or _log(state, cuts)  # what came later is left for the next page
            for name, (head, entries, holes) in zip(some, streams, strict=True):
                age = self._age(name)
                before = found.add(name, entries, int(now) - age if age else 0)
                if before is None:
                    before = int(head or log.base)
                if after < before:
                    found.gone[name] = before
                if holes:  # another number whenever more has gone
                    newest, count, first = holes
                    found.gone[name] = int(first or head or newest) + int(count)
                if len(entries) == limit:
                    found.upto = min(found.upto, _id(entries[-1]))
        assert log is not None
        self._cuts = log.cuts
        found.upto = min(found.upto, log.last)
        return log, found


def _log(state: Sequence[Any], cuts: Iterable[bytes]) -> _Log:
    last, base, lost, forgotten = (int(value or 0) for value in state)
    ranges = [tuple(map(int, cut.split(b":"))) for cut in cuts]
    return _Log(last, max(base, forgotten), lost, [(low, high) for low, high in ranges])


def _id(entry: Any) -> int:
    return int(entry[0][:-2])


def _page(records: list[Record], limit: int, upto: int, gone: Mapping[str, int]) -> Page:
    records.sort(key=_by_id)
    records = [record for record in records if record.id <= upto]
    size = 0
    for count, record in enumerate(records[:limit], 1):
        size += len(record.data)
        if size > _PAGE_BYTES:
            limit = count
            break
    if len(records) >= limit:
        records = records[:limit]
        upto = records[-1].id
    return Page(records, upto, gone)
