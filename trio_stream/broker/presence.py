"""Who is there: members of a topic, and the news of their coming and going.

The news are events like any other, on a topic of their own (`presence_topic`), so that they are
kept, resumed and fanned out as everything else is. Where several processes share a log, each says
again every few seconds who is present through it; a process that died says nothing, and its members
are gone when their lease is over.

The news, read in order, agree in the end with the list of who is present. So whoever changes what
the engine knows of a name, from nobody to somebody or back, publishes that, tries again until he
has, and looks whether it is still true.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterable
from contextlib import suppress
from heapq import heappop, heappush
from math import inf
from typing import final

import trio

from ..codec import encode
from ..errors import BrokerError
from .contract import LEASE, Engine, Entry, lease_of
from .publisher import Publisher
from .topics import Selection, check_name

__all__ = ["Presence", "presence_topic"]

log: logging.Logger = logging.getLogger("trio_stream")

_Key = tuple[str, str]


def presence_topic(topic: str) -> str:
    """Where the news of a topic's members are published: events ``join`` and ``leave``.

    Their data is ``{"name": ...}``. Subscribe to it along with the topic itself. Read in order they
    tell who is present; after an outage the same may be told twice, so keep a set, not a count.

    Raises:
      TypeError, ValueError: it is no topic's name.
    """
    return f"$presence/{check_name(topic, 'a topic')}"


class _Member:
    """A name that is, or a moment ago was, present on a topic through this process."""

    __slots__ = ("count", "due", "lock", "told", "until")

    def __init__(self) -> None:
        self.count = 0
        #: Until when a name without a connection may be back, and has not left.
        self.until = -inf
        #: The count that the engine knows, the news of it published; None while that is not sure.
        self.told: int | None = 0
        #: When `Presence.run` looks after it next.
        self.due = inf
        #: Held by who tells: one at a time, so that the news are in order.
        self.lock = trio.Lock()


@final
class Presence:
    """The members that are present through this process.

    Args:
      engine: knows who is present through all of them.
      publisher: for the news.
      grace: seconds that somebody may be away without leaving.
    """

    def __init__(self, engine: Engine, publisher: Publisher, grace: float) -> None:
        self._engine = engine
        self._publisher = publisher
        self._grace = grace
        #: Tells this broker from others on the same log, and from itself in an earlier life.
        self._owner = uuid.uuid4().hex
        self._token = trio.lowlevel.current_trio_token()
        self._members: dict[_Key, _Member] = {}
        #: When to look after whom; valid where it is the member's own ``due``.
        self._due: list[tuple[float, _Key]] = []
        self._changed = trio.Event()
        self._closing = False

    def visit(self, selection: Selection, name: str) -> Visit:
        """What makes somebody present on these topics while a subscription of them is used."""
        return Visit(self, selection, name)

    async def join(self, selection: Selection, name: str) -> None:
        """A subscription has come; the first under a name is news."""
        keys = [(topic, name) for topic in _present_on(selection)]
        for key in keys:  # all of them before the first checkpoint: `leave` takes all of them back
            self._member(key).count += 1
        for key in keys:
            await self._settle(key)

    def leave(self, selection: Selection, name: str) -> None:
        """A subscription has gone; the last under a name is news, if it stays away."""
        now = trio.current_time()
        for topic in _present_on(selection):
            key = (topic, name)
            member = self._members.get(key)
            if member is not None:  # else the broker is closed, and all have gone
                member.count -= 1
                if not member.count:  # where nobody is told, nobody is spared either
                    member.until = now if _is_untold(topic) else now + self._grace
                self._look_after(key, now if member.count else member.until)

    def leave_soon(self, selection: Selection, name: str) -> None:
        """`leave`, from whatever thread."""
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(self.leave, selection, name)

    async def run(self) -> None:
        """Until cancelled: tell who has left, and what could not be told before."""
        while True:
            self._changed = trio.Event()
            with trio.move_on_at(self._due[0][0] if self._due else inf):
                await self._changed.wait()
            while self._due and self._due[0][0] <= trio.current_time():
                when, key = heappop(self._due)
                member = self._members.get(key)
                if member is not None and member.due == when:
                    member.due = inf
                    await self._settle(key)

    async def keep_alive(self) -> None:
        """Until cancelled: say again who is present, and tell who was so through dead processes."""
        well = True
        while True:
            await trio.sleep(LEASE / 3)
            was_well, well = well, False
            try:
                # What is said into an outage may be heard or not; what is asked does no harm.
                await self._engine.holder("")
                well = await self._say_again()
                # After an outage the other processes, too, are given time to say who is present.
                if was_well or not well:
                    await self._take_lapsed()
            except BrokerError as exc:
                well = False
                # Of nobody who is present nothing is missed; and once is enough.
                level = logging.WARNING if was_well and self._members else logging.DEBUG
                log.log(level, "could not say who is present: %s", exc)

    async def close(self) -> None:
        """Everybody who is present through this process is gone."""
        self._closing = True
        async with trio.open_nursery() as nursery:  # there is little time: all at once
            for key in self._members:
                nursery.start_soon(self._settle, key)

    async def _say_again(self) -> bool:
        for key in list(self._members):
            if not await self._settle(key, again=True):
                if key in self._members:  # the others first next time, in case it is only this one
                    self._members[key] = self._members.pop(key)
                return False
        return True

    async def _take_lapsed(self) -> None:
        for key in await self._engine.lapsed():
            # It is this process's now, until the `leave` is published.
            self._member(key).told = None
            self._look_after(key, trio.current_time())

    def _member(self, key: _Key) -> _Member:
        member = self._members.get(key)
        if member is None:
            member = self._members[key] = _Member()
        return member

    def _look_after(self, key: _Key, when: float) -> None:
        member = self._members[key]
        if when < member.due:
            member.due = when
            heappush(self._due, (when, key))
            self._changed.set()

    async def _settle(self, key: _Key, *, again: bool = False) -> bool:
        """Make the engine and the news say what is true, if they don't (or ``again``).

        False when that failed, and will be tried again.
        """
        member = self._members.get(key)
        if member is None:
            return True
        async with member.lock:
            if self._members.get(key) is not member:
                return True  # gone, and told so, while this waited
            if again or member.told != self._count(member):
                sure, member.told = member.told is not None, None
                try:
                    member.told = await self._tell(key, member, sure=sure)
                except BrokerError as exc:
                    # Presence is no reason to end a broker whose engine cannot be reached.
                    log.log(
                        logging.WARNING if sure else logging.DEBUG,
                        "could not tell who is present, trying again: %s",
                        exc,
                    )
                    self._look_after(key, trio.current_time() + LEASE / 3)
                    return False
                except trio.ClosedResourceError:
                    return False  # the broker has ended: the rest lapses
            if member.told == self._count(member) == 0:
                del self._members[key]
            elif not member.count:
                self._look_after(key, member.until)
            return True

    async def _tell(self, key: _Key, member: _Member, *, sure: bool) -> int:
        """Tell the engine, and publish what is news; returns the count that it was told."""
        count, before, now = await self._say(key, member)
        # What the news say: if an answer was lost, that is not known, and they are told again.
        said = bool(before) if sure else None
        while said != bool(now) and not _is_untold(key[0]):
            said = bool(now)
            await self._publish("join" if said else "leave", key)
            if not count:  # else it is true as long as this process says so
                count, _, now = await self._say(key, member)
        return count

    async def _say(self, key: _Key, member: _Member) -> tuple[int, int, int]:
        topic, name = key
        count = self._count(member)
        lease = lease_of(self._engine)
        return count, *await self._engine.join(topic, name, self._owner, count, lease)

    def _count(self, member: _Member) -> int:
        """How many connections a member has, where one that may be back in a moment is one."""
        if self._closing:
            return 0
        return member.count or int(trio.current_time() < member.until)

    async def _publish(self, event: str, key: _Key) -> None:
        topic, name = key
        body = encode({"name": name}, event=event).data
        await self._publisher.append([Entry(presence_topic(topic), body)])


@final
class Visit:
    """One subscription's presence under a name, while it is used."""

    __slots__ = ("_presence", "_selection", "begun", "name")

    def __init__(self, presence: Presence, selection: Selection, name: str) -> None:
        self._presence = presence
        self._selection = selection
        self.name: str = name
        self.begun: bool = False

    async def begin(self) -> None:
        self.begun = True
        await self._presence.join(self._selection, self.name)

    def end(self) -> None:
        if self.begun:
            self.begun = False
            self._presence.leave(self._selection, self.name)

    def end_soon(self) -> None:
        self._presence.leave_soon(self._selection, self.name)


def _present_on(selection: Selection) -> Iterable[str]:
    """The topics that a subscription is present on: not those it only matches, nor the news."""
    return [name for name in selection.names if not name.startswith("$presence/")]


def _is_untold(topic: str) -> bool:
    """Whether there are no news of it: the watchers of a resumable producer are only counted."""
    return topic.startswith("$")
