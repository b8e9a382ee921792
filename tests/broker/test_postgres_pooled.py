"""``postgresql://`` behind PgBouncer, which gives each transaction another connection."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest
import trio

from tests.support.need import need
from tests.support.postgres_server import PostgresServer, free_port, owned, postgres_server
from trio_stream import publish, publisher
from trio_stream.broker import open_broker
from trio_stream.errors import BrokerUnavailableError

SETTINGS = """
[databases]
{name} = host=127.0.0.1 port={server} dbname={name} user=postgres
clerks = host=127.0.0.1 port={server} dbname={name} user=clerk
sessions = host=127.0.0.1 port={server} dbname={name} user=postgres pool_mode=session pool_size=8
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
auth_type = any
pool_mode = transaction
default_pool_size = 2
unix_socket_dir =
"""


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as running:
        yield running


@pytest.fixture
def urls(server: PostgresServer) -> Iterator[tuple[str, str]]:
    """A database's, and the same behind PgBouncer."""
    [program] = need("pgbouncer")
    url, port = server.database(), free_port()
    name = url.rpartition("/")[2]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "settings"
        path.write_text(SETTINGS.format(name=name, server=server.port, port=port))
        owned(Path(folder), path)
        user = {"user": "postgres"} if os.geteuid() == 0 else {}
        with subprocess.Popen(
            [program, path], cwd="/", stderr=subprocess.PIPE, text=True, **user
        ) as process:
            try:
                assert process.stderr is not None
                while "process up" not in (line := process.stderr.readline()):
                    assert line, "PgBouncer has ended"
                yield url, f"postgresql://postgres@127.0.0.1:{port}/{name}"
            finally:
                process.kill()


async def test_publishers_can_be_pooled_and_brokers_say_that_they_cannot(
    urls: tuple[str, str],
) -> None:
    url, pooled = urls
    async with open_broker(url) as broker:
        events = broker.subscribe("t", after="earliest")
        writers = [psycopg.connect(pooled, prepare_threshold=None) for _ in range(6)]
        for number in range(60):
            writer = writers[number % 6]
            publish(writer, "t", number)
            writer.commit()
        with trio.fail_after(30):
            assert [(await anext(events)).data for _ in range(60)] == [*map(str, range(60))]
        for writer in writers:
            writer.close()
    for _ in range(3):
        with pytest.raises(BrokerUnavailableError, match="without a pooler between"):
            async with open_broker(pooled):
                pass
    assert await left_by_others(pooled) == ("on", "0")


async def left_by_others(pooled: str) -> tuple[object, ...]:
    """Settings of a connection that others had before; once no lock of theirs is held any more.

    PostgreSQL lets go of a lock when it has seen that a connection is closed, a little later.
    """
    with psycopg.connect(pooled, prepare_threshold=None) as connection, trio.fail_after(30):
        while True:
            found = connection.execute(
                "SELECT current_setting('enable_seqscan'), current_setting('statement_timeout'), "
                "(SELECT count(*) FROM pg_locks WHERE locktype = 'advisory')"
            ).fetchone()
            assert found
            connection.commit()
            if not found[2]:
                return found[:2]
            await trio.sleep(0.01)


def publish_by(url: str, text: str) -> str:
    """By two publishers at once, and by the command."""
    with publisher(url) as one, publisher(url, outage="raise") as two:
        for n in range(3):
            assert one.publish("t", f"{text} {n}") == ""
            assert two.publish("t", f"{text} likewise {n}") == ""
    command = [sys.executable, "-m", "trio_stream", "publish", url, "t", f"{text} by command"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout


async def test_a_publisher_by_a_pooler_leaves_nothing_to_others(urls: tuple[str, str]) -> None:
    """And has no ids, as there are none when its transaction ends."""
    url, pooled = urls
    with psycopg.connect(url) as connection:
        connection.execute("CREATE ROLE clerk LOGIN")
        connection.execute("SELECT trio_stream.let_publish('clerk', 't')")
    async with open_broker(url) as broker:
        events = broker.subscribe("t", after="earliest")
        for name in (url.rpartition("/")[2], "clerks"):
            address = f"{pooled.rpartition('/')[0]}/{name}"
            await trio.to_thread.run_sync(publish_by, address, name)
            with trio.fail_after(30):
                found = [(await anext(events)).data for _ in range(7)]
            assert found == [
                *(f"{name}{by} {n}" for n in range(3) for by in ("", " likewise")),
                f"{name} by command",
            ]
    assert await left_by_others(pooled) == ("on", "0")


async def test_a_broker_may_have_connections_that_a_pooler_leaves_it(
    urls: tuple[str, str],
) -> None:
    _, pooled = urls
    async with open_broker(f"{pooled.rpartition('/')[0]}/sessions") as broker:
        events = broker.subscribe("t")
        id = await broker.publish("t", "x")
        with trio.fail_after(30):
            assert (await anext(events)).id == id
