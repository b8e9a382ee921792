"""Handing new events to the subscribers of this process that are at the head of their topics.

One task does it for the whole broker. So a publisher waits for no subscriber, events reach everyone
in the order of their ids, and what was published while the last ones were being handed out goes out
in one write: the busier the broker, the fewer writes for each event.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol, final

import trio
from outcome import Value

from ..codec import EncodedEvent
from .contract import Record, joined
from .topics import Selection, compile_patterns, is_pattern

__all__ = ["FanOut", "Follower"]

#: Subscribers that are handed an event before other tasks run. One costs 2 to 10 us, a turn of
#: Trio's scheduler about 15.
_TURN = 64

#: Events that may wait to be handed out; publishers wait beyond that. In memory anyway: the log's.
_PENDING = 1024

#: Bytes that are joined into one write.
_JOINED_BYTES = 2**16

#: Topics of which it is remembered which patterns match them.
_ROUTES = 10_000


class Follower(Protocol):
    """A subscription at the head of its topics, as it is seen here."""

    #: The id up to which it has everything, or infinity while it does not follow.
    seen: float
    #: What it wants.
    selection: Selection

    #: Takes an event at once, or not at all.
    take: Callable[[EncodedEvent], bool]

    #: Told how many events more than one it took at once.
    add_events: Callable[[int], None]

    def fall_behind(self, cursor: int) -> None:
        """It could not take the event after ``cursor``, and follows no longer."""

    def end(self) -> None:
        """Its client has gone, and it follows no longer."""


Group = dict[Follower, None]  # in the order in which they came


@final
class FanOut:
    """The followers of one broker, by topic and pattern, and the task that serves them."""

    def __init__(self) -> None:
        #: Events in the order of their ids; an id is where events may have been left out.
        self._pending: deque[Record | int] = deque()
        self._groups: dict[str, Group] = {}
        self._patterns: list[tuple[Callable[[str], bool], Group]] = []
        self._routes: dict[str, list[Group]] = {}
        self._sleeping: trio.lowlevel.Task | None = None
        self._publishers = trio.lowlevel.ParkingLot()
        self._turn = _TURN
        self.delivered = 0

    def followers(self, topic: str | None = None) -> set[Follower]:
        """Those of one topic, or all."""
        groups = self._groups.values() if topic is None else self._route(topic)
        return {follower for group in groups for follower in group}

    # Who follows.

    def add(self, follower: Follower) -> None:
        """From now on hand it whatever has a larger id than it has ``seen``."""
        for name in follower.selection.filters:
            group = self._groups.get(name)
            if group is None:
                group = self._groups[name] = {}
                if is_pattern(name):
                    self._patterns.append((compile_patterns([name]), group))
                    self._routes.clear()
            group[follower] = None

    def discard(self, follower: Follower) -> None:
        """Hand it nothing any more, not even of what is being handed out now."""
        for name in follower.selection.filters:
            group = self._groups.get(name)
            if group is not None and group.pop(follower, self) is None and not group:
                del self._groups[name]
                if is_pattern(name):
                    self._patterns = [entry for entry in self._patterns if entry[1] is not group]
                    self._routes.clear()

    # What is new.

    def push(self, records: Sequence[Record]) -> None:
        """Hand these out, soon."""
        if self._groups:  # else everyone who comes from now on has read them already
            self._pending.extend(records)
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
        """Wait while it is crowded."""
        while self.crowded:
            await self._publishers.park()

    async def run(self) -> None:
        """Hand out, until cancelled."""
        while True:
            if not self._pending:
                self._sleeping = trio.lowlevel.current_task()
                await trio.lowlevel.wait_task_rescheduled(self._abort)
            oldest = self._pending.popleft()
            if isinstance(oldest, Record):
                run = self._next_run(oldest)
                for group in self._route(oldest.topic):
                    await self._hand_out(group, run)
            else:
                self._all_behind(oldest)
            if self._publishers and not self.crowded:
                self._publishers.unpark_all()

    def _wake(self) -> None:
        if self._sleeping is not None:
            task, self._sleeping = self._sleeping, None
            trio.lowlevel.reschedule(task, Value(None))

    def _abort(self, _: object) -> trio.lowlevel.Abort:
        self._sleeping = None
        return trio.lowlevel.Abort.SUCCEEDED

    def _next_run(self, oldest: Record) -> list[Record]:
        """The oldest event that waits, and what follows it as long as it is of the same topic."""
        pending = self._pending
        run, size = [oldest], len(oldest.event.data)
        while pending and size < _JOINED_BYTES:
            following = pending[0]
            if not isinstance(following, Record) or following.topic != oldest.topic:
                break
            run.append(following)
            size += len(following.event.data)
            pending.popleft()
        return run

    def _all_behind(self, cursor: int) -> None:
        for follower in self.followers():
            follower.fall_behind(cursor)

    def _route(self, topic: str) -> list[Group]:
        exact = self._groups.get(topic)
        groups = [] if exact is None else [exact]
        if self._patterns:
            matched = self._routes.get(topic)
            if matched is None:
                if len(self._routes) >= _ROUTES:
                    self._routes.clear()
                matched = [group for matches, group in self._patterns if matches(topic)]
                self._routes[topic] = matched
            groups += matched
        return groups

    async def _hand_out(self, group: Group, run: list[Record]) -> None:
        first, last = run[0].id, run[-1].id
        event, more = joined(run), len(run) - 1
        followers = tuple(group)
        done = taken = 0
        while done < len(followers):
            turn = followers[done : done + self._turn]
            self._turn -= len(turn)
            done += len(turn)
            # This loop is what a publish costs: it is kept free of anything that can wait.
            for follower in turn:
                if follower.seen < first:
                    try:
                        if follower.take(event):
                            follower.seen = last
                            taken += 1
                            if more:
                                follower.add_events(more)
                        else:
                            follower.fall_behind(first - 1)
                    except (trio.ClosedResourceError, trio.BrokenResourceError):
                        follower.end()
                elif follower.seen < last:
                    follower.fall_behind(int(follower.seen))
            if self._turn <= 0:
                self._turn = _TURN
                await trio.lowlevel.checkpoint()
        self.delivered += taken * len(run)
