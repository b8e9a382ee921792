"""Looking at all open streams of the process: once for all who watch, and seldom enough."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from math import inf

import trio

from ..stream import OpenStream
from ..stream.overview import each_open_stream
from .pace import Pace

__all__ = ["Look", "Lookout"]

#: Streams that are looked at before other tasks run: some 0.5 ms.
_SLICE = 64


@dataclass(frozen=True, slots=True)
class Look:
    """What there was to see, the oldest stream first."""

    #: On Trio's clock, and the Unix time at which that was 0: asked for once, as it may be set.
    at: float = -inf
    epoch: float = 0.0
    streams: list[OpenStream] = field(default_factory=list)
    #: Events in a second since the look before, of those that sent any.
    rates: dict[int, float] = field(default_factory=dict)
    #: Bytes in a second, of all.
    byte_rate: float = 0.0
    #: Seconds after which there will be another.
    rest: float = 0.0


class Lookout:
    """Looks while somebody watches; holds nothing of any stream while nobody does."""

    def __init__(self) -> None:
        self._lock = trio.Lock()
        self._look = Look()
        self._watching = 0

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Somebody watches while in this block."""
        self._watching += 1
        try:
            yield
        finally:
            self._watching -= 1
            if not self._watching:
                self._look = Look()

    async def look(self) -> Look:
        """What there is to see now, or was a moment ago when somebody else has looked already."""
        async with self._lock:
            # A little earlier will do: who comes at each period must not find the last one's.
            if trio.current_time() >= self._look.at + self._look.rest * 0.9:
                self._look = await _look_around(self._look)
            return self._look


async def _look_around(last: Look) -> Look:
    each, pace = each_open_stream(), Pace()
    streams: list[OpenStream] = []
    while True:
        with pace:
            seen = list(islice(each, _SLICE))
        streams += seen
        if len(seen) < _SLICE:
            break
        await trio.lowlevel.checkpoint()
    now = trio.current_time()
    with pace:
        rates, byte_rate = _rates(last, streams, now)
    epoch = last.epoch or time.time() - now
    return Look(now, epoch, streams, rates, byte_rate, pace.rest())


def _rates(last: Look, streams: list[OpenStream], now: float) -> tuple[dict[int, float], float]:
    """Events in a second of each that sent any, and bytes of all."""
    before = {stream.number: stream.statistics for stream in last.streams}
    seconds = max(now - last.at, 0.001)
    rates: dict[int, float] = {}
    fresh = 0
    for stream in streams:
        counted, old = stream.statistics, before.get(stream.number)
        if old is not None and counted.bytes != old.bytes:
            fresh += counted.bytes - old.bytes
        if old is not None and counted.events != old.events:
            rates[stream.number] = (counted.events - old.events) / seconds
    return rates, fresh / seconds
