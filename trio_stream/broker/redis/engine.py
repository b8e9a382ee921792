"""`RedisEngine`: appends in batches, one reader for the whole process."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence
from typing import Any, Literal, final

import outcome
import trio

from ...errors import BrokerUnavailableError
from ..contract import Entry, Feed, Member, Page, Record, Retention, wire_form
from ..topics import Selection
from ..unwrapped import unwrapped
from . import scripts
from .history import History
from .keys import Keys
from .link import Link, UnreachableError
from .places import new_connections

__all__ = ["RedisEngine"]

log = logging.getLogger("trio_stream")

#: Events, and bytes of them, that go to Redis at once.
_BATCH, _BATCH_BYTES = 1000, 2**20

#: Entries that are read at once, and milliseconds that Redis waits for the first of them.
_READ, _BLOCK = 1000, 5000

#: Seconds that Redis remembers a publish, so that one that is tried again is not done again.
_TOKEN = 3600


class _Waiting:
    """A publish on its way, and the task that waits for it, unless it has been cancelled."""

    __slots__ = ("entries", "ids", "task")

    def __init__(self, entries: Sequence[Entry], task: trio.lowlevel.Task | None) -> None:
        self.entries = entries
        self.task = task
        self.ids: Sequence[int] = ()

    def resolve(self, result: outcome.Maybe[Sequence[int]]) -> None:
        task, self.task = self.task, None
        if task is not None:
            trio.lowlevel.reschedule(task, result)


@final
class RedisEngine:
    """Events in Redis 7 or newer (or Valkey), for any number of processes and machines.

    Args:
      url: ``redis://[user:password@]host[:port][/db]``, ``rediss://`` for TLS, or
        ``unix:///path?db=0``. ``redis+sentinel://host[:port],host[:port]/service`` asks these
        sentinels for each connection who the primary of this service is. With
        ``redis+cluster://host[:port],host[:port]`` these nodes are asked who has the broker's keys,
        which all lie in one slot. What is special in a login is escaped as in any URL.
        TLS: the certificate must be one for this host, by an authority that the system trusts, or
        ``?ssl_ca_certs=file``; ``ssl_certfile`` and ``ssl_keyfile`` are the client's own.
      retention: how much of each topic is kept. All processes should say the same.
      outage: what publishing does while Redis cannot be reached. ``"wait"``: it waits, however
        long, and is stored once whatever happened to the first attempt; cancel it to give up, and
        then it may be stored or not. ``"raise"``: `BrokerUnavailableError` after 5 seconds at most.
      prefix: of all keys; brokers with different ones know nothing of each other.
      live_events: entries of the stream from which processes read what is new. A process that was
        cut off for longer lets its subscribers read what they missed from their topics.
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
        max_topics: int = 100_000,
    ) -> None:
        if outage not in {"wait", "raise"}:
            raise ValueError(f"outage is 'wait' or 'raise', not {outage!r}")
        self._keys = Keys(prefix)
        self._waits = outage == "wait"
        age = 0 if retention.age is None else max(1, int(retention.age * 1000))
        self._bounds = (retention.events, retention.bytes, age, live_events, max_topics, _TOKEN)
        self._waiting: list[_Waiting] = []
        self._work = trio.Event()
        #: The newest id that this process knows, acknowledged or read.
        self._known = 0
        #: Up to where the reader has read.
        self._read_to = 0
        self._batches = 0
        self._closing = False
        self._feed: Feed
        connect = new_connections(url, self._keys.log)
        self._commands = Link(connect, self._enter)
        self._reading = Link(connect, self._enter)
        self._history = History(self._commands, self._keys, age)

    async def run(self, feed: Feed, *, task_status: trio.TaskStatus[int]) -> None:
        self._feed = feed
        with unwrapped():
            async with trio.open_nursery() as nursery:
                await nursery.start(self._commands.run)
                await nursery.start(self._reading.run)
                task_status.started(self._read_to)
                nursery.start_soon(self._read_live)
                nursery.start_soon(self._write)
                try:
                    await trio.sleep_forever()
                finally:
                    self._closing = True
                    for waiting in self._waiting:
                        waiting.resolve(outcome.Error(_closed()))

    async def _enter(self, link: Link) -> None:
        """The first thing on every connection: see `scripts.ENTER`."""
        keys = self._keys
        last, base = await link.call(scripts.ENTER, [keys.log, keys.live, keys.cuts], self._known)
        if not self._read_to:
            self._read_to = int(last)
        elif int(base) > self._read_to:  # it is another log than the one that was read so far
            self._read_to = int(last)
            self._feed.interrupted(int(last))
        self._known = max(self._known, int(last))

    # Publishing.

    async def append(self, entries: Sequence[Entry]) -> Sequence[int]:
        if self._closing:
            raise _closed()
        waiting = _Waiting(entries, trio.lowlevel.current_task())
        self._waiting.append(waiting)
        self._work.set()

        def abort(_: object) -> trio.lowlevel.Abort:
            waiting.task = None
            if waiting in self._waiting:
                self._waiting.remove(waiting)
            return trio.lowlevel.Abort.SUCCEEDED

        ids: Sequence[int] = await trio.lowlevel.wait_task_rescheduled(abort)
        return ids

    async def _write(self) -> None:
        while True:
            await self._work.wait()
            if not self._waiting:
                self._work = trio.Event()
                continue
            await self._store(self._next_batch())

    async def _store(self, batch: list[_Waiting]) -> None:
        """Store a batch, and tell each who waits."""
        result: outcome.Maybe[int] = outcome.Error(_closed())
        try:
            result = outcome.Value(await self._append(batch))
        except UnreachableError as exc:
            result = outcome.Error(exc)
        except BrokerUnavailableError as exc:
            result = outcome.Error(exc)
            if len(batch) > 1:  # nothing of it is stored, maybe because of a single topic
                result = outcome.Error(_closed())  # to whom this does not get
                for waiting in batch:
                    if waiting.task is not None:
                        await self._store([waiting])
        finally:
            _resolve(batch, result)

    def _next_batch(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        count = size = 0
        for waiting in self._waiting:
            count += len(waiting.entries)
            size += sum(len(entry.body) for entry in waiting.entries)
            if batch and (count > _BATCH or size > _BATCH_BYTES):
                break
            batch.append(waiting)
        del self._waiting[: len(batch)]
        return batch

    async def _append(self, batch: list[_Waiting]) -> int:
        """Store a batch; returns the first of its ids."""
        keys, args = self._pack([entry for waiting in batch for entry in waiting.entries])
        while True:
            try:
                first = int(await self._commands.call(scripts.APPEND, keys, self._known, *args))
            except UnreachableError:
                if not self._waits:
                    raise
                if all(waiting.task is None for waiting in batch):
                    return 0  # nobody waits for it any more
                await trio.sleep(0.01)
                await self._commands.wait_up()
            else:
                self._batches += 1
                count = sum(len(waiting.entries) for waiting in batch)
                self._known = max(self._known, first + count - 1)
                return first

    def _pack(self, entries: Sequence[Entry]) -> tuple[list[str], list[Any]]:
        keys = self._keys
        topics = {topic: n for n, topic in enumerate({entry.topic: 0 for entry in entries}, 1)}
        args: list[Any] = [*self._bounds, keys.topic(""), len(topics), *topics]
        for entry in entries:
            args += (topics[entry.topic], entry.key, entry.body)
        token = keys.token(uuid.uuid4().hex)
        return [keys.log, keys.live, keys.heads, token, *map(keys.topic, topics)], args

    # Reading.

    async def _read_live(self) -> None:
        """Feed what any process appends."""
        while True:
            await self._reading.wait_up()
            try:
                answer = await self._reading.request(
                    *(b"XREAD", b"COUNT", _READ, b"BLOCK", _BLOCK),
                    *(b"STREAMS", self._keys.live, f"{self._read_to}-0"),
                    timeout=_BLOCK / 1000 + 5,
                )
            except UnreachableError:
                await trio.sleep(0.01)
            except BrokerUnavailableError as exc:
                log.error("what is new cannot be read, trying again: %s", exc)
                await trio.sleep(1)
            else:
                if answer is not None:
                    self._take(answer[self._keys.live.encode()])

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
                records.append(Record(id, topic, key, wire_form(id, body)))
        self._known = max(self._known, self._read_to)
        self._feed.records(records)

    async def read(self, selection: Selection, after: int, limit: int) -> Page:
        while True:
            if self._closing:
                raise _closed()
            try:
                return await self._history.read(selection, after, limit)
            except UnreachableError:
                await trio.sleep(0.01)
                await self._commands.wait_up()

    # Leases and presence.

    async def claim(self, name: str, owner: str, seconds: float) -> str | None:
        keys = [self._keys.lease(name)]
        holder = await self._commands.call(scripts.CLAIM, keys, owner, _ms(seconds))
        return None if holder is None else holder.decode()

    async def release(self, name: str, owner: str) -> None:
        await self._commands.call(scripts.RELEASE, [self._keys.lease(name)], owner)

    async def holder(self, name: str) -> str | None:
        holder = await self._commands.request(b"GET", self._keys.lease(name))
        return None if holder is None else holder.decode()

    async def join(
        self, topic: str, name: str, owner: str, count: int, seconds: float
    ) -> tuple[int, int]:
        keys = [self._keys.present(topic), self._keys.members]
        args = (topic, owner, name, count, _ms(seconds))
        before, now = await self._commands.call(scripts.JOIN, keys, *args)
        return int(before), int(now)

    async def members(self, topic: str) -> Sequence[Member]:
        found = await self._commands.call(scripts.MEMBERS, [self._keys.present(topic)])
        return sorted(
            (Member(name.decode(), int(count)) for name, count in found), key=lambda m: m.name
        )

    async def lapsed(self) -> Sequence[tuple[str, str]]:
        gone = await self._commands.call(
            scripts.LAPSED, [self._keys.members], self._keys.present("")
        )
        return [(topic.decode(), name.decode()) for topic, name in gone]

    def statistics(self) -> dict[str, Any]:
        return {
            "batches": self._batches,
            "waiting": len(self._waiting),
            "connected": self._commands.is_up and self._reading.is_up,
            "connections": self._commands.connects + self._reading.connects,
        }


def _resolve(batch: Sequence[_Waiting], result: outcome.Maybe[int]) -> None:
    first = result.value if isinstance(result, outcome.Value) else 0
    for waiting in batch:
        following = first + len(waiting.entries)
        if isinstance(result, outcome.Value):
            waiting.resolve(outcome.Value(range(first, following)))
        else:
            waiting.resolve(outcome.Error(_copy(result.error)))
        first = following


def _copy(error: BaseException) -> BaseException:
    """One for each task that raises it: a traceback is one task's."""
    copy = type(error)(*error.args)
    copy.__cause__ = error.__cause__
    return copy


def _closed() -> trio.ClosedResourceError:
    return trio.ClosedResourceError("the broker is closed")


def _ms(seconds: float) -> int:
    return max(1, int(seconds * 1000))
