"""What topics on PostgreSQL cost, beside what they are made of and beside the other engines.

`python -m benchmarks.micro.postgres` shows, with ratios within each round:

* 16 writers, each transaction one event, while a broker serves it to a client's stream, to a task
  that takes each event, and while none does: beside the same with a bare insert into a table with
  an index; by `trio_stream.publish(...)` and by what `publish()` inserts
* the time from a commit in another process to a subscriber of the broker, when nothing else happens
* publishing by the broker, from 1 and from 50 tasks, beside Redis with `appendfsync always`, whose
  file is on the same disk
* catching up 100,000 events, beside SQLite
* 500 who resume at once (`--crowd`), each at an id of its own among the last 20,000, and their
  memory, likewise, and from Redis
* the CPU of handing events to 500 subscribers, publishing included, beside memory
* the CPU of a broker to which nothing is published, and of PostgreSQL then

The rounds are interleaved. PostgreSQL and Redis are Debian's, started for this, and synchronise as
their own defaults say. `pgbench` comes with PostgreSQL.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time, sleep

import psycopg
import trio
import trio.testing
from rich.console import Console

from tests.support.postgres_server import PostgresServer, postgres_server
from tests.support.redis_server import redis_server
from trio_stream import Stream, open_broker, publish
from trio_stream.broker import Broker

WRITERS, SUBSCRIBERS, BEHIND, RESUMED = 16, 500, 100_000, 20_000

console = Console(highlight=False)

_BODY = 'event: order\ndata: {"state": "paid"}\n\n'
_SCRIPTS = {
    "bare": "INSERT INTO bare (topic, body) VALUES ('orders/17', '{\"state\": \"paid\"}');",
    "function": "SELECT trio_stream.publish('orders/17', '{\"state\": \"paid\"}', 'order');",
}
_SCRIPTS["publish()"] = (
    "INSERT INTO trio_stream.outbox (topic, key, but, body, keep, once, once_for, ring) VALUES "
    f"('orders/17', '', '', '\\x{_BODY.encode().hex()}', true, NULL, 300, true);"
)

_SERVING = """
import sys, trio
from trio_stream import Stream, open_broker

async def main():
    async with open_broker(sys.argv[1]) as broker:
        events = broker.subscribe("**")
        if sys.argv[2] == "a stream":
            async with Stream(events) as stream:
                print("open", flush=True)
                async for chunk in stream.value:
                    pass
        print("open", flush=True)
        async for event in events:
            pass

trio.run(main)
"""


@contextmanager
def serving(url: str, to: str = "a stream") -> Iterator[int]:
    """A process with a broker, and a client's stream or a task that takes events; its number."""
    command = [sys.executable, "-c", _SERVING, url, to]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield process.pid
        finally:
            process.kill()


