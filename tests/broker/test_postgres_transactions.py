"""Publishing to ``postgresql://`` from outside: in somebody's transaction, and by `publisher`."""

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import django.conf
import psycopg
import pytest
import sqlalchemy
import sqlalchemy.orm
import trio

import trio_stream
from tests.support.postgres_server import PostgresServer, postgres_server
from trio_stream import publish
from trio_stream.broker import Subscription, open_broker
from trio_stream.errors import BrokerUnavailableError


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as running:
        yield running


@pytest.fixture
def url(server: PostgresServer) -> str:
    return server.database()


async def texts(events: Subscription, count: int) -> list[str]:
    with trio.fail_after(30):
        return [(await anext(events)).data for _ in range(count)]


def by_psycopg(url: str) -> None:
    with psycopg.connect(url) as connection:
        publish(connection, "orders/1", "rolled back")
        connection.rollback()
        publish(connection, "orders/1", {"state": "paid"}, event="order", key="k")
        publish(connection, "orders/1", "typing", keep=False)
        publish(connection, "orders/1", "second", once="x")
        publish(connection, "orders/1", "left out", once="x")


def by_asyncio(url: str) -> None:
    async def main() -> None:
        async with await psycopg.AsyncConnection.connect(url) as connection:
            await publish(connection, "orders/1", "rolled back")
            await connection.rollback()
            await publish(connection, "orders/1", {"state": "paid"}, event="order", key="k")
            await publish(connection, "orders/1", "typing", keep=False)
            await publish(connection, "orders/1", "second", once="x")

    asyncio.run(main())


def by_sqlalchemy(url: str) -> None:
    engine = sqlalchemy.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with sqlalchemy.orm.Session(engine) as session:
        raw: Any = session.connection().connection.driver_connection
        publish(raw, "orders/1", "rolled back")
        session.rollback()
        raw = session.connection().connection.driver_connection
        publish(raw, "orders/1", {"state": "paid"}, event="order", key="k")
        publish(raw, "orders/1", "typing", keep=False)
        publish(raw, "orders/1", "second")
        session.commit()
    engine.dispose()


def by_django(url: str) -> None:
    host, _, name = url.removeprefix("postgresql://postgres@").partition("/")
    address, _, port = host.partition(":")
    database = {
        "ENGINE": "django.db.backends.postgresql",
        "USER": "postgres",
        "HOST": address,
        "PORT": port,
        "NAME": name,
    }
    if not django.conf.settings.configured:
        django.conf.settings.configure(DATABASES={"default": database})
    from django.db import connection, transaction

    connection.settings_dict.update(database)
    with transaction.atomic():
        publish(connection.connection, "orders/1", "rolled back")
        transaction.set_rollback(True)
    with transaction.atomic():
        publish(connection.connection, "orders/1", {"state": "paid"}, event="order", key="k")
        publish(connection.connection, "orders/1", "typing", keep=False)
        publish(connection.connection, "orders/1", "second")
    connection.close()


@pytest.mark.parametrize("publish_all", [by_psycopg, by_asyncio, by_sqlalchemy, by_django])
async def test_what_others_publish_is_seen_when_they_commit(
    url: str, publish_all: Callable[[str], None]
) -> None:
    with psycopg.connect(url) as connection:
        if publish_all is by_django and connection.info.server_version < 140000:
            pytest.skip("Django itself refuses this PostgreSQL")
    async with open_broker(url) as broker:
        events = broker.subscribe("orders/*", "end")
        async with trio.open_nursery() as nursery:
            found: list[tuple[str, str]] = []

            async def read() -> None:
                for _ in range(3):
                    event = await anext(events)
                    found.append((event.event, event.data))

            nursery.start_soon(read)
            await trio.testing.wait_all_tasks_blocked()
            await trio.to_thread.run_sync(publish_all, url)
        assert found == [
            ("order", '{"state":"paid"}'),
            ("message", "typing"),
            ("message", "second"),
        ]
        page = await broker.read("orders/*")
        assert [event.data for event in page.events] == ['{"state":"paid"}', "second"]


async def test_what_is_prepared_is_published_when_it_is_committed(url: str) -> None:
    async with open_broker(url) as broker:
        events = broker.subscribe("t")
        for n, end in enumerate(("tpc_commit", "tpc_rollback", "tpc_commit")):
            with psycopg.connect(url) as connection:
                connection.tpc_begin(connection.xid(1, f"transaction {n}", "x"))
                publish(connection, "t", str(n), ring=False)
                connection.tpc_prepare()
                await broker.publish("t", f"meanwhile {n}")
                getattr(connection, end)()
        wanted = ["meanwhile 0", "0", "meanwhile 1", "meanwhile 2", "2"]
        assert sorted(await texts(events, 5)) == sorted(wanted)


async def test_16_mib_pass(url: str) -> None:
    async with open_broker(url, history_bytes=2**26) as broker:
        events = broker.subscribe("t")
        large = "x" * 2**24
        with psycopg.connect(url) as connection:
            publish(connection, "t", large)
        await broker.publish("t", large)
        assert await texts(events, 2) == [large, large]
        assert [event.data for event in (await broker.read("t")).events] == [large, large]


