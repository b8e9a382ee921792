"""Iterables that may block: one worker thread each, from the first value to the close."""

import logging
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
import trio.testing

from tests.stream.helpers import data_of
from tests.support.tasks import NothingLeft
from trio_stream import Stream, current_blocking_limiter
from trio_stream.stream.source import blocking
from trio_stream.stream.source.contract import CLOSE_TIMEOUT
from trio_stream.testing import connect

Clock = trio.testing.MockClock


class Rows:
    """A generator function whose generator notes its threads and how it was closed."""

    def __init__(self, count: float = float("inf")) -> None:
        self.count = count
        self.produced = 0
        self.threads: set[int] = set()
        self.closed = threading.Event()

    def __call__(self) -> Iterator[int]:
        try:
            while self.produced < self.count:
                self.threads.add(threading.get_ident())
                self.produced += 1
                yield self.produced
        finally:
            self.threads.add(threading.get_ident())
            self.closed.set()


async def test_all_its_values_in_order(autojump_clock: Clock, no_task_left: NothingLeft) -> None:
    rows = Rows(2000)
    assert await data_of(Stream(rows())) == [str(number) for number in range(1, 2001)]
    await no_task_left()


async def test_in_one_thread_for_its_whole_life(autojump_clock: Clock) -> None:
    rows = Rows()
    async with connect(Stream(rows())) as client:
        for _ in range(1000):
            await client.receive_event()
    assert rows.closed.is_set()
    assert len(rows.threads) == 1
    assert threading.get_ident() not in rows.threads


async def test_a_generator_over_an_sqlite_cursor(autojump_clock: Clock, tmp_path: Path) -> None:
    """SQLite's objects may be used in the thread that made them only."""
    path = tmp_path / "rows.db"
    with sqlite3.connect(path) as database:
        database.execute("create table rows (number)")
        database.executemany("insert into rows values (?)", [(n,) for n in range(500)])
    database.close()

    def rows() -> Iterator[int]:
        database = sqlite3.connect(path)
        try:
            for (number,) in database.execute("select number from rows order by number"):
                yield number
        finally:
            database.close()

    assert await data_of(Stream(rows())) == [str(number) for number in range(500)]
    async with connect(Stream(rows())) as client:
        await client.receive_event()


async def test_a_cursor_itself(autojump_clock: Clock) -> None:
    database = sqlite3.connect(":memory:", check_same_thread=False)
    cursor = database.execute("select 1 union select 2")
    assert await data_of(Stream(cursor)) == ["[1]", "[2]"]
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        cursor.fetchone()
    database.close()