def pgbench(server: PostgresServer, url: str, script: str, seconds: float) -> float:
    """Transactions a second."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "script.sql"
        path.write_text(script)
        done = subprocess.run(
            [
                *(f"{server.programs}/pgbench", "-n", "-M", "prepared", "-c", str(WRITERS)),
                *("-j", "2", "-T", str(int(seconds)), "-f", path, url),
            ],
            capture_output=True,
            text=True,
            check=True,
        )
    found = re.search(r"tps = ([0-9.]+)", done.stdout)
    assert found, done.stdout
    return float(found[1])


def writers(server: PostgresServer, rounds: int, seconds: float) -> None:
    url = server.database()
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE bare (id bigserial PRIMARY KEY, topic text, body text)")
    for to in ("a stream", "a task", "nobody"):
        rates: dict[str, list[float]] = {name: [] for name in _SCRIPTS}
        with nullcontext() if to == "nobody" else serving(url, to):
            for _ in range(rounds):
                for name, script in _SCRIPTS.items():
                    rates[name].append(pgbench(server, url, script, seconds))
                    if to == "nobody":
                        empty_outbox(url)
                    wait_for_outbox(url)
        for name, found in rates.items():
            show(f"16 writers, served to {to}, {name}", found, "a second", rates["bare"])


def empty_outbox(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("TRUNCATE trio_stream.outbox")


def wait_for_outbox(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        while connection.execute("SELECT EXISTS (SELECT FROM trio_stream.outbox)").fetchone() == (
            True,
        ):
            sleep(0.05)


async def latency(server: PostgresServer, count: int) -> None:
    """From before the commit in a thread to the subscriber in this process."""
    url = server.database()
    times: list[float] = []
    async with open_broker(url) as broker, broker.subscribe("t") as events:
        with psycopg.connect(url) as connection:
            for _ in range(count):
                await trio.sleep(0.12)  # so that the broker sleeps
                publish(connection, "t", "x")
                begun = perf_counter()
                await trio.to_thread.run_sync(connection.commit)
                await anext(events)
                times.append(1000 * (perf_counter() - begun))
    times.sort()
    place = times[int(len(times) * 0.99)]
    console.print(
        f"commit to subscriber, quiet: median {statistics.median(times):.1f} ms, p99 {place:.1f}"
    )


async def rate(broker: Broker, tasks: int, seconds: float) -> float:
    """Events a second that so many tasks publish, each one after another."""
    count = 0
    begun = perf_counter()

    async def task() -> None:
        nonlocal count
        while perf_counter() < begun + seconds:
            await broker.publish("t", {"state": "paid"}, event="order")
            count += 1

    async with trio.open_nursery() as nursery:
        for _ in range(tasks):
            nursery.start_soon(task)
    return count / (perf_counter() - begun)


async def publishing(server: PostgresServer, rounds: int, seconds: float) -> None:
    async with redis_server(appendonly="yes", appendfsync="always") as redis:
        for tasks in (1, 50):
            rates: dict[str, list[float]] = {"Redis": [], "PostgreSQL": []}
            async with open_broker(redis.url) as one, open_broker(server.database()) as two:
                for _ in range(rounds):
                    rates["Redis"].append(await rate(one, tasks, seconds))
                    rates["PostgreSQL"].append(await rate(two, tasks, seconds))
            for name, found in rates.items():
                show(f"{tasks} tasks publish, {name}", found, "a second", rates["Redis"])


async def catching_up(server: PostgresServer, rounds: int) -> None:
    with TemporaryDirectory() as folder:
        urls = {"SQLite": f"sqlite:///{folder}/log.db", "PostgreSQL": server.database()}
        rates: dict[str, list[float]] = {name: [] for name in urls}
        options = {"history": BEHIND, "history_bytes": 2**30}
        for url in urls.values():
            async with open_broker(url, **options) as broker:  # type: ignore[arg-type]
                for _ in range(BEHIND // 500):
                    await broker.publish_many("t", [{"state": "paid"}] * 500, event="order")
        with psycopg.connect(urls["PostgreSQL"]) as connection:
            connection.execute("ANALYZE trio_stream.events")  # as autovacuum does sooner or later
        for _ in range(rounds):
            for name, url in urls.items():
                async with open_broker(url, **options) as broker:  # type: ignore[arg-type]
                    rates[name].append(await catch_up(broker))
        for name, found in rates.items():
            show(f"catching up 100,000, {name}", found, "a second", rates["SQLite"])


async def catch_up(broker: Broker) -> float:
    size = 0
    last = (await broker.publish("end", "x")).encode()
    begun = perf_counter()
    async with Stream(broker.subscribe("t", "end", after="earliest")) as stream:
        async for chunk in stream.value:
            size += len(chunk)
            if last in chunk:
                break
    return BEHIND / (perf_counter() - begun)


async def resuming(server: PostgresServer, rounds: int, crowd: int) -> None:
    with TemporaryDirectory() as folder:
        urls = {"SQLite": f"sqlite:///{folder}/log.db", "PostgreSQL": server.database()}
        if shutil.which("redis-server") is None:
            await resuming_from(urls, rounds, crowd)
            return
        async with redis_server() as redis:
            await resuming_from({**urls, "Redis": redis.url}, rounds, crowd)


async def resuming_from(urls: dict[str, str], rounds: int, crowd: int) -> None:
    times: dict[str, list[float]] = {name: [] for name in urls}
    memory: dict[str, list[float]] = {name: [] for name in urls}
    ids: dict[str, list[str]] = {name: [] for name in urls}
    options = {"history": RESUMED, "history_bytes": 2**30}
    for name, url in urls.items():
        async with open_broker(url, **options) as broker:  # type: ignore[arg-type]
            for _ in range(RESUMED // 500):
                ids[name] += await broker.publish_many("t", [{"about": "x" * 50}] * 500)
    for _ in range(rounds):
        for name, url in urls.items():
            async with open_broker(url, **options) as broker:  # type: ignore[arg-type]
                before = memory_used()
                seconds, most = await resume_all(broker, ids[name], crowd)
            times[name].append(seconds)
            memory[name].append((most - before) / 2**20)
    for name, found in times.items():
        show(f"{crowd} resume at once, {name}", found, "s until all are there", times["SQLite"])
        show(f"{crowd} resume at once, {name}", memory[name], "MiB at most", memory["SQLite"])


async def resume_all(broker: Broker, ids: Sequence[str], crowd: int) -> tuple[float, int]:
    """The seconds until all have had all, and the most memory that the process had meanwhile."""
    last = (await broker.publish("end", "x")).encode()
    choose = random.Random(crowd)
    begun, most = perf_counter(), 0

    async def client() -> None:
        nonlocal most
        async with Stream(broker.subscribe("t", "end", after=choose.choice(ids))) as stream:
            async for chunk in stream.value:
                most = max(most, memory_used())
                if last in chunk:
                    break

    async with trio.open_nursery() as nursery:
        for _ in range(crowd):
            nursery.start_soon(client)
    return perf_counter() - begun, most


def memory_used() -> int:
    """Bytes that this process has in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def fanning_out(server: PostgresServer, rounds: int, seconds: float) -> None:
    urls = {"memory": "memory://", "PostgreSQL": server.database()}
    costs: dict[str, list[float]] = {name: [] for name in urls}
    for _ in range(rounds):
        for name, url in urls.items():
            async with open_broker(url) as broker:
                costs[name].append(await fan_out(broker, seconds))
    for name, found in costs.items():
        show(f"fan-out to 500, 20 a second, {name}", found, "us of CPU for each", costs["memory"])