async def test_any_cursors_and_settings_of_a_connection_will_do(url: str) -> None:
    async def by_asyncio() -> None:
        async with await psycopg.AsyncConnection.connect(
            url, cursor_factory=psycopg.AsyncRawCursor
        ) as connection:
            await publish(connection, "a/é", "asyncio")

    async with open_broker(url) as broker, broker.subscribe("**") as events:
        for kind in (psycopg.Cursor, psycopg.ClientCursor, psycopg.RawCursor):
            with psycopg.connect(url, cursor_factory=kind) as connection:
                publish(connection, "a/é", "\0é'\\", once=kind.__name__)
            assert await texts(events, 1) == ["\0é'\\"]
        await trio.to_thread.run_sync(lambda: asyncio.run(by_asyncio()))
        with psycopg.connect(url, client_encoding="LATIN1") as connection:
            connection.execute("SET standard_conforming_strings = off; SET search_path = own")
            publish(connection, "a/é", "\0é'\\")
        assert await texts(events, 2) == ["asyncio", "\0é'\\"]


async def test_what_names_a_topic_is_known_by_a_role_with_settings_of_its_own(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("CREATE ROLE settled LOGIN")
        connection.execute("SELECT trio_stream.let_publish('settled', 'a.b/**')")
    with psycopg.connect(url.replace("postgres@", "settled@"), autocommit=True) as connection:
        connection.execute("SET standard_conforming_strings = off")
        publish(connection, "a.b/c", "x")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            publish(connection, "aXb/c", "x")
        with pytest.raises(psycopg.errors.CheckViolation):
            connection.execute("SELECT trio_stream.publish('a.b/*', 'x')")


RAW = "INSERT INTO trio_stream.outbox (topic, key, but, body, once) VALUES (%b, %b, %b, %b, %b)"


async def test_nobody_can_put_in_what_would_hold_up_all_others(
    server: PostgresServer, url: str
) -> None:
    """Neither by the function nor by the table that a role may insert into."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE ROLE mischief LOGIN")
        connection.execute("SELECT trio_stream.let_publish('mischief', 'a/**')")
        connection.execute("CREATE SCHEMA own AUTHORIZATION mischief")
        connection.execute(
            "CREATE FUNCTION own.octet_length(bytea) RETURNS integer LANGUAGE sql AS 'SELECT 9'"
        )
    whole = {"topic": b"a/b", "key": b"k", "but": b"s", "body": b"data: x\n\n", "once": b"o"}
    refused: list[tuple[Any, ...]] = [
        ("SELECT trio_stream.publish('a/b', 'x', once => 'o', once_for => %s)", seconds)
        for seconds in (float("inf"), float("nan"), 1e300, 1e9 + 1, 0, -1)
    ]
    refused += [
        (RAW, *{**whole, name: b"\xff"}.values()) for name in ("topic", "key", "but", "once")
    ]
    refused += [(RAW, *{**whole, "key": b"\xc3", "but": b"\xa9"}.values())]
    refused += [(RAW, *{**whole, "key": b"k" * 1025}.values())]
    refused += [("SELECT trio_stream.publish('a/b', repeat('x', 67108864))",)]
    async with open_broker(url) as broker, broker.subscribe("**") as events:
        with psycopg.connect(url.replace("postgres@", "mischief@"), autocommit=True) as mischief:
            mischief.execute("SET search_path = own, pg_catalog")
            for statement, *values in refused:
                with pytest.raises((psycopg.errors.CheckViolation, psycopg.DataError)):
                    mischief.execute(statement, values)
            mischief.execute(RAW, [*{**whole, "key": "\0é\0".encode()}.values()])
            mischief.execute("SELECT trio_stream.publish('a/b', 'y', key => NULL, keep => NULL)")
        assert await texts(events, 2) == ["x", "y"]


def publish_by_url(url: str, **options: Any) -> list[str]:
    with trio_stream.publisher(url, **options) as topics:
        ids = [topics.publish("t", {"n": 1}, event="e", key="k", but="a stream", once="x")]
        ids += topics.publish_many("t", [2, 3])
        ids += [topics.publish("t", "typing", keep=False), topics.publish("t", 4, once="x")]
    return ids


async def test_a_publisher_appends_as_a_broker_does(url: str) -> None:
    ids = await trio.to_thread.run_sync(partial(publish_by_url, url))
    assert ids[3] == ""
    assert ids[4] == ids[0]
    async with open_broker(url) as broker:
        page = await broker.read("t")
        assert [event.id for event in page.events] == ids[:3]
        assert page.events[0].but == "a stream"


async def test_a_publisher_that_may_nothing_else_has_no_ids(
    server: PostgresServer, url: str
) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("CREATE ROLE clerk LOGIN")
        connection.execute("SELECT trio_stream.let_publish('clerk', 't')")
    theirs = url.replace("postgres@", "clerk@")
    async with open_broker(url) as broker:
        ids = await trio.to_thread.run_sync(partial(publish_by_url, theirs))
        assert ids == [""] * 5
        events = broker.subscribe("t", after="earliest")
        assert await texts(events, 3) == ['{"n":1}', "2", "3"]
    with (
        trio_stream.publisher(theirs) as topics,
        pytest.raises(BrokerUnavailableError, match=r"row-level security.*let_publish\(role"),
    ):
        await trio.to_thread.run_sync(topics.publish, "u", 1)


def test_the_command_publishes(url: str) -> None:
    command = [sys.executable, "-m", "trio_stream", "publish", url, "t", "hello"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT id, data FROM trio_stream.events").fetchall()
    assert found == [(int(done.stdout), f"id: {done.stdout}data: hello\n\n".encode())]
