"""``postgresql://`` when PostgreSQL fails: crashes, cut connections, locks, logins, failovers."""

from __future__ import annotations

import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path

import psycopg
import pytest
import trio
import trustme

from tests.support.postgres_server import SAFE, PostgresServer, postgres_server
from trio_stream import publish, publisher
from trio_stream.broker import Broker, open_broker
from trio_stream.broker.postgres import wire
from trio_stream.errors import BrokerUnavailableError, GapError


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    with postgres_server() as running:
        yield running


@pytest.fixture(scope="module")
def sound_server() -> Iterator[PostgresServer]:
    with postgres_server() as running:
        yield running


class Work:
    """Publishers and a reader that go on whatever happens."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.published: list[str] = []
        self.read: list[str] = []
        self.gaps = 0
        self.over = False

    async def publish(self, name: str) -> None:
        n = 0
        while not self.over:
            text = f"{name} {n}"
            await self.broker.publish("t", text)
            self.published.append(text)
            n += 1

    async def follow(self) -> None:
        events = self.broker.subscribe("t", after="earliest")
        while True:
            try:
                self.read.append((await anext(events)).data)
            except GapError:
                self.gaps += 1

    async def until(self, count: int) -> None:
        with trio.fail_after(60):
            while len(self.published) < count:
                await trio.sleep(0.01)

    async def all_read(self) -> None:
        with trio.fail_after(60):
            while len(self.read) < len(self.published):
                await trio.sleep(0.01)
        assert sorted(self.read) == sorted(self.published)
        assert self.gaps == 0
        for name in "ab":
            mine = [text for text in self.read if text.startswith(name)]
            assert mine == [f"{name} {n}" for n in range(len(mine))]


@asynccontextmanager
async def working(url: str) -> AsyncIterator[Work]:
    """Two publishers and a reader of a broker; in the end all is read once, in order."""
    async with open_broker(url, history=10**6, history_bytes=2**30) as broker:
        work = Work(broker)
        async with trio.open_nursery() as reading:
            reading.start_soon(work.follow)
            async with trio.open_nursery() as publishing:
                publishing.start_soon(work.publish, "a")
                publishing.start_soon(work.publish, "b")
                await work.until(50)
                yield work
                await work.until(len(work.published) + 50)
                work.over = True
            await work.all_read()
            with trio.fail_after(30):
                while not broker.health().reachable:
                    await trio.sleep(0.02)
            reading.cancel_scope.cancel()


async def test_a_server_that_is_killed_and_started_loses_and_doubles_nothing() -> None:
    with postgres_server(**SAFE) as server:
        url = server.database()
        async with working(url):
            for _ in range(2):
                await trio.to_thread.run_sync(server.crash)
                await trio.to_thread.run_sync(server.start)


async def test_connections_that_are_cut_lose_and_double_nothing(
    sound_server: PostgresServer,
) -> None:
    url = sound_server.database()
    cut = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND application_name = 'trio_stream'"
    )
    with psycopg.connect(url, autocommit=True) as connection:
        async with working(url) as work:
            for _ in range(15):
                connection.execute(cut)
                await work.until(len(work.published) + 3)


@contextmanager
def stopped(pids: Sequence[int]) -> Iterator[None]:
    """They hang without a word."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in reversed(pids):
            os.kill(pid, signal.SIGCONT)


