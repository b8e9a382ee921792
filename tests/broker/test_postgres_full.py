"""``postgresql://`` on a disk that is full: a real one, of 40 MiB, which only its server sees."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
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

#: Mounts a small disk, and starts what follows as the user who may not do that.
AFTER_MOUNTING = """
mount -t tmpfs -o size=40m,mode=700,uid=$(id -u postgres),gid=$(id -g postgres) small "$0" || exit 9
exec setpriv --reuid=postgres --regid=postgres --clear-groups "$@"
"""

LARGE = "x" * 200_000


@pytest.fixture
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[PostgresServer, Path]]:
    """A server, and its small disk as it is seen from here."""
    unshare, *_ = need("unshare", "mount", "setpriv")
    if os.geteuid() != 0:
        pytest.skip("only root can mount a disk")
    with postgres_server() as server:
        place = server.folder.with_name("small")
        place.mkdir()
        owned(place)
        server.command("stop", "-m", "fast")
        start = [f"{server.programs}/pg_ctl", "-D", server.folder, "-s", "-w", "start"]
        log = server.folder.with_name("log")
        done = subprocess.run(
            [unshare, "--mount", "sh", "-c", AFTER_MOUNTING, place, *start, "-l", log],
            cwd="/",
            timeout=60,
            check=False,
        )
        if done.returncode == 9:
            server.start()  # which is to be ended
            pytest.skip("no disk can be mounted here")
        assert done.returncode == 0
        yield server, Path(f"/proc/{server.pids()[0]}/root{place}")


def database_on(server: PostgresServer, disk: Path) -> str:
    """The URL of a database on that disk, with the schema."""
    with psycopg.connect(server.url(), autocommit=True) as connection:
        place = "/" + str(disk).split("/root/", 1)[1]
        connection.execute(f"CREATE TABLESPACE small LOCATION '{place}'".encode())
        connection.execute("CREATE DATABASE shop TABLESPACE small")
    migrate(server.url("shop"))
    return server.url("shop")


def fill(disk: Path) -> None:
    with (disk / "filler").open("wb", buffering=0) as file:

        def fill_on() -> None:
            while file.write(b"x" * 4096):
                pass

        with pytest.raises(OSError, match="No space left on device"):
            fill_on()


async def fill_up(broker: Broker, topic: str) -> list[str]:
    """Publish until there is no room, which is told at once; returns the ids of what is stored."""
    stored: list[str] = []

    async def publish_on() -> None:
        while True:
            stored.append(await broker.publish(topic, LARGE))

    with trio.fail_after(20), pytest.raises(BrokerUnavailableError, match="No space left on"):
        await publish_on()
    return stored


async def test_a_disk_that_is_full_is_told_and_loses_nothing(
    disk: tuple[PostgresServer, Path],
) -> None:
    server, small = disk
    url = database_on(server, small)
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
                fill(small)
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
            (small / "filler").unlink()
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
