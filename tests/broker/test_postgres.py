"""``postgresql://``: the contract, many processes, and transactions of others."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.support.postgres_server import PostgresServer, postgres_server
from trio_stream.broker import Broker, open_broker
from trio_stream.errors import BrokerUnavailableError
from trio_stream.testing import check_broker


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as running:
        yield running


def execute(url: str, text: str) -> list[tuple[Any, ...]]:
    """Statements, and what the last of them answers, if that is rows."""
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(text.encode())
        return cursor.fetchall() if cursor.description else []


@pytest.fixture
def url(server: PostgresServer) -> str:
    return server.database()


async def test_it_keeps_the_contract(server: PostgresServer, url: str) -> None:
    await check_broker(lambda **options: open_broker(server.emptied(url), **options))


async def test_it_keeps_the_contract_with_nothing_in_memory_and_the_rights_that_are_documented(
    server: PostgresServer, url: str
) -> None:
    execute(url, "CREATE ROLE app LOGIN; SELECT trio_stream.let_serve('app')")

    def fresh(**options: Any) -> AbstractAsyncContextManager[Broker]:
        mine = server.emptied(url).replace("postgres@", "app@")
        return open_broker(mine, memory_bytes=1, **options)

    await check_broker(fresh)


def run(*arguments: str) -> tuple[int, str]:
    """The exit code of trio-stream, and what it has said."""
    command = [sys.executable, "-m", "trio_stream", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


async def refusal(url: str) -> str:
    with pytest.raises(BrokerUnavailableError) as caught:
        async with open_broker(url):
            pass
    return str(caught.value)


async def test_the_tables_are_made_by_the_command_and_by_nobody_else(
    server: PostgresServer,
) -> None:
    url = server.empty_database()
    assert "run trio-stream migrate with its URL" in await refusal(url)
    assert execute(url, "SELECT to_regnamespace('trio_stream')") == [(None,)]
    assert run("migrate", url) == (0, "made version 3\n")
    assert run("migrate", url) == (0, "it has version 3 already\n")
    async with open_broker(url) as broker:
        await broker.publish("t", 1)
    code, sql = run("migrate", "--sql")
    assert code == 0
    other = server.empty_database()
    execute(other, sql)
    async with open_broker(other) as broker:
        await broker.publish("t", 1)


async def test_another_version_is_refused_with_what_to_do(url: str) -> None:
    execute(url, "UPDATE trio_stream.log SET version = 0")
    assert run("migrate", url)[0] == 1
    assert "run trio-stream migrate with its URL" in await refusal(url)
    execute(url, "UPDATE trio_stream.log SET version = 4")
    assert "run a newer trio_stream" in await refusal(url)
    code, said = run("migrate", url)
    assert (code, "run a newer trio_stream" in said) == (1, True)


#: What a schema is, but for what is in its tables, and the order of their columns.
_PARTS = """
SELECT 'column', attrelid::regclass::text, attname, format_type(atttypid, NULL), attnotnull::text,
       attstorage::text, (SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef
                          WHERE adrelid = attrelid AND adnum = attnum)
FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
WHERE relnamespace = 'trio_stream'::regnamespace AND relkind = 'r' AND attnum > 0
      AND NOT attisdropped
UNION SELECT 'index', indexdef, '', '', '', '', '' FROM pg_indexes WHERE schemaname = 'trio_stream'
UNION SELECT 'function', pg_get_functiondef(oid), pg_get_userbyid(grantee), '', '', '', ''
FROM pg_proc, aclexplode(proacl) WHERE pronamespace = 'trio_stream'::regnamespace
UNION SELECT 'trigger', pg_get_triggerdef(oid), '', '', '', '', '' FROM pg_trigger
WHERE tgrelid = 'trio_stream.outbox'::regclass
UNION SELECT 'version', version::text, '', '', '', '', '' FROM trio_stream.log
"""


_STORE = """
SELECT trio_stream.store('{a,b,a}', '{k,"",l}', '{"",s,""}',
                         ARRAY[E'data: x\\n\\n', E'data: y\\n\\n', E'data: z\\n\\n']::bytea[], NULL)
