"""``postgresql://`` behind PgBouncer, which gives each transaction another connection."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest
import trio

from tests.support.need import need
from tests.support.postgres_server import PostgresServer, free_port, owned, postgres_server
from trio_stream import publish
from trio_stream.broker import open_broker
from trio_stream.errors import BrokerUnavailableError

SETTINGS = """
[databases]
{name} = host=127.0.0.1 port={server} dbname={name} user=postgres
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
    with pytest.raises(BrokerUnavailableError, match="without a pooler between"):
        async with open_broker(pooled):
            pass
