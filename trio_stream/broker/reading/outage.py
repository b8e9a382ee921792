"""Since when a broker's engine is away, and the streams whose clients are to be told of that."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, final

import trio

from ...codec import EncodedEvent, ServerSentEvent, encode
from ..contract.health import HealthEngine

if TYPE_CHECKING:
    from ...stream.source.contract import Sink
    from ..contract import Engine

__all__ = ["Outage"]

#: Seconds between two looks at the engine.
_LOOK = 0.25

#: Streams that are told one after another before other tasks run: some 3 us each.
_TURN = 64

#: Where nobody is told: one for all, as a generator of each subscriber's own is 400 bytes.
_NOT_TOLD = nullcontext()


@final
class _Told:
    """A stream whose client is told once the engine has been away for so many seconds."""

    __slots__ = ("after", "sink", "stale")

    def __init__(self, sink: Sink, after: float) -> None:
        self.sink = sink
        self.after = after
        self.stale = False


@final
class Outage:
    """What is known of an engine that can be away."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._clock: trio.abc.Clock | None = None
        self._since: float | None = None
        self._seconds = 0.0  # of this one, or of the last
        self._told: dict[_Told, None] = {}

    @property
    def seconds(self) -> float | None:
        """For how long the engine has been away; None while it is there. Any thread may ask."""
        since, clock = self._since, self._clock
        return None if since is None or clock is None else clock.current_time() - since

    def telling(self, sink: Sink, after: float | None) -> AbstractContextManager[None]:
        """In its block its client is told; not at all where ``after`` is None."""
        return _NOT_TOLD if after is None else self._telling(sink, after)

    @contextmanager
    def _telling(self, sink: Sink, after: float) -> Iterator[None]:
        told = _Told(sink, after)
        self._told[told] = None
        try:
            yield
        finally:
            del self._told[told]

    async def run(self) -> None:
        """Look after the engine, until cancelled; return at once if it cannot be away."""
        engine = self._engine
        if not isinstance(engine, HealthEngine):
            return
        self._clock = trio.lowlevel.current_clock()
        while True:
            health = engine.health()
            if health.reachable:
                self._since = None
            else:
                self._seconds = health.seconds_unreachable
                self._since = trio.current_time() - self._seconds
            await self._tell()
            await trio.sleep(_LOOK)

    async def _tell(self) -> None:
        events: dict[bool, EncodedEvent] = {}
        count = 0
        for told in list(self._told):
            stale = self._since is not None and self._seconds >= told.after
            if stale != told.stale and told in self._told:
                if stale not in events:
                    events[stale] = _event(stale, self._seconds)
                _offer(told, stale, events[stale])
                count += 1
                if count % _TURN == 0:
                    await trio.lowlevel.checkpoint()


def _event(stale: bool, seconds: float) -> EncodedEvent:
    data = {"seconds": round(seconds, 1)}
    return encode(ServerSentEvent(data, event="stale" if stale else "fresh"))


def _offer(told: _Told, stale: bool, event: EncodedEvent) -> None:
    """Tell it, if it has room; who has none is tried again at the next look."""
    try:
        if told.sink.put_nowait(event):
            told.stale = stale
    except (trio.ClosedResourceError, trio.BrokenResourceError):
        told.stale = stale  # it has ended, and leaves in a moment
