"""`RedisEngine`: two connections, one reader for the whole process."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Literal, TypeVar, final

import trio
from coredis.connection import Location

from ...checks import check_choice, check_count, check_text
from ...errors import BrokerUnavailableError
from ..contract import Entry, Feed, Lease, Page, Record, Retention, wire_form
from ..contract.health import BrokerHealth
from ..contract.topics import Selection
from ..servers.batching import closed
from ..servers.link import health_of
from ..servers.shared_reads import SharedReads
from ..servers.troubles import Troubles, UnreachableError
from ..unwrapped import unwrapped
from .address import parse_address
from .entrance import Entrance
from .history import History
from .keys import Keys
from .leases import RedisLeases
from .link import Link
from .places import find_places
from .publishing import Publishing, age_in_ms
from .wire import RefusedError, Wire

__all__ = ["RedisEngine"]

T = TypeVar("T")

#: Entries that are read at once, and milliseconds that Redis waits for the first of them.
_READ, _BLOCK = 1000, 5000

#: Seconds before what was refused is tried again.
_PAUSE = 1.0

#: Seconds between two looks whether the primary is still the same, where somebody can be asked.
_LOOK = 5.0

#: What does not work when Redis answers, and what is new cannot be read: see `Troubles`.
_READING = "reading"


@final
class RedisEngine(RedisLeases):
    """Events in Redis 6.2 or newer, or Valkey, for any number of processes and machines.

    Args:
      url: ``redis://[user:password@]host[:port][/db]``, ``rediss://`` for TLS, or
        ``unix:///path?db=0``. ``redis+sentinel://host[:port],host[:port]/service`` asks these
        sentinels for each connection, and every five seconds, who the service's primary is. With
        ``redis+cluster://host[:port],host[:port]`` these nodes are asked who has the broker's keys,
        which all lie in one slot. What is special in a login is escaped as in any URL.
        TLS: the certificate must be one for this host, by an authority that the system trusts, or
        ``?ssl_ca_certs=file``; ``ssl_certfile`` and ``ssl_keyfile`` are the client's own;
        ``ssl_check_hostname=false`` and ``ssl_cert_reqs=none`` ask for less. ``valkey`` may stand
        for ``redis``.
      retention: how much of each topic is kept. All processes should say the same, and so with the
        other bounds: who finds that they don't logs a warning when it opens.
      outage: what publishing does while Redis cannot be reached, or refuses what it will do after a
        while. ``"wait"``: it waits, however long, and is stored once whatever happened to the first
        attempt; cancel it to give up, and then it may be stored or not. ``"raise"``:
        `BrokerUnavailableError` after 5 seconds at most. A Redis that is full (``OOM``) is no
        outage: that is raised.
      prefix: of all keys; brokers with different ones know nothing of each other.
      live_events, live_bytes: how much there is of the stream from which processes read what is
        new. One that was cut off for longer lets its subscribers read what they missed from their
        topics.
      max_topics: topics of which a history is kept; those that were published to last.

    Nothing that was acknowledged is lost by a Redis with ``appendfsync always`` that crashes. With
    less it may be, and with it what proves that it was there: as long as any process still knows a
    later id than Redis does, every subscriber is told of a gap. A Redis that evicts keys should
    evict none of these (``volatile-*``, or ``noeviction``); what it does evict is a gap.

    Raises:
      BrokerUnavailableError: Redis cannot be reached, or answers with an error.
    """

    keeps_history = True
    shared = True

    def __init__(
        self,
        url: str,
        retention: Retention,
        *,
        outage: Literal["wait", "raise"] = "wait",
        prefix: str = "trio_stream",
        live_events: int = 10_000,
        live_bytes: int = 2**24,
        max_topics: int = 100_000,
    ) -> None:
        check_choice("outage", outage, ("wait", "raise"))
        check_text("prefix", prefix)
        check_count("live_events", live_events)
        check_count("live_bytes", live_bytes)
        check_count("max_topics", max_topics)
        keys = Keys(prefix)
        options: dict[str, object] = {
            "history": retention.events,
            "history_bytes": retention.bytes,
            "history_age": None if retention.age is None else float(retention.age),
            "live_events": live_events,
            "live_bytes": live_bytes,
            "max_topics": max_topics,
        }
        if retention.table:
            options["retention"] = retention.table
        bounds = (live_events, live_bytes, max_topics)
        #: Up to where the reader has read.
        self._read_to = 0
        #: Whether what it reads was there before it had a connection.
        self._late = False
        self._feed: Feed
        self._reads = False
        self._troubles = Troubles("Redis")
        self._entrance = Entrance(keys, options, self._troubles, self._entered)
        places = find_places(parse_address(url), keys.log)
        self._find_primary, connect = places.find, places.connect
        greet_live = partial(self._entrance.greet, live=True)
        super().__init__(Link("commands", connect, self._greet, self._troubles), keys)
        self._reading = Link("events", connect, greet_live, self._troubles)
        self._history = History(self._commands, keys, lambda topic: age_in_ms(retention.of(topic)))
        self._shared = SharedReads(self._history.read, self._history.is_lost)
        self._publishing = Publishing(
            *(self._commands, keys, retention, bounds, self._entrance, self._troubles),
            waits=outage == "wait",
        )

    async def run(self, feed: Feed, *, task_status: trio.TaskStatus[int]) -> None:
        self._feed, self._reads = feed, True
        with unwrapped():
            async with trio.open_nursery() as nursery:
                await nursery.start(self._commands.run)
                await nursery.start(self._reading.run)
                task_status.started(self._read_to)
                nursery.start_soon(self._read_live)
                nursery.start_soon(self._entrance.enter_when_it_may, self._commands)
                nursery.start_soon(self._publishing.run)
                if self._find_primary is not None:
                    nursery.start_soon(self._follow_primary, self._find_primary)
                try:
                    await trio.sleep_forever()
                finally:
                    self._publishing.close()

    async def _follow_primary(self, find: Callable[[], Awaitable[Location]]) -> None:
        """Leave a primary that was replaced, and does not know: it is cut off, and we are with it.

        What is written to it is lost once it hears of that.
        """
        while True:
            await trio.sleep(_LOOK)
            with suppress(BrokerUnavailableError):  # nobody who would know better can be asked
                primary = await find()
                self._commands.go_to(primary)
                self._reading.go_to(primary)

    async def run_publishing(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Run what only publishes, until cancelled; once it has started, it is open."""
        with unwrapped():
            async with trio.open_nursery() as nursery:
                await nursery.start(self._commands.run)
                task_status.started()
                nursery.start_soon(self._entrance.enter_when_it_may, self._commands)
                nursery.start_soon(self._publishing.run)
                try:
                    await trio.sleep_forever()
                finally:
                    self._publishing.close()

    async def _greet(self, wire: Wire) -> str:
        """Greet a connection for commands. What is new is read where these go, and nowhere else."""
        run = await self._entrance.greet(wire, live=False)
        if self._reading.redis_run != run:
            self._reading.drop("what is new is read from another Redis than the one in use")
        return run

    def _entered(self, last: int, base: int) -> None:
        """A connection has come into the log."""
        if not self._reads:
            return
        if not self._read_to:
            self._read_to = last
        elif base > self._read_to:  # it is another log than the one that was read so far
            self._read_to = last
            self._feed.interrupted(last)

    def append(
        self, entries: Sequence[Entry], lease: Lease | None = None
    ) -> Coroutine[Any, Any, Sequence[int]]:
        # Not one more coroutine to wake up through.
        return self._publishing.append(entries, lease)

    async def pass_on(self, entries: Sequence[Entry]) -> None:
        await self._publishing.pass_on(entries)

    async def forget(self, topic: str, id: int | None) -> bool:
        found = await self._publishing.forget(topic, id)
        self._feed.forgotten(topic, id)
        return found

    async def find_once(self, topic: str, key: str) -> int | None:
        found = await self._commands.request(b"GET", self._keys.once(topic, key))
        holes = await self._commands.request(b"GET", self._keys.holes(topic))
        upto = 0 if holes is None else int(holes.split(b":")[2])
        return None if found is None or int(found) <= upto else int(found)

    # Reading.

    async def _read_live(self) -> None:
        """Feed what any process appends.

        What has only passed while there was no connection is too late for anybody: on a new one,
        what is there already is read without waiting for more, and that is left out of it.
        """
        connection = self._reading.connects
        while True:
            await self._reading.wait_up()
            connection_now = self._reading.connects
            self._late = late = connection != connection_now
            try:
                answer = await self._reading.request(
                    *(b"XREAD", b"COUNT", _READ, *(() if late else (b"BLOCK", _BLOCK))),
                    *(b"STREAMS", self._keys.live, f"{self._read_to}-0"),
                    timeout=_BLOCK / 1000 + 5,
                )
            except UnreachableError:
                await trio.sleep(0.01)
            except RefusedError as exc:
                self._troubles.begin(_READING, exc)
                await trio.sleep(_PAUSE)
            else:
                self._troubles.end(_READING)
                found = () if answer is None else answer[self._keys.live.encode()]
                if len(found) < _READ:
                    connection = connection_now
                self._take(found)

    def _take(self, entries: Sequence[Any]) -> None:
        records: list[Record] = []
        for raw_id, fields in entries:
            id = int(raw_id[:-2])
            if int(fields[1]) > self._read_to or fields[2] == b"lost":
                # There were others before it that have been trimmed already, or lost.
                self._feed.records(records)
                records = []
                self._feed.interrupted(id if fields[2] == b"lost" else int(fields[1]))
            self._read_to = id
            if fields[2] == b"t":
                topic, key, body = fields[3].decode(), fields[5].decode(), fields[7]
                but = fields[9].decode() if len(fields) > 9 else ""
                records.append(Record(id, topic, key, wire_form(id, body), but))
            elif fields[2] == b"f":
                self._feed.records(records)
                records = []
                self._feed.forgotten(fields[3].decode(), int(fields[5]) if fields[5] else None)
            elif fields[2] == b"x" and not self._late:
                self._feed.records(records)
                records = []
                names = [fields[n].decode() for n in (3, 5, 9)]
                self._feed.passing([Record(0, names[0], names[1], fields[7], names[2])])
        self._entrance.known = max(self._entrance.known, self._read_to)
        self._feed.records(records)

    async def read(self, selection: Selection, after: int, limit: int) -> Page:
        return await self._ask(partial(self._shared.read, selection, after, limit))

    async def cursor_back(self, selection: Selection, count: int) -> int:
        return await self._ask(partial(self._history.cursor_back, selection, count))

    async def cursor_since(self, selection: Selection, seconds: float) -> int:
        return await self._ask(partial(self._history.cursor_since, selection, seconds))

    async def _ask(self, read: Callable[[], Awaitable[T]]) -> T:
        """Read, if need be after an outage."""
        while True:
            if self._publishing.closed:
                raise closed()
            try:
                return await read()
            except UnreachableError:
                await trio.sleep(0.01)
                await self._commands.wait_up()
            except RefusedError as exc:
                if not exc.passes:
                    raise
                self._troubles.begin(_READING, exc)
                await trio.sleep(_PAUSE)

    def health(self) -> BrokerHealth:
        return health_of(self._troubles, self._commands, self._reading)

    def statistics(self) -> dict[str, Any]:
        return {
            "batches": self._publishing.batches,
            "waiting": self._publishing.waiting,
            "connected": self._commands.is_up and self._reading.is_up,
            "connections": self._commands.connects + self._reading.connects,
        }
