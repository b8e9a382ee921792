"""`open_broker`: an engine and all that is around it, for as long as a block lasts."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import trio

from ..checks import check_count, check_on_trio, check_seconds
from .backchannel import Backchannels
from .broker import Broker
from .contract import Engine, Retention
from .contract.records import ONCE_FOR
from .contract.retention import retention_of
from .disconnects import Disconnects
from .engines import open_engine
from .log.log import MemoryLog
from .presence.left_behind import LeftBehind
from .presence.presence import Presence
from .publisher import Publisher
from .reading.feed import LocalFeed
from .resumable import Runs
from .sources import Sources
from .tally import Counted, brokers
from .unwrapped import unwrapped

__all__ = ["open_broker"]

#: Seconds for the last words to other processes when a broker is closed.
_FAREWELL = 1.0

#: What every broker may be told.
_OPTIONS = (
    *("history", "history_age", "history_bytes", "retention", "memory_bytes"),
    *("presence_grace", "once_for"),
)


@asynccontextmanager
async def open_broker(
    url: str | Engine = "memory://",
    *,
    history: int = 10_000,
    history_age: float | None = None,
    history_bytes: int = 2**20,
    retention: Mapping[str, Retention] | None = None,
    memory_bytes: int = 2**26,
    presence_grace: float = 5.0,
    once_for: float = ONCE_FOR,
    **options: Any,
) -> AsyncGenerator[Broker]:
    """Open a broker, for an application's lifespan: ``async with open_broker(url) as broker``.

    Args:
      url: ``"memory://"`` for one process; ``"sqlite:///path"`` for one process and a history that
        outlives it; ``"postgresql://host/database"`` (with ``trio-stream[postgres]``) and
        ``"redis://host:port/db"`` (with ``trio-stream[redis]``) for many processes;
        or an engine of your own.
      history: events kept of each topic.
      history_age: seconds that they are kept at most, or None.
      history_bytes: bytes kept of each topic, in wire form; the newest event always is.
      retention: what is kept of topics that it names, or matches with patterns, instead of that:
        ``{"chat/*": Retention(events=50, age=3600)}``. The first that matches a topic holds.
      memory_bytes: bytes of events in this process's memory, all topics together. With
        ``memory://`` this is the history; elsewhere what subscribers that are a little behind get
        without asking the engine.
      presence_grace: seconds that somebody may be away, reloading the page, without leaving.
      once_for: seconds for which a key that something was published ``once`` by is known.
      options: the engine's own; see `SqliteEngine`, `PostgresEngine`,
        `RedisEngine`.

    When the block is left, publishers get `trio.ClosedResourceError`, streams end, and iterators
    raise `trio.ClosedResourceError`. What the engine fails with ends the block, with all that the
    broker runs, and is raised as it is.

    Raises:
      TypeError, ValueError: no engine has such a URL, or an option is out of its range.
      BrokerError: the log cannot be opened.
      RuntimeError: there is no Trio run.
    """
    check_on_trio()
    kept = retention_of(Retention(history, history_age, history_bytes), retention)
    check_count("memory_bytes", memory_bytes, least=0)
    check_seconds("presence_grace", presence_grace, zero=True)
    check_seconds("once_for", once_for)
    engine = _engine_of(url, kept, options)
    feed = LocalFeed(engine, kept, memory_bytes)
    publisher = Publisher(engine, feed)
    presence = Presence(engine, LeftBehind(engine, feed, publisher), presence_grace)
    with unwrapped():
        async with trio.open_nursery() as nursery:
            runs = Runs(engine, feed, publisher, presence, nursery)
            sources = Sources(engine, feed, publisher, presence)
            disconnects = Disconnects(engine, feed, publisher, runs)
            await nursery.start(feed.run)
            await nursery.start(presence.run)
            await nursery.start(disconnects.run)
            await nursery.start(sources.run)
            if engine.shared:
                nursery.start_soon(publisher.counting.run)
            _start(nursery, engine, feed, presence, kept)
            brokers.open(counted := Counted(engine, feed, publisher, runs))
            try:
                channels = Backchannels(engine, feed, nursery)
                parts = (engine, feed, publisher, presence, runs, sources, disconnects, channels)
                yield Broker(*parts, once_for)
            finally:
                with trio.move_on_after(_FAREWELL, shield=True):
                    await runs.stop_all()
                    await sources.stop()
                    feed.close()
                    await presence.close()
                feed.close()
                brokers.close(counted)
                nursery.cancel_scope.cancel()


def _start(
    nursery: trio.Nursery, engine: Engine, feed: LocalFeed, presence: Presence, kept: Retention
) -> None:
    """What runs as long as the broker, and has nothing to do before it is used."""
    nursery.start_soon(feed.fanout.run)
    nursery.start_soon(feed.outage.run)
    nursery.start_soon(presence.take_left_behind)
    if engine.shared:
        nursery.start_soon(presence.keep_alive)
    if kept.ages:
        nursery.start_soon(_expire, feed.log, min(kept.ages))


def _engine_of(url: str | Engine, kept: Retention, options: dict[str, Any]) -> Engine:
    if isinstance(url, str):
        return open_engine(url, kept, options, _OPTIONS)
    if not isinstance(url, Engine):
        raise TypeError(f"a URL (memory://) or an engine opens a broker, not {type(url).__name__}")
    if options:
        raise TypeError(f"an engine that is made already takes no options: {', '.join(options)}")
    return url


async def _expire(log: MemoryLog, age: float) -> None:
    while True:
        await trio.sleep(min(age / 4, 60))
        log.expire()
