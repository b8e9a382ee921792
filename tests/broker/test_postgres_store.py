"""``postgresql://``: what stays in the tables, and who looks after them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest
import trio

from tests.support.postgres_server import PostgresServer, postgres_server
from trio_stream import Retention, publish
from trio_stream.broker import open_broker
from trio_stream.broker.postgres import caretaker, wire
from trio_stream.errors import GapError


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as running:
        yield running


@pytest.fixture
def url(server: PostgresServer) -> str:
    return server.database()


@pytest.fixture
def quick_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caretaker, "ROUND", 0.05)


def ask(url: str, query: str) -> Any:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(query.encode()).fetchone()
        return row and row[0]


def ask_on(connection: psycopg.Connection[Any], query: str) -> Any:
    row = connection.execute(query.encode()).fetchone()
    connection.commit()
    return row and row[0]


async def until(url: str, query: str) -> None:
    with trio.fail_after(30):
        while not ask(url, query):
            await trio.sleep(0.02)


@pytest.mark.usefixtures("quick_rounds")
async def test_what_is_not_kept_is_deleted_soon(url: str) -> None:
    table = {"small": Retention(bytes=2000), "brief": Retention(age=0.5)}
    async with open_broker(url, history=100, retention=table) as broker:
        for _ in range(20):
            ids = await broker.publish_many("many", range(150))
            await broker.publish_many("small", ["x" * 200] * 10)
        await broker.publish_many("brief", ["x"] * 10)
        await broker.publish("quiet", "x")
        # An eighth too much, and 16, may stay, and the rest of a row.
        await until(
            url,
            "SELECT sum(span) <= 130 + 150 FROM trio_stream.events JOIN trio_stream.topics"
            " ON number = topic WHERE name = 'many'",
        )
        await until(
            url,
            "SELECT sum(octet_length(data)) <= 3000 + 2200 FROM trio_stream.events"
            " JOIN trio_stream.topics ON number = topic WHERE name = 'small'",
        )
        await until(
            url,
            "SELECT NOT EXISTS (SELECT FROM trio_stream.events JOIN trio_stream.topics"
            " ON number = topic WHERE name = 'brief')",
        )
        engine = broker.engine
        found = await engine.read(broker.subscribe("many").selection, 0, 1000)
        assert [record.id for record in found.records] == [*map(int, ids[50:])]
        page = await broker.read("many", after=ids[0])
        assert page.gap
        assert [event.id for event in page.events] == ids[50:]
        assert len((await broker.read("quiet")).events) == 1


@pytest.mark.usefixtures("quick_rounds")
async def test_topics_that_are_too_many_are_forgotten_as_a_gap(url: str) -> None:
    async with open_broker(url, max_topics=10, memory_bytes=1) as broker:
        first = await broker.publish("t/0", 0)
        for n in range(1, 30):
            last = await broker.publish(f"t/{n}", n)
        await until(url, "SELECT count(*) <= 10 FROM trio_stream.topics")
        page = await broker.read("t/**")
        assert page.events[-1].id == last
        assert len(page.events) <= 10
        for topic in ("t/0", "t/*"):
            with pytest.raises(GapError):
                await anext(broker.subscribe(topic, after=str(int(first) - 1)))


async def test_a_process_that_was_too_slow_to_be_fed_reads_or_is_told(url: str) -> None:
    """What others deleted before it was fed."""
    async with open_broker(url, history=5) as slow:
        reader = slow.subscribe("t")
        first = await slow.publish("t", 0)
        assert (await anext(reader)).id == first
        with psycopg.connect(url) as connection:
            for n in range(50):
                publish(connection, "t", n, ring=False)
            # As another process does, all at once, before this one has looked.
            connection.execute("SELECT trio_stream.number('0', '{}', 1000)")
            connection.execute(
                "SELECT trio_stream.trim('{t}', '{5}', '{100000}', '{NULL}', 9223372036854775807,"
                " 1000)"
            )
        gaps = 0
        with trio.fail_after(30):
            while not gaps:
                try:
                    await anext(reader)
                except GapError:
                    gaps += 1
        assert [(await anext(reader)).data for _ in range(5)] == ["45", "46", "47", "48", "49"]


SERVING = """
import sys, trio
from trio_stream import open_broker

async def main():
    async with open_broker(sys.argv[1]) as broker:
        while not broker.engine.statistics()["on_duty"]:
            await trio.sleep(0.01)
        print("on duty", flush=True)
        await trio.sleep_forever()

