"""Large events that were read from an engine: in memory once, however many read them.

When a server restarts, its clients come back at about the same time, and read the same from where
they were. What is small is copied for each, and soon gone. What is large is not copied on its way
to any of them, and so must not be there once for each before.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import final

from ...transport.base import LARGE
from ..contract import Page, Record, joined

__all__ = ["LargeEvents"]


@final
class LargeEvents:
    """Those that were read last, by their ids, which are never given twice.

    Args:
      max_bytes: of all of them together.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._records: OrderedDict[int, Record] = OrderedDict()

    def shared(self, page: Page) -> Page:
        """The page, with the event that others have had, if it is a large one, and alone there."""
        if len(page.records) != 1 or not LARGE < len(joined(page.records).data) <= self._max_bytes:
            return page
        record = self._known(page.records[0])
        return Page([record], page.upto, page.gone)

    def forget(self, topic: str, id: int | None) -> None:
        """Drop one event of a topic, or all."""
        for known in [r for r in self._records.values() if r.topic == topic and id in {None, r.id}]:
            del self._records[known.id]
            self._bytes -= len(known.data)

    def _known(self, record: Record) -> Record:
        known = self._records.get(record.id)
        if known is None:
            known = self._records[record.id] = record
            self._bytes += len(record.data)
            while self._bytes > self._max_bytes:
                _, oldest = self._records.popitem(last=False)
                self._bytes -= len(oldest.data)
        else:
            self._records.move_to_end(record.id)
        return known
