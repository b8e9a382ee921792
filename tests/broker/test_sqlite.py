"""``sqlite://``: the contract, crashes, and everything that can be wrong with a file."""

import itertools
import os
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from trio_stream import Stream
from trio_stream.broker import Broker, Subscription, open_broker
from trio_stream.broker.contract.topics import Selection
from trio_stream.broker.sqlite import blocks as sqlite_blocks
from trio_stream.broker.sqlite import directory as sqlite_directory
from trio_stream.broker.sqlite import engine as sqlite_engine
from trio_stream.errors import BrokerInUseError, BrokerStorageError, GapError
from trio_stream.testing import check_broker, connect

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'log.db'}"


def file_of(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


async def ids_of(broker: Broker, *topics: str) -> list[str]:
    last = int(broker.last_id)
    found: list[str] = []
    async with broker.subscribe(*topics, after="earliest") as events:
        while not found or int(found[-1]) < last:
            found.append((await anext(events)).id)
    return found


async def test_it_keeps_the_contract(tmp_path: Path) -> None:
    numbers = itertools.count()
    await check_broker(
        lambda **options: open_broker(f"sqlite:///{tmp_path}/{next(numbers)}.db", **options)
    )


async def test_it_keeps_the_contract_with_nothing_in_memory(tmp_path: Path) -> None:
    numbers = itertools.count()
    await check_broker(
        lambda **options: open_broker(
            f"sqlite:///{tmp_path}/{next(numbers)}.db", memory_bytes=1, synchronous="off", **options
        )
    )


async def test_history_outlives_the_process(url: str) -> None:
    async with open_broker(url, history=10) as broker:
        ids = [await broker.publish(f"t/{n % 3}", n, key="k") for n in range(20)]
    async with open_broker(url, history=10) as broker:
        assert broker.last_id == ids[-1]
        assert await ids_of(broker, "t/*") == ids
        async with connect(Stream(broker.subscribe("t/1", after=ids[15]))) as client:
            assert (await client.receive_event()).data == "16"
            ids.append(await broker.publish("t/1", "new", key="k"))
            assert [(await client.receive_event()).data for _ in range(2)] == ["19", "new"]
        assert int(ids[-1]) > int(ids[-2])
        latest = broker.subscribe("t/*", after="earliest", overflow="latest")
        assert [(await anext(latest)).data for _ in range(3)] == ["17", "18", "new"]
        await broker.publish_many("t/0", range(11))
    async with open_broker(url, history=10) as broker:  # what was trimmed before is a gap still
        with pytest.raises(GapError):
            await anext(broker.subscribe("t/0", after=ids[0]))


CRASHING = """
import sys, trio
from trio_stream.broker import open_broker

async def publisher(broker, topic):
    for n in range(10**9):
        id = await broker.publish(topic, n)
        sys.stdout.write(f"{topic} {id}\\n")
        sys.stdout.flush()

async def main():
    async with open_broker(sys.argv[1], history=10**6, history_bytes=10**9) as broker:
        async with trio.open_nursery() as nursery:
            for n in range(20):
                nursery.start_soon(publisher, broker, f"t{n}")

trio.run(main)
"""


async def test_nothing_acknowledged_is_lost_by_kill_9(url: str, tmp_path: Path) -> None:
    program = tmp_path / "crashing.py"
    program.write_text(textwrap.dedent(CRASHING))
    acknowledged: list[tuple[str, int]] = []
    last = 0
    for _ in range(3):
        log = tmp_path / "acknowledged"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, program, url], cwd=PROJECT, stdout=output, env=environment()
            )
            try:
                with trio.fail_after(60):
                    while log.stat().st_size < 20_000:
                        assert process.poll() is None
                        await trio.sleep(0.01)
            finally:
                process.kill()
                process.wait()
        lines = [line.split() for line in log.read_text().splitlines(keepends=True)]
        new = [(line[0], int(line[1])) for line in lines[:-1]]
        assert min(id for _, id in new) > last
        acknowledged += new
        async with open_broker(url, history=10**6, history_bytes=10**9) as broker:
            kept = set()
            async with broker.subscribe("**", after="earliest") as events:
                end = int(await broker.publish("end", "x"))
                async for event in events:
                    if int(event.id) == end:
                        break
                    kept.add((event.topic, int(event.id)))
            assert set(acknowledged) <= kept
            last = end
            assert last > max(id for _, id in acknowledged)


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(PROJECT)}


