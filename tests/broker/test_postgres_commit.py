"""``postgresql://``: who commits while the broker sleeps numbers what he has published himself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import sleep
from typing import Any

import psycopg
import pytest
import trio

from tests.support.postgres_server import SAFE, PostgresServer, postgres_server, until_asleep
from trio_stream import publish
from trio_stream.broker import Broker, open_broker
from trio_stream.broker.subscribing.subscription import Subscription


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server(**SAFE) as running:
        yield running


@pytest.fixture
def url(server: PostgresServer) -> str:
    return server.database()


def numbered(broker: Broker) -> int:
    """How many events of others the broker has numbered."""
    found: int = broker.engine.statistics()["numbered"]
    return found


async def texts(events: Subscription, count: int) -> list[str]:
    with trio.fail_after(60):
        return [(await anext(events)).data for _ in range(count)]


async def until_waiting(url: str) -> None:
    """Until somebody waits for a lock."""
    with psycopg.connect(url, autocommit=True) as connection, trio.fail_after(60):
        waiting = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"
        while connection.execute(waiting).fetchone() != (True,):
            await trio.sleep(0.01)


def one(connection: Any) -> None:
    publish(connection, "t", "0")
    connection.commit()


def several(connection: Any) -> None:
    for n in range(3):
        publish(connection, f"t{n % 2}", str(n), key="k")
    connection.execute("SAVEPOINT s")
    publish(connection, "t", "never")
    connection.execute("ROLLBACK TO s")
    publish(connection, "t", "3")
    connection.execute(" end work ;")


def with_its_constraints_deferred_again(connection: Any) -> None:
    publish(connection, "t", "0")
    connection.execute("SET CONSTRAINTS ALL DEFERRED")
    connection.commit()


def with_an_old_snapshot(connection: Any) -> None:
    connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    one(connection)


def without_the_disk(connection: Any) -> None:
    connection.execute("SET synchronous_commit = off")
    one(connection)


def once(connection: Any) -> None:
    publish(connection, "t", "0", once="x")
    connection.commit()


def many(connection: Any) -> None:
    for n in range(101):
        publish(connection, "t", str(n))
    connection.commit()


def much(connection: Any) -> None:
    publish(connection, "t", "0" * 2**20)
    connection.commit()


def by_one_statement(connection: Any) -> None:
    connection.autocommit = True
    publish(connection, "t", "0")


def by_one_text(connection: Any) -> None:
    connection.autocommit = True
    connection.execute("SELECT trio_stream.publish('t', '0')")


def by_texts(connection: Any) -> None:
    connection.execute("SELECT trio_stream.publish('t', '0'); COMMIT")


def at_once(connection: Any) -> None:
    connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
    one(connection)


@pytest.mark.parametrize(
    "how", [one, several, by_one_statement, with_its_constraints_deferred_again]
)
async def test_it_is_numbered_by_who_commits_it(url: str, how: Callable[[Any], None]) -> None:
    await see(url, how, url, by_broker=False)


async def test_who_may_publish_and_nothing_else_numbers_as_well(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("CREATE ROLE clerk LOGIN")
        connection.execute("SELECT trio_stream.let_publish('clerk', 't')")
    await see(url, one, url.replace("postgres@", "clerk@"), by_broker=False)


@pytest.mark.parametrize(
    "how",
    [
        with_an_old_snapshot,
        without_the_disk,
        once,
        many,
        much,
        by_one_text,
        by_texts,
        at_once,
    ],
)
async def test_it_is_left_to_the_broker_where_that_is_safer(
    url: str, how: Callable[[Any], None]
) -> None:
    await see(url, how, url, by_broker=True)


async def see(url: str, how: Callable[[Any], None], theirs: str, *, by_broker: bool) -> None:
    """What is published is seen, in its order, and numbered by whom it should be."""
    async with open_broker(url) as broker, open_broker(url) as other:
        each = [broker.subscribe("*"), other.subscribe("*")]
        with psycopg.connect(theirs) as connection, psycopg.connect(url) as owner:
            await until_asleep(owner)
            how(connection)
        count = 4 if how is several else 101 if how is many else 1
        found = [await texts(events, count) for events in each]
        wanted = ["0" * 2**20] if how is much else [str(n) for n in range(count)]
        assert found[0] == wanted
        assert found[0] == found[1]
        assert numbered(broker) + numbered(other) == (count if by_broker else 0)
        last = broker.last_id
        page = await broker.read("*", after="earliest")
        assert [event.data for event in page.events] == found[0]
        assert page.events[-1].id == last


async def test_what_waits_comes_before(url: str) -> None:
    """Somebody committed who does not ring."""
    async with open_broker(url) as broker:
        events = broker.subscribe("t")
        with psycopg.connect(url) as first, psycopg.connect(url) as second:
            await until_asleep(first)
            publish(first, "t", "first", ring=False)
            first.commit()
            publish(second, "t", "second")
            second.commit()
        assert await texts(events, 2) == ["first", "second"]


async def test_who_commits_again_and_again_has_the_broker_number_it(url: str) -> None:
    """That is cheaper for him."""
    async with open_broker(url) as broker:
        events = broker.subscribe("t")
        with psycopg.connect(url) as connection:
            await until_asleep(connection)
            connection.rollback()
            publish(connection, "t", "first")
            connection.commit()
            # It was just now, on a busy machine, too.
            connection.execute("UPDATE trio_stream.events SET time = time + interval '1 hour'")
            publish(connection, "t", "second")
            connection.commit()
            assert await texts(events, 2) == ["first", "second"]
            assert numbered(broker) == 1  # the second


async def test_nobody_waits_for_who_goes_on_after_his_constraints(url: str) -> None:
    async with open_broker(url) as broker:
        events = broker.subscribe("t")
        with psycopg.connect(url) as connection:
            await until_asleep(connection)
            connection.rollback()
            publish(connection, "t", "late")
            connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
            with trio.fail_after(60):
                await broker.publish("t", "soon")
            assert await texts(events, 1) == ["soon"]
            connection.commit()
        assert await texts(events, 1) == ["late"]


async def test_nobody_waits_for_a_commit_that_waits_for_somebody(url: str) -> None:
    """As one with a foreign key that is checked at the commit, and somebody has its row."""
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE parent (id integer PRIMARY KEY)")
        connection.execute("INSERT INTO parent VALUES (1)")
        connection.execute(
            "CREATE TABLE child (parent integer REFERENCES parent DEFERRABLE INITIALLY DEFERRED)"
        )
    async with open_broker(url) as broker:
        events = broker.subscribe("t")
        with psycopg.connect(url) as connection, psycopg.connect(url) as somebody:
            await until_asleep(connection)
            connection.rollback()
            publish(connection, "t", "late")
            connection.execute("INSERT INTO child VALUES (1)")
            somebody.execute("DELETE FROM parent")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.to_thread.run_sync, connection.commit)
                await until_waiting(url)
                with trio.fail_after(60):
                    await broker.publish("t", "soon")
                assert await texts(events, 1) == ["soon"]
                somebody.rollback()
        assert await texts(events, 1) == ["late"]


async def test_a_commit_does_not_wait_for_a_table_that_is_locked(url: str) -> None:
    async with open_broker(url) as broker:
        events = broker.subscribe("t")
        with psycopg.connect(url) as connection, psycopg.connect(url) as somebody:
            await until_asleep(connection)
            connection.rollback()
            publish(connection, "t", "x")
            somebody.execute("LOCK TABLE trio_stream.events")
            with trio.fail_after(60):
                await trio.to_thread.run_sync(connection.commit, abandon_on_cancel=True)
            somebody.rollback()
        assert await texts(events, 1) == ["x"]


_TRIGGER = """
CREATE TABLE orders (id integer, state text);
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM trio_stream.publish('t', NEW.state);
    IF NEW.state = 'wrong' THEN
        RAISE 'it is wrong';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER tell AFTER INSERT ON orders DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION tell();