trio.run(main)
"""


@asynccontextmanager
async def somebody_on_duty(url: str) -> AsyncIterator[trio.Process]:
    command = [sys.executable, "-c", SERVING, url]
    async with trio.open_nursery() as nursery:
        process: trio.Process = await nursery.start(
            lambda task_status: trio.run_process(
                command, stdout=subprocess.PIPE, check=False, task_status=task_status
            )
        )
        assert process.stdout is not None
        said = b""
        while not said.endswith(b"\n"):
            said += await process.stdout.receive_some() or b"?\n"
        assert said == b"on duty\n"
        yield process
        process.kill()


async def test_who_is_on_duty_and_dies_or_hangs_is_replaced(url: str) -> None:
    async with somebody_on_duty(url) as other, open_broker(url) as broker:
        assert not broker.engine.statistics()["on_duty"]
        events = broker.subscribe("t", after="earliest")
        other.send_signal(19)  # SIGSTOP
        with psycopg.connect(url) as connection:
            publish(connection, "t", "while it hangs")
        with trio.fail_after(30):
            assert (await anext(events)).data == "while it hangs"
        other.kill()
        with trio.fail_after(30):
            while not broker.engine.statistics()["on_duty"]:
                await trio.sleep(0.01)
        with psycopg.connect(url) as connection:
            publish(connection, "t", "when it is dead")
        with trio.fail_after(30):
            assert (await anext(events)).data == "when it is dead"


async def test_who_publishes_rings_only_for_who_sleeps(url: str) -> None:
    async def holds_bell(wanted: bool) -> None:
        query = "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = 2)"
        with trio.fail_after(30):
            while ask(url, query) is not wanted:
                await trio.sleep(0.002)

    async with open_broker(url) as broker:
        await holds_bell(True)
        events = broker.subscribe("t", after="earliest")
        looks = broker.engine.statistics()["looks"]
        with psycopg.connect(url) as connection:
            connection.execute("LISTEN trio_stream_bell")
            connection.commit()
            publish(connection, "t", "rings")
            connection.commit()
            assert (await anext(events)).data == "rings"
            assert len(list(connection.notifies(timeout=60, stop_after=1))) == 1
            # Held by somebody who commits just now, it cannot be taken: nobody falls asleep.
            with trio.fail_after(30):
                while not ask_on(connection, "SELECT pg_try_advisory_lock_shared(1953655151, 2)"):
                    publish(connection, "t", "wakes")
                    connection.commit()
                    assert (await anext(events)).data == "wakes"
            list(connection.notifies(timeout=0))
            for n in range(20):
                publish(connection, "t", n)
                connection.commit()
                assert (await anext(events)).data == str(n)
            assert list(connection.notifies(timeout=0)) == []
        await holds_bell(True)
        assert broker.engine.statistics()["looks"] > looks


async def test_an_old_snapshot_makes_nothing_slower(url: str) -> None:
    """However many versions of rows cannot be removed."""

    def blocks(connection: psycopg.Connection[Any]) -> int:
        """That a look at the outbox reads, where nothing waits."""
        look = "SELECT * FROM trio_stream.number(pg_snapshot_xmax(pg_current_snapshot()), '{}', 9)"
        plan = ask_on(connection, f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {look}")
        return int(plan[0]["Plan"]["Shared Hit Blocks"])

    with psycopg.connect(url) as old, psycopg.connect(url) as connection:
        old.execute("CREATE TABLE mine (n int)")  # which gives it a number of its own
        connection.execute(wire.SETTINGS)
        blocks(connection)  # plans it
        before = blocks(connection)
        async with open_broker(url) as broker:
            events = broker.subscribe("t", after="earliest")
            for n in range(50):
                for _ in range(100):
                    publish(connection, "t", n)
                connection.commit()
                for _ in range(100):
                    await anext(events)
        assert blocks(connection) <= before + 5


_KEPT = "ARRAY['quiet'::bytea], ARRAY[9000::bigint], ARRAY[9000000::bigint], ARRAY[NULL::float8]"


@pytest.mark.parametrize(
    "call",
    [
        f"read({_KEPT}, 0, 9000000000000000000, 1000, 65536)",
        f"newest({_KEPT}, 0, 9000000000000000000, 1)",
        "store(ARRAY['quiet'::bytea], ARRAY[''::bytea], ARRAY[''::bytea], ARRAY['x'::bytea], NULL)",
        f"trim({_KEPT.replace('9000::', '1::')}, 9000000000000000000, 1000)",
        "forget('quiet', NULL, 1000, 1000, NULL)",
        "tidy(1)",
    ],
    ids=lambda call: call.partition("(")[0],
)
def test_a_topic_is_found_without_passing_over_those_of_others(url: str, call: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(wire.SETTINGS)
        for topic, count in (("quiet", 3), ("busy", 5000)):
            texts = ", ".join(
                f"array_fill('{text}'::bytea, ARRAY[{count}])" for text in (topic, "", "", "data")
            )
            connection.execute(f"SELECT trio_stream.store({texts}, NULL)".encode())
        connection.execute("ANALYZE trio_stream.events")  # as autovacuum does
        connection.commit()
        passed = "SELECT idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'events'"
        connection.execute(f"SELECT * FROM trio_stream.{call}".encode())
        [fetched] = connection.execute(passed.encode()).fetchone() or [0]
        assert 1 <= fetched < 100


@pytest.mark.parametrize("topics", [["a"], ["a", "b"], ["a", "**"]], ids="+".join)
async def test_a_page_ends_where_there_is_more_also_among_holes(
    url: str, topics: list[str]
) -> None:
    async with open_broker(url) as broker:
        ids = await broker.publish_many("a", ["x" * 1000] * 300, key="k")
        for n in range(100):
            ids.append(await broker.publish("ab"[n % 2], "y" * 1000))
        for id in ids[20:100]:
            await broker.forget("a", id)
    wanted = ids[:20] + ids[100:]
    if topics == ["a"]:
        wanted = [id for id in wanted if id not in ids[301::2]]
    async with open_broker(url) as broker:  # which has nothing in memory
        page = await broker.read(*topics, limit=1000)
        assert [event.id for event in page.events] == wanted