async def test_ids_that_power_loss_undid_are_a_gap_and_never_given_again(url: str) -> None:
    async with open_broker(url) as broker:
        kept = await broker.publish("t", "kept")
    with sqlite3.connect(file_of(url)) as db:  # as after a crash that undid the last transactions
        db.execute("UPDATE log SET clean = 0")
    db.close()
    lost = str(int(kept) + 1)
    async with open_broker(url) as broker:
        new = await broker.publish("t", "new")
        assert int(new) > int(lost) + 1
        with pytest.raises(GapError):
            await anext(broker.subscribe("t", after=lost))
        assert (await anext(broker.subscribe("t", after=kept))).id == new
    with sqlite3.connect(file_of(url)) as db:  # and once more
        db.execute("UPDATE log SET clean = 0")
    db.close()
    async with open_broker(url) as broker:
        newest = await broker.publish("t", "newest")
        for after in (lost, str(int(new) + 1)):
            with pytest.raises(GapError):
                await anext(broker.subscribe("t", after=after))
        assert (await anext(broker.subscribe("t", after=kept))).id == new
        assert (await anext(broker.subscribe("t", after=new))).id == newest


async def test_a_second_opener_is_told(url: str) -> None:
    async with open_broker(url) as broker:
        with pytest.raises(BrokerInUseError, match="one process"):
            async with open_broker(url):
                pass
        program = (
            "import trio; from trio_stream.broker import open_broker\n"
            "async def main():\n"
            f"    async with open_broker({url!r}): pass\n"
            "trio.run(main)"
        )
        result = await trio.run_process(
            [sys.executable, "-c", program], env=environment(), capture_stderr=True, check=False
        )
        assert b"BrokerInUseError" in result.stderr.splitlines()[-1]
        await broker.publish("t", "still works")
    async with open_broker(url) as broker:
        assert len(await ids_of(broker, "t")) == 1