"""


@pytest.mark.parametrize("version", [1, 2])
async def test_what_an_older_version_has_made_becomes_this_one(
    server: PostgresServer, url: str, version: int
) -> None:
    old = server.empty_database()
    execute(old, (Path(__file__).parent / f"schemas/postgres_{version}.sql").read_text())
    waiter, clerk = f"waiter{version}", f"clerk{version}"
    execute(url, f"CREATE ROLE {waiter} LOGIN; CREATE ROLE {clerk} LOGIN")
    for one in (old, url):
        execute(one, f"SELECT trio_stream.let_serve('{waiter}')")
        execute(one, f"SELECT trio_stream.let_publish('{clerk}', 'orders/*')")
    execute(old, _STORE)
    assert "run trio-stream migrate with its URL" in await refusal(old)
    assert run("migrate", old) == (0, f"made version 3 of version {version}\n")
    assert set(execute(old, _PARTS)) == set(execute(url, _PARTS))
    async with open_broker(old.replace("postgres@", f"{waiter}@")) as broker:
        more = await broker.publish_many("a", ["u", "v"])
        found = await broker.engine.read(broker.subscribe("a", "b").selection, 0, 100)
        each = [(r.topic, r.key, r.but, r.data[-3:-2]) for r in found.records]
        assert each[:3] == [("a", "k", "", b"x"), ("b", "", "s", b"y"), ("a", "l", "", b"z")]
        assert [str(record.id) for record in found.records[3:]] == list(more)


async def test_a_role_that_may_not_is_told_what_is_missing(
    server: PostgresServer, url: str
) -> None:
    execute(url, "CREATE ROLE nobody LOGIN; REVOKE CREATE ON DATABASE template1 FROM nobody")
    assert "trio_stream.let_serve(role)" in await refusal(url.replace("postgres@", "nobody@"))
    empty = server.empty_database().replace("postgres@", "nobody@")
    assert "run trio-stream migrate with its URL" in await refusal(empty)
    code, said = run("migrate", empty)
    assert code == 1
    assert "may not make a schema" in said
    assert "trio-stream migrate --sql" in said


async def test_migrate_says_what_to_do_about_a_schema_of_that_name(server: PostgresServer) -> None:
    url = server.empty_database()
    with psycopg.connect(url) as connection:
        connection.execute("CREATE SCHEMA trio_stream")
    assert "run trio-stream migrate with its URL" in await refusal(url)
    code, said = run("migrate", url)
    assert code == 1
    assert "DROP SCHEMA trio_stream" in said
    with psycopg.connect(url) as connection:
        connection.execute("DROP SCHEMA trio_stream")
    assert run("migrate", url) == (0, "made version 3\n")


@pytest.mark.parametrize("words", [["migrate"], ["migrate", "redis://x"], ["migrate", "x"]])
def test_migrate_says_what_a_url_is(words: list[str]) -> None:
    code, said = run(*words)
    assert code == 2
    assert "a PostgreSQL URL is postgresql://" in said


async def test_what_a_transaction_publishes_is_seen_when_it_commits(url: str) -> None:
    async with open_broker(url) as one, open_broker(url) as two:
        readers = [one.subscribe("orders/*"), two.subscribe("orders/*")]
        with psycopg.connect(url) as late, psycopg.connect(url) as other:
            publish = "SELECT trio_stream.publish('orders/17', %s, event => 'order')"
            late.execute(publish, ["opened first"])
            other.execute(publish, ["rolled back"])
            other.rollback()
            other.execute(publish, ["committed first"])
            other.commit()
            first = [await anext(reader) for reader in readers]
            # Who published before does not wait, and what is published later goes by.
            middle = await two.publish("orders/18", "by a broker")
            late.commit()
            rest = [[await anext(reader) for _ in range(2)] for reader in readers]
        assert [event.data for event in first] == ["committed first"] * 2
        assert [[event.data for event in each] for each in rest] == [
            ["by a broker", "opened first"]
        ] * 2
        ids = [first[0].id, *(event.id for event in rest[0])]
        assert [first[1].id, *(event.id for event in rest[1])] == ids
        assert ids[1] == middle
        assert sorted(ids, key=int) == ids
        page = await one.read("orders/*", after=ids[0])
        assert ([event.id for event in page.events], page.gap) == (ids[1:], False)


async def test_what_waited_is_there_for_who_opens(url: str) -> None:
    execute(url, "SELECT trio_stream.publish('t', n::text) FROM generate_series(1, 2500) AS n")
    async with open_broker(url) as broker:
        events = broker.subscribe("t", after="earliest")
        assert [(await anext(events)).data for _ in range(2500)] == [str(n) for n in range(1, 2501)]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("publish('$x', '')", "a topic is no pattern"),
        ("publish('', '')", "a topic is no pattern"),
        ("publish('a/*', '')", "a topic is no pattern"),
        ("publish('a/**/b', '')", "a topic is no pattern"),
        ("publish(repeat('x', 1025), '')", "a topic is no pattern"),
        ("publish('t', '', key => '$x')", "a key does not begin"),
        ("publish('t', '', once => '')", "once is for"),
        ("publish('t', '', once => 'x', keep => false)", "once is for"),
        ("publish('t', '', E'two\\nlines')", "an event's name is one line"),
        ("publish('t', NULL)", "an event has a topic and data"),
        ("publish(NULL, 'x')", "an event has a topic and data"),
    ],
)
def test_what_cannot_be_published_is_an_error_of_its_statement(
    url: str, wrong: str, told: str
) -> None:
    with pytest.raises(psycopg.Error, match=told):
        execute(url, f"SELECT trio_stream.{wrong}")


async def test_a_role_publishes_to_its_topics_and_reads_nothing(
    server: PostgresServer, url: str
) -> None:
    execute(
        url,
        "CREATE ROLE billing LOGIN; SELECT trio_stream.let_publish('billing', 'orders/*');"
        "SELECT trio_stream.let_publish('billing', 'orders/*');"
        "SELECT trio_stream.let_publish('billing', 'a.b/**/end')",
    )
    theirs = url.replace("postgres@", "billing@")
    for topic in ("orders/17", "a.b/x/y/end"):
        execute(theirs, f"SELECT trio_stream.publish('{topic}', 'x')")
    for topic in ("orders", "orders/17/x", "ordersx/1", "axb/x/end", "a.b/end"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            execute(theirs, f"SELECT trio_stream.publish('{topic}', 'x')")
    for statement in (
        "SELECT * FROM trio_stream.outbox",
        "SELECT * FROM trio_stream.events",
        "SELECT * FROM trio_stream.live(0, 0, 100)",
        "INSERT INTO trio_stream.outbox (topic, body, xid) VALUES ('orders/1', '', '1')",
        "DELETE FROM trio_stream.outbox",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            execute(theirs, statement)
    # What is no event cannot be smuggled past the function, either.
    with pytest.raises(psycopg.errors.CheckViolation):
        execute(
            theirs,
            "INSERT INTO trio_stream.outbox (topic, body) "
            r"VALUES ('orders/1', E'data: x\\012id: 5\\012\\012'::bytea)",
        )
    async with open_broker(url) as broker:
        events = broker.subscribe("orders/*", "a.b/**", after="earliest")
        assert [(await anext(events)).topic for _ in range(2)] == ["orders/17", "a.b/x/y/end"]
