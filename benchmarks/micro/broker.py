"""What topics cost without a network: each engine beside the bare thing that it is made of.

`python -m benchmarks.micro.broker` shows, as events a second and as ratios within each round:

* publishing from 1,000 tasks to SQLite (`synchronous=full`), one by one and ten at once, beside
  bare `sqlite3` by 100: a row for each event, its topic, time and key, and an index by topic,
  synchronised in the same way; but events that are in wire form already, nothing that numbers or
  trims them, nobody who reads them, and one task that never waits
* publishing from 1,000 tasks to Redis, beside coredis' pipelined XADD by 100
* a subscriber that is 100,000 events behind, from memory and SQLite, beside a flood on a stream;
  and from SQLite with events that were published alone, each a transaction and a row
* handing events to 500 subscribers that take them for nothing: the fan-out's own work

Publishing is timed once it is under way, after the first fifth: all tasks run, files have grown.

The rounds are interleaved, A B C A B C, and ratios are reckoned inside each. Redis is Debian's
`redis-server`, started for this; without it, or without coredis, its rows are left out. Pin it to a
core of its own: `taskset -c 1 python -m ...`.
"""

from __future__ import annotations

import argparse
import shutil
import sqlite3
import statistics
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, time
from typing import Any

import trio
import trio.testing
from rich.console import Console
from rich.table import Table

from trio_stream import Broker, Stream, open_broker

BODY = b'data: {"n":12345,"text":"hello world hello"}\n\n'
VALUE = {"n": 12345, "text": "hello world hello"}
#: Enough for nothing to be trimmed.
ALL: dict[str, Any] = {"history": 10**6, "history_bytes": 2**30, "memory_bytes": 2**30}

Measure = Callable[[], Awaitable[float]]


class UnderWay:
    """The rate of something, from when a fifth of it is done until it all is."""

    def __init__(self, events: int) -> None:
        self.events = events
        self._done = self._before = 0
        self._begun = self._ended = 0.0

    def add(self, count: int) -> bool:
        """So many more are done; whether there is more to do."""
        self._done += count
        if not self._begun and self._done * 5 >= self.events:
            self._begun, self._before = perf_counter(), self._done
        if not self._ended and self._done >= self.events:
            self._ended = perf_counter()
        return self._done < self.events

    @property
    def rate(self) -> float:
        """Events a second."""
        return (self.events - self._before) / (self._ended - self._begun)


async def bare_sqlite(path: Path, events: int) -> float:
    def run() -> float:
        db = sqlite3.connect(path, isolation_level=None)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute(
            "CREATE TABLE events (id INTEGER PRIMARY KEY, topic INTEGER NOT NULL, "
            "time REAL NOT NULL, key TEXT NOT NULL, event BLOB NOT NULL)"
        )
        db.execute("CREATE INDEX events_of_topic ON events (topic, id)")
        progress = UnderWay(events)
        for start in range(0, events, 100):
            now = time()
            db.execute("BEGIN")
            rows = [(start + n, 1, now, "", BODY) for n in range(100)]
            db.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?)", rows)
            db.execute("COMMIT")
            progress.add(100)
        db.close()
        return progress.rate

    return await trio.to_thread.run_sync(run)


async def publish(url: str, events: int, tasks: int = 1000) -> float:
    async def publisher(broker: Broker, progress: UnderWay) -> None:
        more = True
        while more:
            for _ in range(10):
                await broker.publish("t", VALUE)
            more = progress.add(10)

    return await publish_by(publisher, url, events, tasks)


async def publish_tens(url: str, events: int, tasks: int = 1000) -> float:
    async def publisher(broker: Broker, progress: UnderWay) -> None:
        more = True
        while more:
            await broker.publish_many("t", [VALUE] * 10)
            more = progress.add(10)

    return await publish_by(publisher, url, events, tasks)


async def publish_by(
    publisher: Callable[[Broker, UnderWay], Awaitable[None]], url: str, events: int, tasks: int
) -> float:
    progress = UnderWay(events)
    async with open_broker(url, **ALL) as broker, trio.open_nursery() as nursery:
        for _ in range(tasks):
            nursery.start_soon(publisher, broker, progress)
    return progress.rate