async def test_a_backup_is_a_broker_s_file_and_publishing_goes_on(url: str, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    async with open_broker(url) as broker:
        ids = await broker.publish_many("t", range(2000))
        assert isinstance(broker.engine, sqlite_engine.SqliteEngine)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(broker.engine.backup, copy)
            await trio.testing.wait_all_tasks_blocked()
            later = await broker.publish("t", "later")
        with pytest.raises(BrokerStorageError, match=r"copy\.db: .* exists"):
            await broker.engine.backup(copy)
    async with open_broker(f"sqlite:///{copy}") as broker:
        new = await broker.publish("t", "new")
        assert await ids_of(broker, "t") == [*ids, new]
        with pytest.raises(GapError):  # what came after the backup is lost to who goes on from it
            await anext(broker.subscribe("t", after=later))


async def test_another_program_can_read_the_file_when_it_is_closed(url: str) -> None:
    async with open_broker(url) as broker:
        await broker.publish("t", "x")
        other = sqlite3.connect(file_of(url), timeout=0)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("SELECT count(*) FROM blocks")
        other.close()
        await broker.publish("t", "y")
    other = sqlite3.connect(file_of(url))
    assert other.execute("SELECT count(*) FROM blocks").fetchone() == (2,)
    other.close()
    assert not file_of(f"{url}-wal").exists()


@pytest.mark.parametrize(
    "content",
    [b"not a database at all" * 100, b"SQLite format 3\0" + b"\xff" * 5000],
    ids=["text", "damaged header"],
)
async def test_what_is_no_database_is_refused(url: str, content: bytes) -> None:
    file_of(url).write_bytes(content)
    with pytest.raises(BrokerStorageError, match=r"log\.db"):
        async with open_broker(url):
            pass
    assert file_of(url).read_bytes() == content


async def test_the_database_of_something_else_is_refused(url: str) -> None:
    with sqlite3.connect(file_of(url)) as db:
        db.execute("CREATE TABLE users (name)")
    db.close()
    with pytest.raises(BrokerStorageError, match="something else"):
        async with open_broker(url):
            pass


async def test_the_file_of_another_version_is_refused(url: str) -> None:
    async with open_broker(url):
        pass
    with sqlite3.connect(file_of(url)) as db:
        db.execute("PRAGMA user_version = 1")
    db.close()
    with pytest.raises(BrokerStorageError, match="another version"):
        async with open_broker(url):
            pass


async def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(BrokerStorageError, match="unable to open"):
        async with open_broker(f"sqlite:///{tmp_path}/nowhere/log.db"):
            pass


async def test_a_damaged_page_is_told_to_who_reads_it(url: str) -> None:
    async with open_broker(url) as broker:
        first = await broker.publish("t", "x")
        await broker.publish_many("t", ["x" * 1000] * 500)
    content = bytearray(file_of(url).read_bytes())
    content[40_000:400_000] = os.urandom(360_000)
    file_of(url).write_bytes(content)
    async with open_broker(url) as broker:
        with pytest.raises(BrokerStorageError, match=r"malformed|disk image"):
            await read_all(broker.subscribe("t", after=first), 500)


async def read_all(events: Subscription, count: int) -> None:
    for _ in range(count):
        await anext(events)


@asynccontextmanager
async def with_pragma(broker: Broker, on: str, off: str) -> AsyncIterator[None]:
    """The store's own connection, so that SQLite itself fails and not a stand-in."""
    engine: Any = broker.engine
    await engine._worker.call(engine._store._db.execute, on)
    yield
    await engine._worker.call(engine._store._db.execute, off)


@pytest.mark.parametrize(
    ("on", "off", "message"),
    [
        ("PRAGMA max_page_count = 1", "PRAGMA max_page_count = 1000000", "full"),
        ("PRAGMA query_only = ON", "PRAGMA query_only = OFF", "readonly"),
    ],
    ids=["full disk", "read-only"],
)
async def test_what_cannot_be_written_is_told_and_not_stored(
    url: str, on: str, off: str, message: str
) -> None:
    async with open_broker(url) as broker:
        first = await broker.publish("t", "first")
        failures: list[BaseException] = []

        async def publisher() -> None:
            try:
                await broker.publish("t", "x" * 100_000)
            except BrokerStorageError as exc:
                failures.append(exc)

        async with with_pragma(broker, on, off), trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(publisher)
        assert len({id(failure) for failure in failures}) == 5
        assert all(message in str(failure) for failure in failures)
        last = await broker.publish("t", "again")
        assert await ids_of(broker, "t") == [first, last]
    async with open_broker(url) as broker:
        assert await ids_of(broker, "t") == [first, last]


async def test_leaving_when_nothing_can_be_written_is_a_warning_and_closes_the_file(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_broker(url) as broker:
        last = await broker.publish("t", "x")
        engine: Any = broker.engine
        await engine._worker.call(engine._store._db.execute, "PRAGMA query_only = ON")
    [warning] = caplog.records
    assert (warning.name, warning.levelname) == ("trio_stream", "WARNING")
    assert "log.db: attempt to write a readonly database" in warning.getMessage()
    assert "ids jump ahead" in warning.getMessage()
    async with open_broker(url) as broker:
        assert int(broker.last_id) > int(last)
        assert (await anext(broker.subscribe("t", after="earliest"))).id == last
        with pytest.raises(GapError):
            await anext(broker.subscribe("t", after=int(last) + 1))


async def test_publishers_have_their_turn_while_something_is_looked_for(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_blocks, "_LOOKED_AT", 10)
    monkeypatch.setattr(sqlite_directory, "_LOOKED_AT", 10)
    async with open_broker(url, memory_bytes=1, max_topics=90) as broker:
        first = await broker.publish("t/0", "x")
        for n in range(100):
            await broker.publish(f"t/{n}", n)
        wanted = await broker.publish("p/1", "y")
        await broker.publish("q", "the only one in memory")
        engine: Any = broker.engine
        read, reads = engine._store.read, 0

        def counting(*args: Any) -> Any:
            nonlocal reads
            reads += 1
            return read(*args)

        monkeypatch.setattr(engine._store, "read", counting)
        subscription = broker.subscribe("p/*", after=first)
        with pytest.raises(GapError) as caught:  # t/0, which is forgotten, might have been one
            await anext(subscription)
        assert caught.value.next == wanted
        assert (await anext(subscription)).id == wanted
        assert reads >= 90 / 10
        # It does not take another look when nobody waits for it any more.
        token = trio.lowlevel.current_trio_token()
        scope = trio.CancelScope()

        def last(*args: Any) -> Any:
            token.run_sync_soon(scope.cancel)
            return counting(*args)

        monkeypatch.setattr(engine._store, "read", last)
        reads = 0
        with scope:
            await engine.read(Selection(["p/*"]), int(first), 1)
        await broker.publish("q", "the thread has done what it was asked for")
        assert (scope.cancelled_caught, reads) == (True, 1)


@pytest.mark.skipif(os.geteuid() == 0, reason="to root no file is read-only")
async def test_a_read_only_file_is_told(url: str) -> None:
    async with open_broker(url):
        pass
    file_of(url).chmod(0o444)
    with pytest.raises(BrokerStorageError):
        async with open_broker(url):
            pass


async def test_many_publishers_share_a_transaction(url: str) -> None:
    async with open_broker(url) as broker:
        async with trio.open_nursery() as nursery:
            for n in range(500):
                nursery.start_soon(broker.publish, "t", n)
        assert broker.statistics().engine["transactions"] <= 3
        assert broker.statistics().published == 500


async def test_a_publisher_that_is_cancelled_before_its_turn_has_not_published(url: str) -> None:
    async with open_broker(url) as broker:
        engine: Any = broker.engine
        async with trio.open_nursery() as nursery:
            # The thread is busy, so one batch is on its way and the next one waits.
            go_on = threading.Event()
            nursery.start_soon(engine._worker.call, go_on.wait, 30)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(broker.publish, "t", "under way")
            await trio.testing.wait_all_tasks_blocked()
            with trio.move_on_after(0.05) as scope:
                await broker.publish("t", "cancelled")
            assert scope.cancelled_caught
            go_on.set()
        last = await broker.publish("t", "last")
        ids = await ids_of(broker, "t")
        assert (len(ids), ids[-1]) == (2, last)


async def test_each_of_many_publishers_is_told_the_ids_of_its_own(url: str) -> None:
    ids: dict[str, str] = {}

    async def publisher(broker: Broker, n: int) -> None:
        if n % 3:
            ids[await broker.publish(f"t/{n % 5}", str(n))] = str(n)
        else:
            values = [f"{n}.{part}" for part in range(n % 7)]
            given = await broker.publish_many(f"t/{n % 5}", values)
            ids.update(zip(given, values, strict=True))

    async with open_broker(url, synchronous="off") as broker:
        async with trio.open_nursery() as nursery:
            for n in range(700):
                nursery.start_soon(publisher, broker, n)
        async with broker.subscribe("t/*", after="earliest") as events:
            for id in sorted(ids, key=int):
                event = await anext(events)
                assert (event.id, event.data) == (id, ids[id])
        # One row for each topic and transaction, not one for each event.
        engine: Any = broker.engine
        [rows] = await engine._worker.call(
            lambda: engine._store._db.execute("SELECT count(*) FROM blocks").fetchone()
        )
        assert rows <= 5 * broker.statistics().engine["transactions"]


async def test_when_all_of_a_transaction_to_be_are_cancelled_the_next_one_is_written(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_engine, "_TRANSACTION", 10)
    async with open_broker(url) as broker:
        engine: Any = broker.engine
        async with trio.open_nursery() as nursery:
            go_on = threading.Event()
            nursery.start_soon(engine._worker.call, go_on.wait, 30)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(broker.publish, "t", "under way")
            await trio.testing.wait_all_tasks_blocked()
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as cancelled:
                    for _ in range(20):
                        cancelled.start_soon(broker.publish, "t", "cancelled")
                    await trio.testing.wait_all_tasks_blocked()
                    for _ in range(5):
                        nursery.start_soon(broker.publish, "t", "kept")
                    await trio.testing.wait_all_tasks_blocked()
                    assert broker.statistics().engine["waiting"] == 25
                    scope.cancel()
            assert broker.statistics().engine["waiting"] == 5
            go_on.set()
        assert len(await ids_of(broker, "t")) == 6


async def test_closing_while_many_publish_says_so_to_those_whose_turn_never_came(url: str) -> None:
    stored: list[str] = []
    refused = 0

    async def publisher(broker: Broker) -> None:
        nonlocal refused
        try:
            while True:
                stored.append(await broker.publish("t", "x"))
        except trio.ClosedResourceError:
            refused += 1

    async with trio.open_nursery() as nursery, AsyncExitStack() as stack:
        broker = await stack.enter_async_context(open_broker(url))
        for _ in range(30):
            nursery.start_soon(publisher, broker)
        await trio.sleep(0.05)
    assert refused == 30
    async with open_broker(url) as broker:
        assert set(stored) <= set(await ids_of(broker, "t"))


async def test_a_clock_that_jumps_back_loses_nothing(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_broker(url, history_age=3600) as broker:
        ids = await broker.publish_many("t", range(3))
        now = time.time
        monkeypatch.setattr(time, "time", lambda: now() - 86400)
        monkeypatch.setattr(time, "time_ns", lambda: int((now() - 86400) * 1e9))
        ids += await broker.publish_many("t", range(3))
        assert [int(id) for id in ids] == sorted({int(id) for id in ids})
        assert await ids_of(broker, "t") == ids
    async with open_broker(url, history_age=3600) as broker:
        ids.append(await broker.publish("t", "x"))
        assert await ids_of(broker, "t") == ids
        assert int(ids[-1]) > int(ids[-2])


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("sqlite://", {}),
        ("sqlite:///", {}),
        ("sqlite:file.db", {}),
        ("sqlite:///x.db", {"synchronous": "extra"}),
        ("sqlite:///x.db", {"max_topics": 0}),
    ],
)
async def test_wrong_urls_and_options_are_refused(url: str, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"SQLite URL|synchronous must be|max_topics must be"):
        async with open_broker(url, **options):
            pass


async def test_a_mock_clock_does_not_run_away_while_the_disk_is_waited_for(
    url: str, autojump_clock: trio.testing.MockClock
) -> None:
    async with open_broker(url) as broker:
        start = trio.current_time()
        for n in range(20):
            await broker.publish("t", n)
            assert (await anext(broker.subscribe("t", after="earliest"))).data == "0"
        assert trio.current_time() - start < 5
