"""Handing new events to the subscribers of this process that are at the head of their topics.

One task does it for the whole broker. So a publisher waits for no subscriber, events reach everyone
in the order of their ids, and what was published while the last ones were being handed out goes out
in one write: the busier the broker, the fewer writes for each event. While something is published
at every turn, publishers are left as much time as handing out has taken: a write to each of 500
clients costs the same for one event as for hundreds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import chain
from math import inf
from time import perf_counter
from typing import final

import trio
from outcome import Value

from ...codec import EncodedEvent
from ...codec.groups import SharedEvent
from ...errors import MapError
from ...transport.offering import MANY, MOST_FRAMED, offer
from ..contract.records import Record, joined
from ..contract.retention import Retention
from .audience import Audience, Group
from .crowds import Crowd
from .followers import Follower
from .mapper import Mapper
from .runs import Pending, in_runs, next_run

__all__ = ["FanOut"]

#: Seconds after which other tasks run, too. A subscriber costs 3 to 15 us, least over HTTP/2, where
#: what a turn writes to a connection is one write.
_TURN = 0.0005

#: Events that may wait to be handed out, besides those that are being handed out; publishers wait
#: beyond that. In memory anyway: the log's.
_PENDING = 1024


@final
class FanOut:
    """The followers of one broker, by topic and pattern, and the task that serves them.

    Args:
      retention: what is kept, for those who are sent little of it.
    """

    def __init__(self, retention: Retention = Retention()) -> None:  # noqa: B008  # it is frozen
        #: Events in the order of their ids; an id is where events may have been left out; one that
        #: is in no log is in a tuple.
        self._pending: deque[Pending] = deque()
        self._audience = Audience()
        self._mapper = Mapper(retention)
        self._sleeping: trio.lowlevel.Task | None = None
        self._publishers = trio.lowlevel.ParkingLot()
        self._closed = False
        self._turn_end = 0.0
        self.delivered: int = 0
        #: How often what waited was taken to be handed out.
        self.turns: int = 0

    def followers(self, topic: str | None = None) -> set[Follower]:
        """Those of one topic, or all."""
        return self._audience.followers(topic)

    def filters(self) -> set[str]:
        """The names and patterns that they have asked for."""
        return self._audience.filters()

    # Who follows.

    @property
    def following(self) -> int:
        """How many; any thread may ask."""
        return len(self._audience)

    def add(self, follower: Follower) -> None:
        """From now on hand it whatever has a larger id than it has ``seen``."""
        self._audience.add(follower)

    def discard(self, follower: Follower) -> None:
        """Hand it nothing any more, not even of what is being handed out now."""
        self._audience.discard(follower)

    # What is new.

    def push(self, records: Sequence[Record]) -> None:
        """Hand these out, soon."""
        if self._audience:  # else everyone who comes from now on has read them already
            self._pending.extend(records)
            self._wake()

    def pass_on(self, record: Record) -> None:
        """Hand this out in its turn, to whoever has room for it then; it is in no log."""
        if self._audience:
            self._pending.append((record,))
            self._wake()

    def interrupt(self, cursor: int) -> None:
        """Events after ``cursor`` may be missing: let everyone look for themselves."""
        self._pending.append(cursor)
        self._wake()

    @property
    def crowded(self) -> bool:
        """Whether more is published than can be handed out."""
        return len(self._pending) > _PENDING

    async def wait_for_room(self) -> None:
        """Wait while it is crowded, and anything is handed out."""
        while self.crowded and not self._closed:
            await self._publishers.park()

    def close(self) -> None:
        """Nothing more will be handed out: nobody need wait for that."""
        self._closed = True
        self._publishers.unpark_all()

    async def run(self) -> None:
        """Hand out, until cancelled."""
        while True:
            if not self._pending:
                self._sleeping = trio.lowlevel.current_task()
                await trio.lowlevel.wait_task_rescheduled(self._abort)
            begun = perf_counter()
            self._turn_end = begun + _TURN
            self.turns += 1
            waiting, self._pending = self._pending, deque()
            self._publishers.unpark_all()
            if len(waiting) > 1:
                waiting = in_runs(waiting, self._audience)
            while waiting:
                oldest = waiting.popleft()
                if isinstance(oldest, Record):
                    route = self._audience.route(oldest.topic)
                    run = next_run(oldest, route, waiting, self._audience)
                    for group in route:
                        await self._hand_out(group, run)
                elif isinstance(oldest, int):
                    self._all_behind(oldest)
                else:
                    await self._hand_over(oldest[0])
                self._mapper.forget()
            if self._pending:
                now = perf_counter()
                await self._gather(now + (now - begun))

    async def _gather(self, until: float) -> None:
        """Leave others their turns, as long as something is published in every one."""
        count = 0
        while count < len(self._pending) <= _PENDING and perf_counter() < until:
            count = len(self._pending)
            # Two, because Trio shuffles each turn: a publisher may be after us in the one and
            # before us in the next, and so have had no turn between two of ours.
            await trio.lowlevel.checkpoint()
            await trio.lowlevel.checkpoint()

    def _wake(self) -> None:
        if self._sleeping is not None:
            task, self._sleeping = self._sleeping, None
            trio.lowlevel.reschedule(task, Value(None))

    def _abort(self, _: object) -> trio.lowlevel.Abort:
        self._sleeping = None
        return trio.lowlevel.Abort.SUCCEEDED

    def _all_behind(self, cursor: int) -> None:
        for follower in self.followers():
            follower.fall_behind(cursor)

    async def _hand_out(self, group: Group, run: list[Record]) -> None:
        if group.mapping is None:
            await self._hand_run_out(group, run)
            return
        mapped = self._mapper.prepared(group, group.mapping, run)
        failing = () if mapped.error is None else tuple(group.everybody())  # not who comes later
        if mapped.records:
            await self._hand_run_out(group, mapped.records)
        if mapped.error is not None:
            _fail(failing, mapped.error)

    async def _hand_run_out(self, group: Group, run: list[Record]) -> None:
        whole = joined(run)
        crowds = tuple(group.crowds.values())
        await self._hand_to(tuple(group), run, whole)
        for crowd in crowds:
            if crowd.last < run[-1].id:  # else it is by another name that they have had it
                crowd.last = run[-1].id
                await self._hand_to(tuple(crowd.followers), run, whole, crowd)

    async def _hand_to(
        self,
        followers: Sequence[Follower],
        run: list[Record],
        whole: EncodedEvent,
        crowd: Crowd | None = None,
    ) -> None:
        if run[0].but:
            followers = _but(run, followers)
        shared = None if crowd is None else crowd.compress(whole)
        done = 0
        while done < len(followers):
            turn = followers[done : done + MANY]
            done += len(turn)
            if crowd is not None and shared is not None:
                turn, delivered = crowd.write(turn, run, shared)
                self.delivered += delivered
            elif len(whole.data) <= MOST_FRAMED:
                turn = self._write_to_all(turn, run, whole)
            self._hand_one_by_one(turn, run, whole)
            if perf_counter() >= self._turn_end:
                await trio.lowlevel.checkpoint()
                self._turn_end = perf_counter() + _TURN

    async def _hand_over(self, record: Record) -> None:
        """Give it to whoever takes it now: who does not, has nothing to come back to."""
        route, run = self._audience.route(record.topic), [record]  # one run: it is mapped once
        await self._hand_over_to(chain.from_iterable(route), run)
        for crowd in dict.fromkeys(crowd for group in route for crowd in group.crowds.values()):
            await self._hand_over_to(crowd.followers, run, crowd)

    async def _hand_over_to(
        self, followers: Iterable[Follower], run: list[Record], crowd: Crowd | None = None
    ) -> None:
        but, unmapped = run[0].but, run[0].event
        shared: SharedEvent | None = None
        for follower in dict.fromkeys(followers):
            if follower.seen is not inf and not (but and follower.stream == but):
                if (mapping := follower.view) is None:
                    event = unmapped
                else:
                    mapped = self._mapper.mapped(mapping, run)
                    if mapped.error is not None:
                        _fail([follower], mapped.error)
                    if not mapped.records:
                        continue
                    event = mapped.records[0].event
                if crowd is not None and shared is None:
                    shared = crowd.compress(event)
                try:
                    if crowd is None or shared is None or not crowd.write_to(follower, shared, 1):
                        self.delivered += follower.sink.put_nowait(event)
                    else:
                        self.delivered += 1
                except (trio.ClosedResourceError, trio.BrokenResourceError):
                    follower.end()
            if perf_counter() >= self._turn_end:
                await trio.lowlevel.checkpoint()
                self._turn_end = perf_counter() + _TURN

    # These two are what a publish costs: nothing in them can wait.

    def _write_to_all(
        self, turn: Sequence[Follower], run: list[Record], whole: EncodedEvent
    ) -> list[Follower]:
        """Write to those whose sockets may be written to now; returns the others."""
        first, last, count, frame = run[0].id, run[-1].id, len(run), whole.frame
        ready, senders, others = [], [], []
        for follower in turn:
            if follower.seen < first and (send := follower.sink.express.sender(frame)) is not None:
                ready.append(follower)
                senders.append(send)
            else:
                others.append(follower)
        offered = offer(senders, frame)
        now = trio.current_time()
        for follower, left in zip(ready, offered, strict=True):
            if left < 0:
                follower.sink.found_gone()
                follower.end()
            else:
                follower.sink.express.sent(whole, left, count, now)
                follower.seen = last
                self.delivered += count
        return others

    def _hand_one_by_one(
        self, others: Sequence[Follower], run: list[Record], whole: EncodedEvent
    ) -> None:
        first, last = run[0].id, run[-1].id
        for follower in others:
            seen = follower.seen
            if seen < last:
                event, count = (whole, len(run)) if seen < first else _rest(run, seen)
                try:
                    if follower.sink.put_nowait(event):
                        follower.seen = last
                        self.delivered += count
                        follower.sink.add_events(count - 1)
                    else:
                        follower.fall_behind(first - 1 if seen < first else int(seen))
                except (trio.ClosedResourceError, trio.BrokenResourceError):
                    follower.end()


def _fail(followers: Sequence[Follower], error: MapError) -> None:
    """End those that still follow: the event that comes next to them cannot be made."""
    for follower in followers:
        if follower.seen is not inf:
            follower.fail(error)


def _but(run: list[Record], followers: Sequence[Follower]) -> Sequence[Follower]:
    """All but the stream that the run is not for; that has nothing to read up, either."""
    others = []
    for follower in followers:
        if follower.stream != run[0].but:
            others.append(follower)
        elif follower.seen < run[-1].id:
            follower.seen = run[-1].id
    return others


def _rest(run: list[Record], seen: float) -> tuple[EncodedEvent, int]:
    """What is new to a follower that has read the log when some of these were in it already."""
    rest = [record for record in run if record.id > seen]
    return joined(rest), len(rest)
