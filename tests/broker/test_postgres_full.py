"""``postgresql://`` on a disk that is full: a real one, of some MiB, which only its server sees."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
import trio

from tests.support.need import need
from tests.support.postgres_server import PostgresServer, owned, postgres_server
from trio_stream import publish
from trio_stream.broker import Broker, open_broker
from trio_stream.broker.postgres.migrate import migrate
from trio_stream.errors import BrokerUnavailableError

#: Mounts a small disk, which is there until nobody is left to tell.
MOUNTING = """
mount -t tmpfs -o size=48m,mode=700,uid=$(id -u postgres),gid=$(id -g postgres) small "$0" || exit 9
echo mounted; exec cat
"""

LARGE = "x" * 200_000


class SmallDisk:
    """A server that has ended, and an empty disk that it sees when it is started here.

    Attributes:
      place: the disk's folder, as the server calls it.
      seen: the same as it is seen from outside.
    """

    def __init__(self, server: PostgresServer, place: Path, keeper: int, nsenter: str) -> None:
        self.server = server
        self.place = place
        self.seen = Path(f"/proc/{keeper}/root{place}")
        self._enter = [nsenter, f"--mount=/proc/{keeper}/ns/mnt", "setpriv", "--reuid=postgres"]
        self._enter += ["--regid=postgres", "--clear-groups"]

    def start(self) -> None:
        """As the user who may not mount anything."""
        server = self.server
        start = [f"{server.programs}/pg_ctl", "-D", server.folder, "-s", "-w", "start"]
        log = ["-l", server.folder.with_name("log")]
        subprocess.run([*self._enter, *start, *log], cwd="/", timeout=60, check=True)

    def fill(self) -> None:
        with (self.seen / "filler").open("wb", buffering=0) as file:

            def fill_on() -> None:
                while file.write(b"x" * 4096):
                    pass

            with pytest.raises(OSError, match="No space left on device"):
                fill_on()

    def empty(self) -> None:
        (self.seen / "filler").unlink()


@contextmanager
def small_disk(**options: str) -> Iterator[SmallDisk]:
    unshare, nsenter, *_ = need("unshare", "nsenter", "mount", "setpriv")
    if os.geteuid() != 0:
        pytest.skip("only root can mount a disk")
    with postgres_server(**options) as server:
        place = server.folder.with_name("small")
        place.mkdir()
        owned(place)
        command = [unshare, "--mount", "sh", "-c", MOUNTING, place]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as keeper:
            assert keeper.stdin is not None
            assert keeper.stdout is not None
            if keeper.stdout.readline() != b"mounted\n":
                pytest.skip("no disk can be mounted here")
            server.command("stop", "-m", "fast")
            disk = SmallDisk(server, place, keeper.pid, nsenter)
            try:
                yield disk
            finally:
                keeper.stdin.close()


def database_on(disk: SmallDisk) -> str:
    """The URL of a database on that disk, with the schema."""
    disk.start()
    with psycopg.connect(disk.server.url(), autocommit=True) as connection:
        connection.execute(f"CREATE TABLESPACE small LOCATION '{disk.place}'".encode())
        connection.execute("CREATE DATABASE shop TABLESPACE small")
    migrate(disk.server.url("shop"))
    return disk.server.url("shop")


async def fill_up(broker: Broker, topic: str) -> list[str]:
    """Publish until there is no room, which is told at once; returns the ids of what is stored."""
    stored: list[str] = []

    async def publish_on() -> None:
        while True:
            stored.append(await broker.publish(topic, LARGE))

    with trio.fail_after(60), pytest.raises(BrokerUnavailableError, match="No space left on"):
        await publish_on()
    return stored


@pytest.fixture
def disk() -> Iterator[SmallDisk]:
    with small_disk() as there:
        yield there


async def test_a_disk_that_is_full_is_told_and_loses_nothing(disk: SmallDisk) -> None:
    url = database_on(disk)
    with trio.fail_after(60):
        async with (
            open_broker(url) as broker,
            open_broker(url, outage="raise") as strict,
            open_broker(url) as reading,
        ):
            events = reading.subscribe("t", after="earliest")
            ids = [await broker.publish("t", "first")]
            with psycopg.connect(url) as connection:
                publish(connection, "t", f"committed {LARGE}")
                disk.fill()
                ids += await fill_up(broker, "t")
                assert await fill_up(strict, "t") == []
                # What is committed now has no room to be numbered in, and waits for it.
                connection.commit()
                while "No space" not in broker.health().trouble:
                    await trio.sleep(0.02)
                with pytest.raises(psycopg.errors.DiskFull):
                    publish(connection, "t", LARGE)
                connection.rollback()
                with pytest.raises(BrokerUnavailableError, match="No space left on device"):
                    await broker.publish("t", "behind it")
            page = await broker.read("t", limit=1000)
            assert [event.id for event in page.events] == ids
            disk.empty()
            ids.append(await broker.publish("t", "by the broker"))
            ids.append(await strict.publish("t", "last"))
            found = [await anext(events)]
            while found[-1].data != "last":
                found.append(await anext(events))
            theirs = [event for event in found if event.data.startswith("committed")]
            assert [event.id for event in found if event not in theirs] == ids
            assert len(theirs) == 1
            for one in (broker, strict, reading):
                while one.health().trouble or not one.health().reachable:
                    await trio.sleep(0.02)


@pytest.fixture
def wal_disk() -> Iterator[SmallDisk]:
    """One that has the write-ahead log, and nothing else; its database has the schema."""
    sizes = {"max_wal_size": "32MB", "min_wal_size": "32MB"}
    with small_disk(fsync="off", **sizes) as there:
        server = there.server
        wal = server.folder / "pg_wal"
        subprocess.run(["cp", "-a", f"{wal}/.", there.seen], check=True)
        wal.rename(wal.with_name("moved"))
        wal.symlink_to(there.place)
        there.start()
        yield there


async def test_a_log_that_has_no_room_ends_the_server_and_loses_nothing(
    wal_disk: SmallDisk,
) -> None:
    """PostgreSQL ends then, whatever it did: so it is an outage, until somebody starts it."""
    server = wal_disk.server
    url = server.database()
    ids: list[str] = []

    async def publish_all(broker: Broker, numbers: range) -> None:
        for n in numbers:
            ids.append(await broker.publish("t", f"{n} {LARGE}"))

    options = {"history": 1000, "history_bytes": 2**30, "memory_bytes": 1}
    with trio.fail_after(120):
        async with (
            open_broker(url, **options) as broker,  # type: ignore[arg-type]
            open_broker(url, outage="raise") as strict,
            trio.open_nursery() as nursery,
        ):
            events = broker.subscribe("t", after="earliest")
            with psycopg.connect(url) as connection:
                publish(connection, "t", "committed")
            assert (await anext(events)).data == "committed"
            open_one = psycopg.connect(url)
            publish(open_one, "t", "never committed")
            wal_disk.fill()
            for numbers in (range(100), range(100, 200)):
                nursery.start_soon(publish_all, broker, numbers)
            while (server.folder / "postmaster.pid").exists():
                await trio.sleep(0.02)
            assert "No space left on device" in server.log()
            assert len(ids) < 200
            with pytest.raises(BrokerUnavailableError):
                await strict.publish("t", "raised")
            with pytest.raises(psycopg.OperationalError):
                open_one.commit()
            wal_disk.empty()
            await trio.to_thread.run_sync(wal_disk.start)
            found = [await anext(events) for _ in range(200)]
            numbers_of = [int(event.data.split()[0]) for event in found]
            assert sorted(numbers_of) == [*range(200)]
            for first in (0, 100):
                mine = [n for n in numbers_of if first <= n < first + 100]
                assert mine == sorted(mine)
            last = await strict.publish("t", "last")
            assert (await anext(events)).id == last
        assert sorted(ids, key=int) == [event.id for event in found]
