"""Between a topic of which each key's newest is enough, and a stream that writes now and then."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, final

import trio

from ..contract import Page, Record, joined
from ..following.followers import NOWHERE, Offered

if TYPE_CHECKING:
    from ...codec import EncodedEvent
    from ...stream.source.contract import Sink

__all__ = ["Gathering"]

#: Events and bytes that are joined into one: what waits then is bounded as it is by single events.
_EVENTS, _BYTES = 1024, 2**16


@final
class Gathering:
    """In the place of a stream with `flush_every`: what comes between two writes waits in the log.

    So newer events replace it until it is time. What is in no log goes to the stream at once, as it
    would be lost: its follower stays at the head meanwhile.

    Args:
      sink: the stream's.
      seconds: its ``flush_every``.
      told: called when that has taken an event.

    Attributes:
      since: the id behind which something waits in the log, or None.
    """

    __slots__ = ("_put_after", "_seconds", "_sink", "_told", "since")

    def __init__(self, sink: Sink, seconds: float, told: Callable[[], None]) -> None:
        self._sink = sink
        self._seconds = seconds
        self._told = told
        #: The stream's last write before something was put: that is not written yet, then.
        self._put_after: float | None = None
        self.since: int | None = None

    @property
    def due(self) -> float:
        """When the stream may write what is put next, on Trio's clock."""
        last = self._sink.last_write
        if last == self._put_after:  # by the next write, and this by the one behind that
            last = max(last + self._seconds, trio.current_time())
        return last + self._seconds

    async def deliver(self, page: Page) -> int:
        """Put as much as there is room for, for one write; returns the id up to which that is.

        Where there is room for nothing it waits until there is.
        """
        for some in _in_pieces(page.records):
            event, last = joined(some), some[-1].id
            self._put_after = self._sink.last_write
            fits = self._sink.put_nowait(event)
            if not fits and (wait := self._sink.put(event)) is not None:
                await wait
            self._sink.add_events(len(some) - 1)
            self._told()
            if not fits and last:  # else it is a part of a snapshot
                return last  # what is newer by now may replace the rest
        return page.upto

    # As a follower's `Taker`.

    @property
    def express(self) -> Offered:
        return NOWHERE

    def put_nowait(self, event: EncodedEvent) -> bool:
        if event.id is not None or not self._sink.put_nowait(event):
            return False
        self._told()
        return True

    def add_events(self, count: int) -> None:
        self._sink.add_events(count)

    def found_gone(self) -> object:
        return self._sink.found_gone()


def _in_pieces(records: Sequence[Record]) -> Iterator[Sequence[Record]]:
    piece: list[Record] = []
    size = 0
    for record in records:
        if piece and (len(piece) == _EVENTS or size + len(record.data) > _BYTES):
            yield piece
            piece, size = [], 0
        piece.append(record)
        size += len(record.data)
    if piece:
        yield piece