async def test_a_server_that_hangs_is_given_up_and_waited_for(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = server.database()
    async with (
        open_broker(url, outage="raise") as strict,
        open_broker(url) as broker,
        broker.subscribe("t") as events,
        trio.open_nursery() as nursery,
    ):
        await strict.publish("t", "before")
        assert (await anext(events)).data == "before"
        with stopped(server.pids()), monkeypatch.context() as impatient:
            impatient.setattr(wire, "PATIENCE", 0.2)
            nursery.start_soon(broker.publish, "t", "waited")
            with pytest.raises(BrokerUnavailableError, match="not answered within"):
                await strict.publish("u", "raised")
            with trio.move_on_after(0.1) as limit:
                await broker.read("t")
            assert limit.cancelled_caught
            while broker.health().reachable:
                await trio.sleep(0.01)
        with trio.fail_after(60):
            assert (await anext(events)).data == "waited"
            await broker.publish("t", "after")
            assert (await anext(events)).data == "after"


async def test_what_hung_on_its_way_is_not_stored_once_more(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = server.database()
    async with open_broker(url) as broker, trio.open_nursery() as nursery:
        await broker.publish("t", "before")
        with psycopg.connect(url, autocommit=True) as connection:

            def asking(*what: str) -> list[int]:
                """Which processes of PostgreSQL do this, or have done it last."""
                found = connection.execute(
                    "SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
                    "AND EXISTS (SELECT FROM unnest(%s::text[]) AS what "
                    "WHERE strpos(query, what) > 0)",
                    (list(what),),
                )
                return [pid for [pid] in found]

            [pid] = asking("trio_stream.append(")
            with stopped([pid]), monkeypatch.context() as impatient:
                impatient.setattr(wire, "PATIENCE", 1.0)
                nursery.start_soon(broker.publish, "t", "once")
                # Until it is tried again, on another connection.
                while asking("trio_stream.append(", "SELECT pg_advisory_lock(") == [pid]:
                    await trio.sleep(0.01)
            while pid in asking("SELECT"):
                await trio.sleep(0.01)
        with trio.fail_after(60):
            await broker.publish("t", "after")
        page = await broker.read("t")
        assert [event.data for event in page.events] == ["before", "once", "after"]


async def test_a_table_that_somebody_has_locked_is_waited_for(
    sound_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "SETTINGS", wire.SETTINGS + b"; SET lock_timeout = '100ms'")
    url = sound_server.database()
    asked = (
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
        "AND datname = current_database() AND query LIKE '%trio_stream.append%')"
    )
    async with open_broker(url) as broker, open_broker(url, outage="raise") as strict:
        with psycopg.connect(url) as connection, psycopg.connect(url, autocommit=True) as looking:
            connection.execute("LOCK TABLE trio_stream.events IN ACCESS EXCLUSIVE MODE")
            with pytest.raises(BrokerUnavailableError, match="lock timeout"):
                await strict.publish("t", "raised")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(broker.publish, "t", "waited")
                with trio.fail_after(30):
                    while looking.execute(asked).fetchone() != (True,):
                        await trio.sleep(0.01)
                    while "lock timeout" not in broker.health().trouble:
                        await trio.sleep(0.01)
                for _ in range(3):
                    with trio.move_on_after(0.01) as limit:
                        await broker.publish("t", "given up")
                    assert limit.cancelled_caught
                assert broker.engine.statistics()["waiting"] == 0
                connection.rollback()
        events = broker.subscribe("t", after="earliest")
        assert (await anext(events)).data == "waited"
        last = await broker.publish("t", "last")
        assert (await anext(events)).id == last


async def test_a_publisher_that_may_nothing_else_ends_at_its_deadlines(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = server.database()
    with psycopg.connect(url) as connection:
        connection.execute("CREATE ROLE clerk LOGIN")
        connection.execute("SELECT trio_stream.let_publish('clerk', 't')")
    theirs = url.replace("postgres@", "clerk@")
    monkeypatch.setattr(wire, "SETTINGS", wire.SETTINGS + b"; SET lock_timeout = '100ms'")
    publish_in_thread = partial(trio.to_thread.run_sync, abandon_on_cancel=True)
    with publisher(theirs, outage="raise") as strict, publisher(theirs) as patient:
        with psycopg.connect(url) as connection:
            connection.execute("LOCK TABLE trio_stream.outbox IN ACCESS EXCLUSIVE MODE")
            with trio.fail_after(30), pytest.raises(BrokerUnavailableError, match="lock timeout"):
                await publish_in_thread(strict.publish, "t", "raised")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(publish_in_thread, patient.publish, "t", "waited")
                waits = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"
                while connection.execute(waits).fetchone() != (True,):
                    await trio.sleep(0.01)
                connection.rollback()
        with stopped(server.pids()), monkeypatch.context() as impatient:
            impatient.setattr(wire, "PATIENCE", 0.2)
            for one in (strict, patient):
                # Whether that is stored when the server goes on, nobody can tell.
                with trio.fail_after(30), pytest.raises(BrokerUnavailableError):
                    await publish_in_thread(one.publish, "t", "hung")
        with trio.fail_after(30):
            await publish_in_thread(patient.publish, "t", "after")
    async with open_broker(url) as broker:
        events = broker.subscribe("t", after="earliest")
        with trio.fail_after(30):
            found = [(await anext(events)).data]
            while found[-1] != "after":
                found.append((await anext(events)).data)
        assert [text for text in found if text != "hung"] == ["waited", "after"]
        assert found.count("hung") <= 2


async def test_a_time_limit_of_the_database_is_not_the_brokers(
    sound_server: PostgresServer,
) -> None:
    url = sound_server.database()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            f"ALTER DATABASE {connection.info.dbname} SET statement_timeout = '1ms'".encode()
        )
    async with open_broker(url) as broker:
        await broker.publish_many("t", ["x" * 100_000] * 50)
        assert len((await broker.read("t", last=5)).events) == 5


async def test_settings_that_come_too_late_are_made_again(
    sound_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first attempts take longer than the database lets anything take."""
    url = sound_server.database()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE SEQUENCE attempts")
        connection.execute(
            f"ALTER DATABASE {connection.info.dbname} SET statement_timeout = '200ms'".encode()
        )
    slow = b"SELECT pg_sleep(CASE WHEN nextval('attempts') < 3 THEN 1 ELSE 0 END)"
    monkeypatch.setattr(wire, "SETTINGS", slow + b"; " + wire.SETTINGS)
    async with open_broker(url) as broker:
        await broker.publish("t", "x")


async def test_a_wrong_password_is_in_no_log_and_no_error(
    sound_server: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    url = sound_server.database()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET password_encryption = 'scram-sha-256'")
        connection.execute("CREATE ROLE locked LOGIN PASSWORD 'right'")
    rules = sound_server.folder / "pg_hba.conf"
    rules.write_text(f"host all locked all scram-sha-256\n{rules.read_text()}")
    sound_server.command("reload")
    theirs = url.replace("postgres@", "locked:wr%23ng-secret@")
    with pytest.raises(BrokerUnavailableError, match="password authentication failed") as caught:
        async with open_broker(theirs):
            pass
    assert "ng-secret" not in f"{caught.value!r} {caplog.text}"
    with pytest.raises(BrokerUnavailableError, match=r"let_serve\(role\)"):
        async with open_broker(url.replace("postgres@", "locked:right@")):
            pass


async def test_nobody_there_is_told_at_once() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with pytest.raises(BrokerUnavailableError, match="refused"):
            async with open_broker(f"postgresql://x@127.0.0.1:{nobody.getsockname()[1]}/x"):
                pass


async def test_tls_is_verified(server: PostgresServer, tmp_path: Path) -> None:
    authority, other = trustme.CA(), trustme.CA()
    certificate = authority.issue_cert("localhost")
    url = server.database().replace("127.0.0.1", "localhost")
    certificate.private_key_pem.write_to_path(server.folder / "server.key")
    certificate.cert_chain_pems[0].write_to_path(server.folder / "server.crt")
    server.own("server.key", "server.crt")
    server.configure(ssl="on")
    server.restart()
    for name, ca in (("right", authority), ("wrong", other)):
        ca.cert_pem.write_to_path(tmp_path / name)
    verified = f"{url}?sslmode=verify-full&sslrootcert={tmp_path}/"
    async with open_broker(f"{verified}right") as broker:
        await broker.publish("t", "in secret")
    with pytest.raises(BrokerUnavailableError, match="certificate verify failed"):
        async with open_broker(f"{verified}wrong"):
            pass
    elsewhere = verified.replace("localhost", "127.0.0.1")
    with pytest.raises(BrokerUnavailableError, match="does not match"):
        async with open_broker(f"{elsewhere}right"):
            pass


@pytest.fixture
def standby(server: PostgresServer) -> Iterator[PostgresServer]:
    """It follows the server, and stays when that is killed."""
    other = server.standby()
    try:
        yield other
    finally:
        other.command("stop", "-m", "immediate")


async def has_all_of(server: PostgresServer, standby: PostgresServer) -> None:
    ask = "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn"
    with (
        psycopg.connect(server.url()) as there,
        psycopg.connect(standby.url(), autocommit=True) as here,
    ):
        place = there.execute("SELECT pg_current_wal_insert_lsn()::text").fetchone()
        with trio.fail_after(30):
            while here.execute(ask, place).fetchone() != (True,):
                await trio.sleep(0.01)


async def test_a_standby_that_lacks_the_last_commits_is_told_as_a_gap(
    server: PostgresServer, standby: PostgresServer
) -> None:
    url = server.database()
    both = url.replace(f":{server.port}/", f":{server.port},127.0.0.1:{standby.port}/")
    async with open_broker(both) as broker:
        first = await broker.publish("t", "before")
    with psycopg.connect(url) as connection:
        publish(connection, "t", "waits")
    await has_all_of(server, standby)
    standby.follow_no_more()
    async with open_broker(both) as broker:
        here = broker.subscribe("t", after=first)
        assert (await anext(here)).data == "waits"
        lost = await broker.publish("t", "lost")
        assert (await anext(here)).id == lost
        await trio.to_thread.run_sync(server.crash)
        while broker.health().reachable:
            await trio.sleep(0.01)
        await trio.to_thread.run_sync(standby.command, "promote", "-w")
        last = await broker.publish("t", "after")
        assert int(last) > int(lost)
        with trio.fail_after(30):
            with pytest.raises(GapError):
                await anext(here)
            found = []
            while last not in [event.id for event in found]:
                found.append(await anext(here))
        # What waited for its number at that time waits there.
        assert [event.data for event in found] == ["waits", "after"]
        for cursor in (first, lost):
            assert (await broker.read("t", after=cursor)).gap
        assert not (await broker.read("t", after=found[0].id)).gap
    await trio.to_thread.run_sync(server.start)  # which is to be ended


async def test_a_server_that_was_replaced_and_lives_on_is_left(server: PostgresServer) -> None:
    """As behind an address that moves: one connection is made to the new one, the others stay."""
    url = server.database()
    standby = await trio.to_thread.run_sync(server.copy)
    port = server.port

    async def forward(client: trio.SocketStream) -> None:
        async def pipe(source: trio.SocketStream, target: trio.SocketStream) -> None:
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                async for data in source:
                    await target.send_all(data)
            await target.aclose()

        async with (
            await trio.open_tcp_stream("127.0.0.1", port) as there,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(pipe, client, there)
            nursery.start_soon(pipe, there, client)

    async with trio.open_nursery() as nursery:
        serve = partial(trio.serve_tcp, forward, 0, host="127.0.0.1")
        [listener] = await nursery.start(serve)
        here = listener.socket.getsockname()[1]
        other = await trio.to_thread.run_sync(server.beside, standby)
        try:
            async with open_broker(url.replace(str(server.port), str(here))) as broker:
                events = broker.subscribe("t")
                first = await broker.publish("t", "first")
                assert (await anext(events)).id == first
                port = other.port
                with psycopg.connect(url, autocommit=True) as connection:
                    connection.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> "
                        "pg_backend_pid() AND query LIKE '%trio_stream.append%'"
                    )
                last = await broker.publish("t", "last")
                with trio.fail_after(30):
                    with pytest.raises(GapError):
                        await anext(events)
                    assert (await anext(events)).id == last
        finally:
            await trio.to_thread.run_sync(other.command, "stop", "-m", "immediate")
            nursery.cancel_scope.cancel()
