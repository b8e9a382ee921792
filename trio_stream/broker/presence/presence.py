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
from math import inf
from typing import Any, final

import trio
from msgspec import Raw

from ...codec import encode
from ...errors import BrokerError
from ..contract import LEASE, NO_VALUE, Engine, Entry, lease_of
from ..contract.topics import Selection, presence_topic
from .agenda import Agenda, Key
from .left_behind import LeftBehind
from .local_member import LocalMember
from .places import is_untold, present_on

__all__ = ["Presence"]

log: logging.Logger = logging.getLogger("trio_stream")

#: Members that an engine is told of at once.
_TOGETHER = 256

#: What is no JSON: the news have not said what belongs to a name.
_UNKNOWN = ""


@final
class Presence:
    """The members that are present through this process.

    Args:
      engine: knows who is present through all of them.
      left_behind: publishes the news, and knows whom the last process has left.
      grace: seconds that somebody may be away without leaving.
    """

    def __init__(self, engine: Engine, left_behind: LeftBehind, grace: float) -> None:
        self._engine = engine
        self._left_behind = left_behind
        self._grace = grace
        #: Tells this broker from others on the same log, and from itself in an earlier life.
        self._owner = uuid.uuid4().hex
        self._token = trio.lowlevel.current_trio_token()
        self._members: dict[Key, LocalMember] = {}
        self._agenda = Agenda(self._members)
        #: For engines whose answers have a time limit, and must not wait for a crowd's.
        self._turns = trio.Semaphore(_TOGETHER)
        self._closing = False
        #: Whether the log has been told that the engine fails; until it does not.
        self._failing = False

    async def join(self, selection: Selection, name: str, data: str | None) -> None:
        """A subscription has come; the first under a name is news, and so is what belongs to it."""
        keys = [(topic, name) for topic in present_on(selection)]
        for key in keys:  # all of them before the first checkpoint: `leave` takes all of them back
            member = self._member(key)
            member.count += 1
            if data is not None:
                member.data, member.says = data, True
        for key in keys:
            await self._settle(key)

    async def update(self, topic: str, name: str, data: str) -> bool:
        """This belongs to the name from now on; whether anybody is present under it.

        Raises what the engine does: then it is so, or not.
        """
        key = (topic, name)
        try:
            before, now = await self._described(key, data)
        except BaseException:  # it may be so
            self._member(key).owes = True
            self._agenda.add(key, trio.current_time())
            raise
        if before != now:
            member = self._member(key)
            member.owes = True
            if member.count:
                member.data = data
            # If this is cancelled, who comes next tells it; and somebody does.
            self._agenda.add(key, trio.current_time())
            await self._settle(key)
        return now is not None

    def leave(self, selection: Selection, name: str) -> None:
        """A subscription has gone; the last under a name is news, if it stays away."""
        if self._closing:
            return  # all have gone
        now = trio.current_time()
        for topic in present_on(selection):
            key = (topic, name)
            member = self._members.get(key)
            if member is not None:
                member.count -= 1
                if not member.count:
                    member.until = self._may_be_back_until(topic)
                self._agenda.add(key, now if member.count else member.until)

    def leave_soon(self, selection: Selection, name: str) -> None:
        """`leave`, from whatever thread."""
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(self.leave, selection, name)

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Until cancelled: tell who has left, and what could not be told before."""
        await self._left_behind.look()
        task_status.started()
        while True:
            await self._agenda.wait()
            await self._settle_together(self._agenda.take(_TOGETHER))

    async def take_left_behind(self) -> None:
        """Whoever was present through a process that was killed has left, if he does not come."""
        for key in await self._left_behind.find():
            if key not in self._members:
                member = self._member(key)
                member.told, member.until = None, self._may_be_back_until(key[0])
                self._agenda.add(key, member.until)

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
                log.log(level, "could not say who is present: %(error)s", {"error": exc})

    async def close(self) -> None:
        """Everybody who is present through this process is gone.

        Or may be back in a moment, in another process, where there may be one: that tells who is
        not, as it does of those who were present through a process that died.
        """
        self._closing = True
        for (topic, _), member in self._members.items():
            if not self._engine.shared:
                member.until = -inf
            elif member.count:
                member.until = self._may_be_back_until(topic)
        # Once more, as it holds for no longer than that from now on.
        await self._settle_together(self._members, again=self._engine.shared)
        if not self._members:
            with suppress(BrokerError, trio.ClosedResourceError):  # then the next process looks
                await self._left_behind.end()

    async def _say_again(self) -> bool:
        keys = list(self._members)
        for start in range(0, len(keys), _TOGETHER):
            failed = await self._settle_together(keys[start : start + _TOGETHER], again=True)
            for key in failed:
                if key in self._members:  # the others first next time, in case it is only this one
                    self._members[key] = self._members.pop(key)
            if failed:
                return False
        return True

    async def _take_lapsed(self) -> None:
        for key in await self._engine.lapsed():
            # It is this process's now, until the `leave` is published.
            self._member(key).told = None
            self._agenda.add(key, trio.current_time())

    def _member(self, key: Key) -> LocalMember:
        member = self._members.get(key)
        if member is None:
            member = self._members[key] = LocalMember()
        return member

    def _may_be_back_until(self, topic: str) -> float:
        """When who goes now has left; where nobody is told, nobody is spared either."""
        return trio.current_time() + (0 if is_untold(topic) else self._grace)

    async def _settle_together(self, keys: Iterable[Key], *, again: bool = False) -> list[Key]:
        """`_settle` for all of these at once, as an engine does what is asked at once; those left.

        A crowd leaves at once, and there is little time to say again that another one is there.
        """
        failed: list[Key] = []

        async def settle(key: Key) -> None:
            if not await self._settle(key, again=again):
                failed.append(key)

        async with trio.open_nursery() as nursery:
            for key in keys:
                nursery.start_soon(settle, key)
        return failed

    async def _settle(self, key: Key, *, again: bool = False) -> bool:
        """Make the engine and the news say what is true, if they don't (or ``again``).

        False when that failed, and will be tried again.
        """
        member = self._members.get(key)
        if member is None:
            return True
        async with member.lock, self._turns:
            if self._members.get(key) is not member:
                return True  # gone, and told so, while this waited
            if again or member.says or member.owes or member.told != self._count(member):
                sure, member.told = member.told is not None, None
                try:
                    member.told = await self._tell(key, member, sure=sure)
                except BrokerError as exc:
                    # Presence is no reason to end a broker whose engine cannot be reached. Once: an
                    # outage would else be told for each of ten thousand who are present.
                    first, self._failing = sure and not self._failing, True
                    log.log(
                        logging.WARNING if first else logging.DEBUG,
                        "could not tell who is present, trying again: %(error)s",
                        {"error": exc, "topic": key[0]},
                    )
                    self._agenda.add(key, trio.current_time() + LEASE / 3)
                    return False
                except trio.ClosedResourceError:
                    return False  # the broker has ended: the rest lapses
                self._failing = False
            if member.told == self._count(member) == 0:
                del self._members[key]
            elif not member.count:
                self._agenda.add(key, member.until)
            return True

    async def _tell(self, key: Key, member: LocalMember, *, sure: bool) -> int:
        """Tell the engine, and publish what is news; returns the count that it was told."""
        count, before, now = await self._say(key, member)
        # What the news say: if an answer was lost, that is not known, and they are told again.
        said, unclear = (bool(before) if sure else None), not sure
        value = _UNKNOWN  # what a join says that belongs to the name
        if now and (member.says or (member.data != NO_VALUE and not before)):
            was, data = await self._say_value(key, member)
            if not said and not was == data == NO_VALUE:
                value = data
            member.owes = member.owes or was != data or value is not _UNKNOWN
        while said != bool(now) and not is_untold(key[0]):
            said = bool(now)
            if said and unclear:  # a leave may have been told of one who was there
                value = await self._held(key)
                member.owes = member.owes or value is not _UNKNOWN
            await self._publish("join" if said else "leave", key, value if said else _UNKNOWN)
            unclear = True
            if not count:  # else it is true as long as this process says so
                count, _, now = await self._say(key, member)
        while member.owes:
            member.owes = False  # whoever changes it from now on says so
            try:
                await self._tell_value(key, value)
            except BaseException:
                member.owes = True
                raise
            value = _UNKNOWN
        return count

    async def _say_value(self, key: Key, member: LocalMember) -> tuple[str | None, str]:
        """Tell the engine what belongs to a name; returns what it was, and what it is."""
        member.says, data = False, member.data
        try:
            was, _ = await self._described(key, data)
        except BaseException:
            member.says = True
            raise
        return was, data

    async def _held(self, key: Key) -> str:
        """What belongs to a name, if there is anything."""
        if not hasattr(self._engine, "describe"):
            return _UNKNOWN
        _, held = await self._described(key, None)
        return _UNKNOWN if held in {None, NO_VALUE} else str(held)

    async def _tell_value(self, key: Key, value: str | None) -> None:
        """Publish what belongs to a name, until the news say what the engine has.

        Others may say something else at the same time, or leave: whoever publishes last looks last.
        """
        while True:
            _, held = await self._described(key, None)
            if held == value or (held is None and value is _UNKNOWN):
                return
            if held is None:
                await self._publish("leave", key)
            else:
                await self._publish("update", key, held)
            value = held

    async def _described(self, key: Key, data: str | None) -> tuple[str | None, str | None]:
        engine: Any = self._engine  # one that has not got it is refused what would need it
        answer: tuple[str | None, str | None] = await engine.describe(*key, data)
        return answer

    async def _say(self, key: Key, member: LocalMember) -> tuple[int, int, int]:
        topic, name = key
        count = self._count(member)
        lease = lease_of(self._engine)
        if self._closing:
            lease = member.until - trio.current_time()
        return count, *await self._engine.join(topic, name, self._owner, count, lease)

    def _count(self, member: LocalMember) -> int:
        """How many connections a member has, where one that may be back in a moment is one."""
        if member.count and not self._closing:
            return member.count
        return int(trio.current_time() < member.until)

    async def _publish(self, event: str, key: Key, data: str = _UNKNOWN) -> None:
        topic, name = key
        said = {"name": name} if data is _UNKNOWN else {"name": name, "data": Raw(data.encode())}
        body = encode(said, event=event).data
        await self._left_behind.publish(Entry(presence_topic(topic), body))
