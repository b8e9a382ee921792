"""`PostgresEngine`: three connections, one of which feeds the whole process."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Literal, TypeVar, final

import trio

from ...checks import check_choice, check_count
from ..contract import Entry, Feed, Lease, Member, Page, Retention
from ..contract.health import BrokerHealth
from ..contract.topics import Selection
from ..servers.batching import closed
from ..servers.link import health_of
from ..servers.shared_reads import SharedReads
from ..servers.troubles import Troubles, UnreachableError
from ..unwrapped import unwrapped
from .address import parse_address
from .ahead import ReadAhead
from .caretaker import Caretaker
from .entrance import check_schema
from .faults import RefusedError
from .history import History
from .link import Commands, Link
from .live import Live
from .publishing import Publishing, columns_of
from .statements import (
    CLAIM,
    DESCRIBE,
    FIND_ONCE,
    FORGET,
    HOLDER,
    JOIN,
    LAPSED,
    LOCK_OUT,
    MEMBERS,
    PASS_ON,
    PROLONG,
    RELEASE,
)
from .values import read_int
from .wire import Wire

__all__ = ["PostgresEngine"]

T = TypeVar("T")

#: Seconds before what was refused is asked again.
_PAUSE = 0.5

#: What does not work when PostgreSQL answers, and what is kept cannot be read: see `Troubles`.
_READING = "reading"


@final
class PostgresEngine:
    """Events in a database of PostgreSQL 13 or newer, for any number of processes and machines.

    What is published in somebody's transaction is seen when, and only if, that commits. The tables
    are made by ``trio-stream migrate URL``.

    Args:
      url: ``postgresql://[user[:password]@][host][:port]/database``, with parameters of libpq in
        its query: ``?sslmode=verify-full&sslrootcert=file``. With several hosts, the one that can
        be written to. What it leaves out comes from where libpq looks for it: ``PGHOST``,
        ``~/.pgpass``.
      retention: how much of each topic is kept. All processes should say the same.
      outage: what publishing does while PostgreSQL cannot be reached, or refuses what it will do
        after a while. ``"wait"``: it waits, however long, and is stored once whatever happened to
        the first attempt; cancel it to give up, and then it may be stored or not. ``"raise"``:
        `BrokerUnavailableError` after 10 seconds at most. A disk that is full is no outage: that is
        raised.
      max_topics: topics of which a history is kept; those that were published to last.

    An event is stored as safely as the database stores what it commits (``synchronous_commit``).
    After a failover, or when a backup was restored, every subscriber is told of a gap: whether the
    last events got there cannot be known.

    Raises:
      BrokerUnavailableError: PostgreSQL cannot be reached, or answers with an error.
    """

    keeps_history = True
    shared = True

    def __init__(
        self,
        url: str,
        retention: Retention,
        *,
        outage: Literal["wait", "raise"] = "wait",
        max_topics: int = 100_000,
    ) -> None:
        check_choice("outage", outage, ("wait", "raise"))
        check_count("max_topics", max_topics)
        parameters = parse_address(url)
        self._retention = retention
        self._feed: Feed
        self._troubles = Troubles("PostgreSQL")
        self._live = Live(
            lambda: self._publishing.known,
            self._is_told,
            self._leave_others,
            lambda: self._ahead.drop(),
        )
        self._events = Link("events", parameters, self._feed_live, self._troubles)
        self._appending = Commands("appending", parameters, self._enter_alone, self._troubles)
        self._appender = secrets.randbits(63)
        self._asking = Commands("commands", parameters, self._enter, self._troubles)
        self._links = (self._events, self._appending.link, self._asking.link)
        self._publishing = Publishing(
            self._appending, self._live.appended, self._troubles, waits=outage == "wait"
        )
        self._history = History(self._asking.one, retention)
        self._shared = SharedReads(self._history.read)
        self._ahead = ReadAhead(self._history.read, self._shared.read, self._is_idle)
        self._caretaker = Caretaker(self._asking, retention, max_topics)

    async def run(self, feed: Feed, *, task_status: trio.TaskStatus[int]) -> None:
        self._feed = feed
        with unwrapped():
            async with trio.open_nursery() as nursery:
                await nursery.start(self._ahead.run)
                await nursery.start(self._asking.link.run)
                await nursery.start(self._appending.link.run)
                self._live.attach(feed, self._caretaker.fed, self._events, task_status.started)
                await nursery.start(self._events.run)
                nursery.start_soon(self._publishing.run)
                nursery.start_soon(self._caretaker.run, self._live)
                try:
                    await trio.sleep_forever()
                finally:
                    self._publishing.close()

    async def run_publishing(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Run what only publishes, until cancelled; once it has started, it is open."""
        with unwrapped():
            async with trio.open_nursery() as nursery:
                await nursery.start(self._appending.link.run)
                task_status.started()
                nursery.start_soon(self._publishing.run)
                try:
                    await trio.sleep_forever()
                finally:
                    self._publishing.close()

    async def _enter(self, wire: Wire) -> None:
        await check_schema(wire)
        await self._live.enter(wire)

    async def _enter_alone(self, wire: Wire) -> None:
        """Wait until the connection before this is over, at PostgreSQL's end, too.

        What was asked by one that has hung may be done when nobody waits for it any more: it must
        not be after that was tried again.
        """
        await self._enter(wire)
        await wire.ask(LOCK_OUT, self._appender)

    async def _feed_live(self, wire: Wire) -> None:
        await check_schema(wire)
        await self._live.session(wire)

    def _leave_others(self, wire: Wire) -> None:
        """Leave a server that was replaced, and may not know: all connections are to the same."""
        for link in self._links:
            other = link.wire
            if other is not None and other is not wire and other.server != wire.server:
                other.drop("another PostgreSQL is in use than the one that this is connected to")

    def _is_idle(self) -> bool:
        """Whether nobody waits for an answer, but for whoever is being answered."""
        return self._asking.is_idle() and not self._shared.waiting

    def _is_told(self, pid: int) -> bool:
        """Whether what this process of PostgreSQL does is known here without a notification."""
        wire = self._appending.link.wire
        return wire is not None and wire.pid == pid

    def append(
        self, entries: Sequence[Entry], lease: Lease | None = None
    ) -> Coroutine[Any, Any, Sequence[int]]:
        return self._publishing.append(entries, lease)

    async def pass_on(self, entries: Sequence[Entry]) -> None:
        if self._publishing.closed:
            raise closed()
        [number] = await self._appending.one(PASS_ON, *columns_of(entries))
        await self._live.hear(read_int(number or b""))

    async def forget(self, topic: str, id: int | None) -> bool:
        kept = self._retention.of(topic)
        values = (topic.encode(), id, kept.events, kept.bytes, kept.age)
        [found] = await self._asking.one(FORGET, *values)
        self._ahead.drop()
        self._feed.forgotten(topic, id)
        return bool(read_int(found or b""))

    async def find_once(self, topic: str, key: str) -> int | None:
        [found] = await self._asking.one(FIND_ONCE, topic.encode(), key.encode())
        return None if found is None else read_int(found)

    # Reading.

    async def read(self, selection: Selection, after: int, limit: int) -> Page:
        return await self._ask(partial(self._ahead.read, selection, after, limit))

    async def cursor_back(self, selection: Selection, count: int) -> int:
        return await self._ask(partial(self._history.cursor_back, selection, count))

    async def cursor_since(self, selection: Selection, seconds: float) -> int:
        return await self._ask(partial(self._history.cursor_since, seconds))

    async def _ask(self, read: Callable[[], Awaitable[T]]) -> T:
        """Read, if need be after an outage."""
        while True:
            if self._publishing.closed:
                raise closed()
            try:
                found = await read()
            except UnreachableError:
                await trio.sleep(0.01)
                await self._asking.link.wait_up()
            except RefusedError as exc:
                if not exc.passes:
                    raise
                self._troubles.begin(_READING, exc)
                await trio.sleep(_PAUSE)
            else:
                self._troubles.end(_READING)
                return found

    # Leases and presence.

    async def claim(self, name: str, owner: str, seconds: float) -> str | None:
        [held_by] = await self._asking.one(CLAIM, name.encode(), owner.encode(), seconds)
        return None if held_by is None else held_by.decode()

    async def prolong(self, name: str, owner: str, seconds: float) -> bool:
        [done] = await self._asking.one(PROLONG, name.encode(), owner.encode(), seconds)
        return bool(read_int(done or b""))

    async def release(self, name: str, owner: str) -> None:
        await self._asking.ask(RELEASE, name.encode(), owner.encode())

    async def holder(self, name: str) -> str | None:
        [held_by] = await self._asking.one(HOLDER, name.encode())
        return None if held_by is None else held_by.decode()

    async def join(
        self, topic: str, name: str, owner: str, count: int, seconds: float
    ) -> tuple[int, int]:
        values = (topic.encode(), name.encode(), owner.encode(), count, seconds)
        before, now = await self._asking.one(JOIN, *values)
        return read_int(before or b""), read_int(now or b"")

    async def describe(
        self, topic: str, name: str, data: str | None
    ) -> tuple[str | None, str | None]:
        values = (topic.encode(), name.encode(), (data or "").encode())
        before, now = await self._asking.one(DESCRIBE, *values)
        if before is None or now is None:
            return None, None
        return before.decode(), now.decode()

    async def members(self, topic: str) -> Sequence[Member]:
        rows = await self._asking.ask(MEMBERS, topic.encode())
        return [  # in their order, which is UTF-8's as well
            Member((name or b"").decode(), read_int(count or b""), (data or b"").decode())
            for name, count, data in rows
        ]

    async def lapsed(self) -> Sequence[tuple[str, str]]:
        rows = await self._asking.ask(LAPSED)
        return [((topic or b"").decode(), (name or b"").decode()) for topic, name in rows]

    def health(self) -> BrokerHealth:
        return health_of(self._troubles, *self._links)

    def statistics(self) -> dict[str, Any]:
        return {
            "batches": self._publishing.batches,
            "waiting": self._publishing.waiting,
            "numbered": self._live.numbered,
            "looks": self._live.looks,
            "read_ahead": self._ahead.bytes,
            "on_duty": self._live.on_duty,
            "connected": all(link.is_up for link in self._links),
            "connections": sum(link.connects for link in self._links),
        }