async def test_a_file_line_by_line(autojump_clock: Clock, tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_text("one\ntwo\n")
    file = path.open()
    lines = await data_of(Stream(file))
    assert lines == ["one\n", "two\n"]
    assert file.closed


async def test_an_iterable_that_only_makes_an_iterator_stays_its_owners(
    autojump_clock: Clock,
) -> None:
    class Lines:
        closed = False

        def __iter__(self) -> Iterator[str]:
            return iter(["a"])

        def close(self) -> None:
            self.closed = True

    lines = Lines()
    assert await data_of(Stream(lines)) == ["a"]
    assert not lines.closed


async def test_a_value_is_never_held_back_for_the_next(autojump_clock: Clock) -> None:
    go_on = threading.Event()

    def rows() -> Iterator[str]:
        yield "first"
        go_on.wait(120)
        yield "second"

    async with connect(Stream(rows())) as client:
        assert (await client.receive_event()).data == "first"
        assert not go_on.is_set()
        go_on.set()
        assert (await client.receive_event()).data == "second"


async def test_the_thread_waits_for_a_slow_client(caplog: pytest.LogCaptureFixture) -> None:
    rows = Rows()
    async with connect(Stream(rows(), buffer=10), socket_buffer=1):
        produced = -1
        while rows.produced != produced or produced <= blocking._HANDOVER:
            produced = rows.produced
            await trio.sleep(0.1)
        # What is under way in the hand-over, the channel, the writer and the socket.
        assert produced < 2 * blocking._HANDOVER + 30
    assert rows.closed.is_set()  # it was woken, and not waited for and abandoned
    assert caplog.records == []


async def test_it_fails_as_it_would_anywhere(
    autojump_clock: Clock, no_task_left: NothingLeft
) -> None:
    def rows() -> Iterator[int]:
        yield 1
        raise KeyError("in the thread")

    stream = Stream(rows())
    with pytest.raises(KeyError, match="in the thread"):
        async with connect(stream) as client:
            assert [event.data async for event in client.events()] == ["1"]
    assert stream.outcome == "failed"
    await no_task_left()


async def test_one_whose_iter_fails_is_a_failure(autojump_clock: Clock) -> None:
    class Broken:
        def __iter__(self) -> Iterator[int]:
            raise KeyError("no iterator")

    with pytest.raises(KeyError, match="no iterator"):
        async with connect(Stream(Broken())) as client:
            await client.read()


async def test_one_that_blocks_for_a_while_is_waited_for(
    autojump_clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    no_task_left: NothingLeft,
) -> None:
    monkeypatch.setattr(blocking, "CLOSE_TIMEOUT", 120)
    release, ended = threading.Event(), threading.Event()

    def rows() -> Iterator[int]:
        yield 1
        assert release.wait(120)
        ended.set()
        yield 2

    async def let_go() -> None:
        while stream.outcome is None:
            await trio.sleep(0.01)
        await trio.testing.wait_all_tasks_blocked()
        release.set()

    stream = Stream(rows())
    async with trio.open_nursery() as nursery, connect(stream) as client:
        await client.receive_event()
        nursery.start_soon(let_go)
    assert ended.is_set()
    assert caplog.records == []
    await no_task_left()


async def test_one_that_blocks_too_long_is_abandoned_and_logged(
    autojump_clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    no_task_left: NothingLeft,
) -> None:
    assert CLOSE_TIMEOUT == 5
    monkeypatch.setattr(blocking, "CLOSE_TIMEOUT", 0.2)
    release, closed = threading.Event(), threading.Event()

    def rows() -> Iterator[int]:
        try:
            yield 1
            release.wait(120)
            yield 2
        finally:
            closed.set()

    stream = Stream(rows())
    async with connect(stream) as client:
        await client.receive_event()
        began = time.perf_counter()
    assert time.perf_counter() - began >= 0.2
    assert not closed.is_set()  # the thread would have taken two minutes
    assert stream.outcome == "disconnected"
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert "rows" in record.getMessage()
    assert "its thread was abandoned" in record.getMessage()
    await no_task_left()
    release.set()
    assert await trio.to_thread.run_sync(closed.wait, 30)


async def test_an_abandoned_thread_may_outlive_the_trio_run(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(blocking, "CLOSE_TIMEOUT", 0.05)
    release, closed = threading.Event(), threading.Event()

    def rows() -> Iterator[int]:
        try:
            yield 1
            release.wait(120)
            yield 2
        finally:
            closed.set()

    async def serve() -> None:
        async with Stream(rows()) as stream:
            await anext(stream.value)

    await trio.to_thread.run_sync(trio.run, serve)
    release.set()
    assert await trio.to_thread.run_sync(closed.wait, 30)
    assert "abandoned" in caplog.text


async def test_a_stream_without_a_free_thread_is_open_and_pinged(
    autojump_clock: Clock, no_task_left: NothingLeft
) -> None:
    current_blocking_limiter().total_tokens = 1
    first, second = Rows(), Rows(2)
    async with connect(Stream(first())) as holder:
        await holder.receive_event()
        async with connect(Stream(second(), ping=0.1)) as waiting:
            while len(waiting.comments) < 2:
                with trio.move_on_after(0.05):
                    await waiting.receive_event()
            assert second.produced == 0
            holder.disconnect()
            assert [event.data async for event in waiting.events()] == ["1", "2"]
    await no_task_left()


async def test_a_client_that_leaves_while_waiting_for_a_thread(
    autojump_clock: Clock, no_task_left: NothingLeft
) -> None:
    current_blocking_limiter().total_tokens = 1
    first, second = Rows(), Rows()
    async with connect(Stream(first())) as holder:
        await holder.receive_event()
        generator = second()
        async with connect(Stream(generator, hold_headers=False)):
            pass
        assert second.produced == 0
        with pytest.raises(StopIteration):  # it was closed without having been started
            next(generator)
        assert current_blocking_limiter().borrowed_tokens == 1
    assert current_blocking_limiter().borrowed_tokens == 0
    await no_task_left()


async def test_the_limiter_is_its_own() -> None:
    assert current_blocking_limiter().total_tokens == 256
    assert current_blocking_limiter() is not trio.to_thread.current_default_thread_limiter()


async def test_other_streams_go_on_while_one_blocks(autojump_clock: Clock) -> None:
    release = threading.Event()

    def blocked() -> Iterator[int]:
        release.wait(120)
        yield 1

    async with connect(Stream(blocked(), hold_headers=False)) as waiting:
        assert await data_of(Stream(["a", "b"])) == ["a", "b"]
        release.set()
        assert (await waiting.receive_event()).data == "1"
