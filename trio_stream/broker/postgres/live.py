"""Feeding what is new, and numbering what others have published in their transactions.

One of the processes is on duty: it looks after the outbox. While publishers are busy it looks
every few milliseconds, and they need not tell it; when there is nothing to be found it goes to
sleep, and takes a lock by which they know that they have to ring. So a publisher pays for a
notification, which lets commits pass one at a time, only where nobody is awake. Whatever is missed,
as the process on duty hangs, somebody finds at his next look.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from typing import final

import trio

from ..contract import Entry, Feed, Record, wire_form
from .found import records_of
from .link import Link
from .statements import ASLEEP, ENTER, LIVE, NUMBER, ON_DUTY, TRY_LOCK, UNLOCK
from .values import read_int
from .wire import Row, Wire

__all__ = ["Live"]

#: Rows that are read, unless they are more bytes, and events that are numbered, at once.
_READ, _READ_BYTES, _NUMBERED = 1000, 2**22, 1000

#: Where a row that is read has its data.
_DATA = 6

#: Seconds between two looks at the outbox while there is something, doubled until, beyond the
#: second number, it is time to sleep; and between two looks all the same.
_PAUSE, _LONGEST_PAUSE, _LOOK = 0.002, 0.02, 0.5

#: How much longer than such a look took the pause after it is, within these bounds.
_SHARE = 4

_BELL = "trio_stream_bell"


@final
class Live:
    """The process's place in the log, and the connection that moves it.

    Args:
      known: the newest id that is known to be stored.
      is_told: whether what this process of PostgreSQL appends comes here by itself.
      entered: is told of each connection that is of use.
      gone: is told when something that was kept may have been deleted.

    Attributes:
      read_to: the newest id that was fed.
      on_duty: whether it is this process that looks after the outbox.
      numbered: how many events of others it has numbered.
      looks: how often it has looked.
    """

    def __init__(
        self,
        known: Callable[[], int],
        is_told: Callable[[int], bool],
        entered: Callable[[Wire], None],
        gone: Callable[[], None],
    ) -> None:
        self._known = known
        self._is_told = is_told
        self._entered = entered
        self._gone = gone
        self.read_to: int = 0
        self.on_duty: bool = False
        self.numbered: int = 0
        self.looks: int = 0
        self._heard = 0
        self._lost = 0
        self._run = b""
        self._changed = trio.lowlevel.ParkingLot()
        #: Ids, and what to call once they have been fed.
        self._waiting: list[tuple[int, Callable[[], None]]] = []
        self._feed: Feed
        self._fed: Callable[[Sequence[Record]], None]
        self._link: Link
        self._started: Callable[[int], None]

    def attach(
        self,
        feed: Feed,
        fed: Callable[[Sequence[Record]], None],
        link: Link,
        started: Callable[[int], None],
    ) -> None:
        """Before anything else: whom it feeds, who else is told, whose its connection is."""
        self._feed, self._fed, self._link, self._started = feed, fed, link, started

    async def enter(self, wire: Wire) -> Row:
        """What any connection does first."""
        row = await wire.one(ENTER, max(self.read_to, self._known()), self._heard)
        wire.server = row[-1] or b""
        self._entered(wire)
        return row

    async def session(self, wire: Wire) -> None:
        """Feed by one connection, until it is lost."""
        try:
            await self._session(wire)
        finally:
            self._changed.unpark_all()
            self._release(inf)

    async def _session(self, wire: Wire) -> None:
        self.on_duty = False
        await wire.run(b"LISTEN trio_stream")
        late = await self._begin(wire)
        await self._look(wire, late=late)
        pause = _PAUSE
        while True:
            begun = trio.current_time()
            found = await self._number(wire)
            await self._look(wire)
            # What it takes is taken from publishers, where they are on the same machine.
            took = trio.current_time() - begun
            pause = min(max(_PAUSE, _SHARE * took), _LONGEST_PAUSE) if found else pause * 2
            if not self.on_duty:
                await self._rest(wire)
                await self._take_duty(wire)
            elif pause <= _LONGEST_PAUSE:
                await self._rest(wire, pause)
            else:
                await self._sleep(wire)
                pause = _PAUSE

    async def _begin(self, wire: Wire) -> bool:
        """See where the log is now; returns whether what has passed meanwhile is too late."""
        head, lost, signal, missed, started = (value or b"" for value in await self.enter(wire))
        first = not self._run
        if first:
            self.read_to, self._lost, self._heard = read_int(head), read_int(lost), read_int(signal)
        elif read_int(lost) > self._lost:
            self._lose(read_int(lost))
            self._heard = read_int(signal)
        elif started != self._run or read_int(missed):
            # What was forgotten meanwhile may be in memory.
            self._interrupt()
            self._heard = read_int(signal)
        self._run = started
        self._link.opened(wire)
        if first:
            self._started(self.read_to)  # nothing may be fed before
        await self._take_duty(wire)
        return not first

    def _lose(self, upto: int) -> None:
        """Something before this id is lost: what is stored by now has larger ones."""
        self._lost = upto
        self.read_to = max(self.read_to, upto)
        self._interrupt()

    def _interrupt(self) -> None:
        self._gone()
        self._feed.interrupted(self.read_to)

    # The outbox.

    async def _take_duty(self, wire: Wire) -> None:
        [taken] = await wire.one(TRY_LOCK, ON_DUTY)
        if taken == b"\x01":
            self.on_duty = True
            await wire.run(f"LISTEN {_BELL}".encode())

    async def _number(self, wire: Wire, *, sleeps: bool = False) -> int:
        """Number what waits; returns how much that was.

        Args:
          sleeps: publishers are told up to where that is, as they may number what they publish.
        """
        found = 0
        more = True
        while more:
            self.looks += 1
            row = await wire.one(NUMBER, *wire.seen, _NUMBERED, sleeps)
            moved, is_more, xmax, xip = (value or b"" for value in row)
            wire.seen = xmax, xip
            found += read_int(moved)
            more = bool(read_int(is_more))
            if more:
                await self._look(wire)
        self.numbered += found
        return found

    async def _sleep(self, wire: Wire) -> None:
        """Until somebody rings. Who publishes while this falls asleep is found by another look."""
        if await self._number(wire, sleeps=True):
            await self._look(wire)
            return
        [taken] = await wire.one(TRY_LOCK, ASLEEP)
        if taken != b"\x01":  # somebody commits just now, and has been told that this is awake
            await self._rest(wire, _LONGEST_PAUSE)
            return
        while not await self._number(wire, sleeps=True):
            await self._rest(wire)
            await self._look(wire)  # at once, for what publishers have numbered
        await self._look(wire)
        await wire.ask(UNLOCK, ASLEEP)

    async def _rest(self, wire: Wire, seconds: float = _LOOK) -> None:
        """Until there is something to look at, or so long."""
        until = trio.current_time() + seconds
        while not self._is_called(wire):  # also by what has come with the last answer
            left = until - trio.current_time()
            if left <= 0 or await wire.rest(left):
                return

    def _is_called(self, wire: Wire) -> bool:
        """Whether somebody rang, or there is something new that does not come here by itself."""
        return any(
            channel == _BELL or not (pid == wire.pid or self._is_told(pid))
            for channel, pid in wire.notified()
        )

    # What is new.

    def appended(
        self,
        before: int,
        signal: int,
        entries: Sequence[Entry],
        last: int,
        then: Callable[[], None],
    ) -> None:
        """These are stored, behind this id: feed them now, if that is where this is.

        Args:
          last: an id up to which something is stored.
          then: called when all up to that has been fed, or nothing is fed now.
        """
        if entries and before == self.read_to and signal == self._heard:
            records = [
                Record(id, entry.topic, entry.key, wire_form(id, entry.body), entry.but)
                for id, entry in enumerate(entries, before + 1)
            ]
            self._feed_events(records)
        if not self._run or not self._link.is_up or last <= self.read_to:
            then()
        else:
            self._waiting.append((last, then))
            self._link.poke()

    def _release(self, upto: float) -> None:
        """Call what waits for an id up to this one to be fed."""
        waiting, self._waiting = self._waiting, []
        for last, then in waiting:
            if last <= upto:
                then()
            else:
                self._waiting.append((last, then))

    async def hear(self, number: int) -> None:
        """Wait until this signal has been fed, unless nothing is fed, or not now."""
        if self._run:
            self._link.poke()
            while self._heard < number and self._link.is_up:
                await self._changed.park()

    async def _look(self, wire: Wire, *, late: bool = False) -> None:
        """Read what is new, and feed it."""
        is_more = True
        while is_more:
            rows = await wire.ask(LIVE, self.read_to, self._heard, _READ)
            size = sum(len(row[_DATA] or b"") for row in rows)
            is_more = len(rows) >= _READ or size >= _READ_BYTES
            self._take(rows, late=late)

    def _take(self, rows: Sequence[Row], *, late: bool) -> None:
        """Feed what was read, but for what has been fed since it was asked for."""
        events: list[Record] = []
        signals: list[tuple[str, int, int, Record]] = []
        for kind, raw_id, number, raw_topic, key, but, data, sizes in rows:
            id, topic = read_int(raw_id or b""), (raw_topic or b"").decode()
            if kind == b"e":
                if id > self.read_to:
                    events += records_of(id, topic, sizes or b"", key, but, data or b"")
            elif kind == b"i":
                self.read_to = max(self.read_to, id)
                self._interrupt()
            elif read_int(number or b"") > self._heard:
                texts = (key or b"").decode(), data or b"", (but or b"").decode()
                record = Record(0, topic, *texts)
                signals.append(((kind or b"").decode(), read_int(number or b""), id, record))
        start = 0
        for kind_of, number_of, after, record in signals:
            end = start
            while end < len(events) and events[end].id <= after:
                end += 1
            self._feed_events(events[start:end])
            start = end
            self._heard = number_of
            self._tell(kind_of, after, record, late=late)
        self._feed_events(events[start:])
        self._changed.unpark_all()
        self._release(self.read_to)

    def _feed_events(self, records: Sequence[Record]) -> None:
        if records:
            self.read_to = records[-1].id
            self._feed.records(records)
            self._fed(records)

    def _tell(self, kind: str, after: int, record: Record, *, late: bool) -> None:
        if kind == "p" and not late:
            self._feed.passing([record])
        elif kind == "f":
            self._gone()
            self._feed.forgotten(record.topic, int(record.key) if record.key else None)
        elif kind == "l" and after > self._lost:
            self._lose(after)