async def fan_out(broker: Broker, seconds: float) -> float:
    """Microseconds of CPU of this process for each event that a subscriber takes."""

    async def client() -> None:
        async with Stream(broker.subscribe("t")) as stream:
            async for _ in stream.value:
                pass

    async with trio.open_nursery() as nursery:
        for _ in range(SUBSCRIBERS):
            nursery.start_soon(client)
        await trio.testing.wait_all_tasks_blocked(0.1)
        before, delivered = process_time(), broker.statistics().delivered
        for _ in range(int(seconds * 20)):
            await broker.publish("t", {"state": "paid"}, event="order")
            await trio.sleep(0.05)
        cost = process_time() - before
        count = broker.statistics().delivered - delivered
        nursery.cancel_scope.cancel()
    return 1e6 * cost / count


def idling(server: PostgresServer, seconds: float) -> None:
    with serving(server.database()) as pid:
        sleep(2)
        mine, theirs = cpu_of(pid), sum(map(cpu_of, server.pids()))
        sleep(seconds)
        mine, theirs = cpu_of(pid) - mine, sum(map(cpu_of, server.pids())) - theirs
    console.print(
        f"idle: {100 * mine / seconds:.2f} % of a core for the broker, "
        f"{100 * theirs / seconds:.2f} % for PostgreSQL"
    )


def cpu_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def show(what: str, found: Sequence[float], unit: str, beside: Sequence[float]) -> None:
    ratios = [mine / other for mine, other in zip(found, beside, strict=True)]
    console.print(
        f"{what}: {statistics.median(found):,.1f} {unit}, ratio {statistics.median(ratios):.2f} "
        f"({min(ratios):.2f} to {max(ratios):.2f})"
    )


async def in_trio(
    server: PostgresServer, rounds: int, seconds: float, chosen: set[str], crowd: int
) -> None:
    if "latency" in chosen:
        await latency(server, max(20, int(40 * seconds)))
    if "publishing" in chosen:
        await publishing(server, rounds, seconds)
    if "catching-up" in chosen:
        await catching_up(server, rounds)
    if "resuming" in chosen:
        await resuming(server, rounds, crowd)
    if "fan-out" in chosen:
        await fanning_out(server, rounds, seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    names = ("writers", "latency", "publishing", "catching-up", "resuming", "fan-out", "idle")
    parser.add_argument("what", nargs="*", metavar="WHAT", help=", ".join(names))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--crowd", type=int, default=SUBSCRIBERS)
    given = parser.parse_args()
    chosen = set(given.what or names)
    if shutil.which("redis-server") is None:
        chosen.discard("publishing")
    with postgres_server(shared_buffers="128MB") as server:
        if "writers" in chosen:
            writers(server, given.rounds, given.seconds)
        trio.run(in_trio, server, given.rounds, given.seconds, chosen, given.crowd)
        if "idle" in chosen:
            idling(server, given.seconds * 5)


if __name__ == "__main__":
    main()