"""


async def test_what_is_published_while_it_commits_is_seen_and_what_fails_then_is_not(
    url: str,
) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(_TRIGGER)
    async with open_broker(url) as broker:
        events = broker.subscribe("t")
        with psycopg.connect(url) as connection:
            for state in ("paid", "wrong", "sent"):
                await until_asleep(connection)
                connection.rollback()
                publish(connection, "t", f"is {state}")
                connection.execute("INSERT INTO orders VALUES (1, %s)", [state])
                publish(connection, "t", f"was {state}")
                if state == "wrong":
                    with pytest.raises(psycopg.errors.RaiseException):
                        connection.commit()
                else:
                    connection.commit()
        assert await texts(events, 6) == [
            *("is paid", "was paid", "paid"),
            *("is sent", "was sent", "sent"),
        ]
        assert numbered(broker) == 0


async def test_what_was_seen_is_there_with_its_id_after_a_crash() -> None:
    """And nothing else is, but what was just being committed."""
    with postgres_server(**SAFE) as server:
        url = server.database()
        seen: list[tuple[str, str]] = []
        done: list[str] = []
        async with open_broker(url) as broker, trio.open_nursery() as nursery:
            events = broker.subscribe("t")

            @nursery.start_soon
            async def follow() -> None:
                async for event in events:
                    seen.append((event.id, event.data))

            for round in range(2):
                connection = psycopg.connect(url)
                await until_asleep(connection)
                connection.rollback()
                nursery.start_soon(commit_until_it_fails, connection, str(round), done)
                with trio.fail_after(30):
                    while not any(text.startswith(f"{round} 5") for _, text in seen):
                        await trio.sleep(0.001)
                await trio.to_thread.run_sync(server.crash)
                server.start()
            last = await broker.publish("t", "last")
            with trio.fail_after(30):
                while seen[-1] != (last, "last"):
                    await trio.sleep(0.01)
            page = await broker.read("t", after="earliest")
            assert [(event.id, event.data) for event in page.events] == seen
            found = [text for _, text in seen]
            assert len(set(found)) == len(found)
            assert set(done) <= set(found)
            assert len(found) <= len(done) + 3  # two that were on their way
            assert numbered(broker) < len(found) - 1
            nursery.cancel_scope.cancel()


async def commit_until_it_fails(connection: Any, name: str, done: list[str]) -> None:
    def commit() -> None:
        for n in range(10**6):
            publish(connection, "t", f"{name} {n}")
            connection.commit()
            done.append(f"{name} {n}")
            sleep(0.02)  # as who commits at once again leaves it to the broker

    with pytest.raises(psycopg.OperationalError):
        await trio.to_thread.run_sync(commit)