async def pipelined_xadd(url: str, events: int) -> float:
    import coredis

    progress = UnderWay(events)
    async with coredis.Redis.from_url(url) as redis:
        for _ in range(events // 100):
            async with redis.pipeline(transaction=False) as pipe:
                for _ in range(100):
                    pipe.xadd("bare", {"t": "t", "e": BODY})
            progress.add(100)
    return progress.rate


async def flood(events: int) -> float:
    begun = perf_counter()
    found = 0
    async with Stream(["hello world hello"] * events) as stream:
        async for chunk in stream.value:
            found += chunk.count(b"data:")
    assert found == events
    return events / (perf_counter() - begun)


async def catch_up(broker: Broker, events: int) -> float:
    begun = perf_counter()
    found = 0
    async with Stream(broker.subscribe("t", after="earliest")) as stream:
        async for chunk in stream.value:
            found += chunk.count(b"data:")
            if found == events:
                break
    return events / (perf_counter() - begun)


class Taker:
    """A stream's sink that takes everything at once."""

    format = "sse"

    def put(self, value: Any) -> None:
        pass

    def put_nowait(self, event: Any) -> bool:
        return True

    @property
    def express(self) -> Any:
        return self

    def sender(self, frame: bytes) -> None:
        return None

    def sent(self, event: Any, left: int, count: int, now: float) -> None:
        pass

    def add_events(self, count: int) -> None:
        pass

    def relay(self, event: Any) -> None:
        pass

    def ready(self) -> None:
        pass


async def fan_out(events: int, subscribers: int = 500) -> float:
    async with open_broker() as broker, trio.open_nursery() as nursery:
        for _ in range(subscribers):
            nursery.start_soon(broker.subscribe("t").run, Taker())
        await trio.testing.wait_all_tasks_blocked()
        begun = perf_counter()
        for _ in range(events):
            await broker.publish("t", VALUE)
        await trio.testing.wait_all_tasks_blocked()
        seconds = perf_counter() - begun
        assert broker.statistics().delivered == events * subscribers
        nursery.cancel_scope.cancel()
    return events * subscribers / seconds


@asynccontextmanager
async def redis(folder: Path) -> AsyncIterator[str | None]:
    """The URL of a Redis of our own, or None when there is none to be had."""
    program = shutil.which("redis-server")
    if program is None or find_spec("coredis") is None:
        yield None
        return
    path = folder / "redis.sock"
    command = [program, "--port", "0", "--unixsocket", str(path), "--save", "", "--dir", folder]
    run = partial(trio.run_process, [*command, "--logfile", folder / "redis.log"])
    async with trio.open_nursery() as nursery:
        await nursery.start(run)
        while not path.exists():  # noqa: ASYNC110  # it is another process that makes it
            await trio.sleep(0.01)
        yield f"unix://{path}?db=0"
        nursery.cancel_scope.cancel()


async def rounds(events: int, behind: int, repeats: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    with TemporaryDirectory() as name:
        folder = Path(name)
        async with redis(folder) as redis_url:
            for number in range(repeats):
                deep = open_broker(f"sqlite:///{folder}/deep{number}", synchronous="off", **ALL)
                alone = open_broker(f"sqlite:///{folder}/alone{number}", synchronous="off", **ALL)
                async with open_broker(**ALL) as memory, deep as sqlite, alone as singly:
                    for broker in (memory, sqlite):
                        for _ in range(behind // 1000):
                            await broker.publish_many("t", ["hello world hello"] * 1000)
                    for _ in range(behind // 5):
                        await singly.publish("t", "hello world hello")
                    for broker in (sqlite, singly):
                        broker._feed.log.restart(0)  # nothing is left in memory
                    measures: dict[str, Measure] = {
                        "flood on one stream": lambda: flood(behind),
                        "catch-up from memory": lambda b=memory: catch_up(b, behind),
                        "catch-up from SQLite": lambda b=sqlite: catch_up(b, behind),
                        "the same, published singly": lambda b=singly: catch_up(b, behind // 5),
                        "bare sqlite3, by 100": lambda n=number: bare_sqlite(
                            folder / f"bare{n}", events
                        ),
                        "SQLite, 1000 tasks": lambda n=number: publish(
                            f"sqlite:///{folder}/own{n}", events
                        ),
                        "SQLite, 1000 tasks, ten a call": lambda n=number: publish_tens(
                            f"sqlite:///{folder}/tens{n}", events
                        ),
                        "fan-out to 500": lambda: fan_out(events // 10),
                    }
                    if redis_url is not None:
                        measures["coredis XADD, by 100"] = lambda: pipelined_xadd(redis_url, events)
                        measures["Redis, 1000 tasks"] = lambda: publish(redis_url, events)
                    for what, measure in measures.items():
                        found.setdefault(what, []).append(await measure())
    return found


PAIRS = [
    ("catch-up from memory", "flood on one stream", "at least 1"),
    ("catch-up from SQLite", "flood on one stream", "at least 0.5"),
    ("the same, published singly", "flood on one stream", "at least 0.5"),
    ("SQLite, 1000 tasks", "bare sqlite3, by 100", "at least 0.5"),
    ("SQLite, 1000 tasks, ten a call", "bare sqlite3, by 100", "at least 0.5"),
    ("Redis, 1000 tasks", "coredis XADD, by 100", "at least 0.4"),
]


def show(found: dict[str, list[float]], console: Console) -> None:
    table = Table("what", "events/s", "beside", "ratio", "wanted")
    paired = {own: (bare, wanted) for own, bare, wanted in PAIRS}
    for what, figures in found.items():
        row = [what, f"{statistics.median(figures):,.0f}"]
        if what in paired:
            bare, wanted = paired[what]
            ratios = [own / other for own, other in zip(figures, found[bare], strict=True)]
            row += [bare, f"{statistics.median(ratios):.2f}", wanted]
        table.add_row(*row)
    console.print(table)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.micro.broker", description=__doc__)
    parser.add_argument("--repeats", type=int, default=5, help="rounds (default: 5)")
    parser.add_argument(
        "--smoke", action="store_true", help="one short round: that every part runs"
    )
    chosen = parser.parse_args(argv)
    events, behind = (2000, 2000) if chosen.smoke else (50_000, 100_000)
    found = trio.run(rounds, events, behind, 1 if chosen.smoke else chosen.repeats)
    show(found, Console())


if __name__ == "__main__":
    main()
