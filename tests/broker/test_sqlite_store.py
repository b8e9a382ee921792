"""The file of a ``sqlite://`` broker, beside the simplest thing that could do the same."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from trio_stream.broker.contract import Record, Retention, joined, wire_form
from trio_stream.broker.sqlite import blocks as sqlite_blocks
from trio_stream.broker.sqlite import store as sqlite_store
from trio_stream.broker.sqlite.store import SqliteStore
from trio_stream.broker.topics import Selection
from trio_stream.errors import BrokerStorageError

from .test_log import FILTERS, TOPICS, Model

#: Transactions: the topics, sizes and keys of what they hold; how far from the last id their first
#: is, as one that failed may have been between; and whether the store is to forget what it knows by
#: heart afterwards, as if it had been closed and opened.
transactions = st.lists(
    st.tuples(
        st.lists(
            st.tuples(
                st.sampled_from(TOPICS), st.integers(0, 300), st.sampled_from(["", "k", "ü,"])
            ),
            min_size=1,
            max_size=20,
        ),
        st.integers(1, 3),
        st.booleans(),
    ),
    max_size=12,
)
retentions = st.builds(
    Retention, events=st.integers(1, 30), bytes=st.sampled_from([1, 500, 2000, 10**6])
)


@contextmanager
def opened(retention: Retention, page_bytes: int) -> Iterator[SqliteStore]:
    with (
        closing(SqliteStore(":memory:", retention, "off")) as store,
        patch.object(sqlite_blocks, "PAGE_BYTES", page_bytes),
    ):
        yield store


@settings(max_examples=300)
@given(
    transactions=transactions,
    retention=retentions,
    filters=st.sampled_from(FILTERS),
    cut=st.integers(0, 250),
    limit=st.integers(1, 40),
    page_bytes=st.sampled_from([100, 1000, 2**16]),
)
def test_it_reads_what_is_kept_and_tells_what_is_not(
    transactions: list[tuple[list[tuple[str, int, str]], int, bool]],
    retention: Retention,
    filters: list[str],
    cut: int,
    limit: int,
    page_bytes: int,
) -> None:
    with opened(retention, page_bytes) as store:
        model = Model(retention)
        ids = [store.last]
        for events, step, forgets in transactions:
            records = [
                Record(id, topic, key, wire_form(id, b"x" * size))
                for id, (topic, size, key) in enumerate(events, ids[-1] + step)
            ]
            store.append(records)
            ids += [record.id for record in records]
            model.records += [(record, 0.0) for record in records]
            if forgets:
                store._topics.clear()
        selection, after = Selection(filters), ids[min(cut, len(ids) - 1)]
        wanted, gap = model.read(selection, after, 0.0)
        assert bool(store.read(selection, after, limit).gone) == gap
        assert not store.read(selection, store.last, limit).gone
        cursor, found = after, []
        while (page := store.read(selection, cursor, limit)).records:
            assert len(page.records) <= limit
            block = joined(page.records)
            assert block.data == b"".join([record.data for record in page.records])
            assert block.id == str(page.records[-1].id)
            found += page.records
            cursor = page.upto
        assert page.upto == store.last
        written = {record.id: record for record, _ in model.records}
        assert found == [written[id] for id in wanted]


def test_a_transaction_is_a_row_as_long_as_it_is_one_topics() -> None:
    with opened(Retention(), 2**16) as store:
        first = store.last + 1
        names = ["t"] * 500 + ["u"] * 2 + ["t"]
        records = [Record(first + n, name, "", b"x" * 60) for n, name in enumerate(names)]
        store.append(records)
        rows = store._db.execute("SELECT events, length(data) FROM blocks ORDER BY last").fetchall()
        assert rows == [(500, 30_000), (2, 120), (1, 60)]


def test_a_large_transaction_is_rows_of_a_page_at_most() -> None:
    with opened(Retention(bytes=2**30), 2**16) as store:
        first = store.last + 1
        store.append([Record(first + n, "t", "", b"x" * 1000) for n in range(1000)])
        store.append([Record(first + 1000, "t", "", b"x" * 100_000)])
        sizes = [size for (size,) in store._db.execute("SELECT length(data) FROM blocks")]
        assert sum(sizes) == 1_100_000
        assert sorted(sizes)[-2] <= 2**16


def test_trimming_deletes_what_nobody_reads_any_more() -> None:
    with opened(Retention(events=100), 2**16) as store:
        for start in range(store.last + 1, store.last + 5001, 50):
            store.append([Record(id, "t", "", b"x") for id in range(start, start + 50)])
        [(rows, events)] = store._db.execute("SELECT count(*), sum(events) FROM blocks").fetchall()
        assert (rows, events) == (2, 100)


def read_all(store: SqliteStore, filters: list[str], limit: int = 1000) -> list[list[int]]:
    """The ids of all that is kept, page by page."""
    pages, cursor = [], 0
    while (page := store.read(Selection(filters), cursor, limit)).records:
        pages.append([record.id for record in page.records])
        cursor = page.upto
    return pages


def add(store: SqliteStore, *events: tuple[str, int], step: int = 1) -> list[int]:
    """One transaction of events, of topics and sizes; returns their ids."""
    first = store.last + step
    records = [Record(id, topic, "", b"x" * size) for id, (topic, size) in enumerate(events, first)]
    store.append(records)
    return [record.id for record in records]


def test_a_page_may_end_within_a_block() -> None:
    with opened(Retention(), 2**16) as store:
        ids = add(store, *[("t", 60)] * 20)
        assert read_all(store, ["t"], limit=8) == [ids[:8], ids[8:16], ids[16:]]
        ids += add(store, *[("t", 60)] * 3, step=10)
        assert read_all(store, ["t"], limit=8) == [ids[:8], ids[8:16], ids[16:20], ids[20:]]


def test_a_page_is_as_many_blocks_as_fit_whatever_came_before() -> None:
    with opened(Retention(), 1000) as store:
        ids = [id for size in [10] * 60 + [995] * 2 + [10] * 3 for id in add(store, ("t", size))]
        assert read_all(store, ["t"]) == [ids[:60], ids[60:61], ids[61:62], ids[62:]]


def test_the_page_before_the_last_is_not_taken_for_the_last() -> None:
    with opened(Retention(), 2**16) as store:
        ids = [id for size in [1] * 100 for id in add(store, ("t", size))]
        ids += add(store, *[("t", 1)] * 1500)
        assert read_all(store, ["t"], limit=1024) == [ids[:100], ids[100:1124], ids[1124:]]


def test_many_large_events_of_many_topics_are_not_one_page() -> None:
    with opened(Retention(), 2**16) as store:
        ids = [add(store, (f"small/{n}", 10))[0] for n in range(20)]
        ids += [add(store, (f"large/{n}", 2**17))[0] for n in range(20)]
        assert read_all(store, ["**"]) == [ids[:20], *([id] for id in ids[20:])]


def test_what_was_trimmed_of_a_block_is_not_read_wherever_the_block_is() -> None:
    with opened(Retention(events=5), 2**16) as store:
        a = add(store, *[("a", 60)] * 6)
        b = add(store, *[("b", 60)] * 9)
        assert read_all(store, ["*"]) == [a[1:] + b[4:]]
        assert read_all(store, ["*"], limit=7) == [a[1:], b[4:]]
        assert store.read(Selection(["*"]), a[2], 100).records[0].id == a[3]
        assert read_all(store, ["b"], limit=3) == [b[4:7], b[7:]]


def test_a_reader_in_the_middle_of_a_page_with_holes_gets_nothing_twice() -> None:
    with opened(Retention(events=5), 2**16) as store:
        a = [id for _ in range(5) for id in add(store, ("a", 60))]
        b = add(store, *[("b", 60)] * 9)
        page = store.read(Selection(["*"]), a[2], 1000)
        assert [record.id for record in page.records] == a[3:] + b[4:]
        assert store.read(Selection(["*"]), b[6], 1000).records[0].id == b[7]


class Life:
    """A store on a file and, beside it, what it must hold: through ages, failures and restarts."""

    def __init__(self, random: Random, path: Path, retention: Retention) -> None:
        self.random = random
        self.retention = retention
        self.path = str(path)
        self.now = 1e9
        self.store = SqliteStore(self.path, retention, "off")
        self.last = self.store.last
        self.ever: list[Record] = []
        self.kept: dict[str, list[tuple[Record, float]]] = {name: [] for name in TOPICS}

    def close(self) -> None:
        self.store.close()

    def reopen(self) -> None:
        self.close()
        self.store = SqliteStore(self.path, self.retention, "off")
        assert self.store.last == (self.ever[-1].id if self.ever else self.store.base)
        self.last = max(self.last, self.store.last)

    def append(self, *, fails: bool) -> None:
        names = self.random.choices(TOPICS, k=self.random.choice([1, 1, 2, 5, 20]))
        if self.random.random() < 0.5:
            names.sort()
        records = [
            Record(id, name, "", wire_form(id, b"x\0" * self.random.choice([0, 1, 30, 150])))
            for id, name in enumerate(names, self.last + self.random.choice([1, 2]))
        ]
        self.last = records[-1].id
        # Of what is inserted, SQLite itself refuses what is longer: in the middle, perhaps.
        before = self.store._db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 200 if fails else 10**9)
        try:
            self.store.append(records)
        except BrokerStorageError:
            assert fails
        else:
            self.ever += records
            for record in records:
                self.kept[record.topic].append((record, self.now))
            for name in names:
                self.trim(self.kept[name])
        finally:
            self.store._db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, before)
        self.expire()

    def trim(self, kept: list[tuple[Record, float]]) -> None:
        most = self.retention
        while len(kept) > most.events or (
            len(kept) > 1 and sum(len(record.data) for record, _ in kept) > most.bytes
        ):
            del kept[0]

    def expire(self) -> None:
        """Ids and times grow together: what came before something young enough is gone."""
        if self.retention.age is None:
            return
        young = [
            record.id
            for kept in self.kept.values()
            for record, when in kept
            if when >= self.now - self.retention.age
        ]
        oldest = min(young, default=self.last + 1)
        for kept in self.kept.values():
            kept[:] = [(record, when) for record, when in kept if record.id >= oldest]

    def check(self) -> None:
        selection = Selection(self.random.choice(FILTERS))
        after = self.random.choice([self.store.base, *(record.id for record in self.ever)])
        limit = self.random.choice([1, 2, 7, 1024])
        self.expire()
        kept = [record for records in self.kept.values() for record, _ in records]
        wanted = [r for r in self.ever if r.id > after and r.topic in selection]
        page = self.store.read(selection, after, limit)
        assert bool(page.gone) == any(record not in kept for record in wanted)
        found = [*page.records]
        while page.records:
            page = self.store.read(selection, page.upto, limit)
            found += page.records
        assert found == [record for record in wanted if record in kept]
        for name, topic in self.store._topics.items():
            sizes = [len(record.data) for record, _ in self.kept[name]]
            assert (topic.events, topic.bytes) == (len(sizes), sum(sizes))


@settings(max_examples=200)
@given(
    random=st.randoms(use_true_random=False),
    events=st.sampled_from([1, 3, 30]),
    size=st.sampled_from([1, 500, 10**6]),
    age=st.sampled_from([None, 3.0, 10.0]),
    page_bytes=st.sampled_from([60, 300, 2**16]),
    cached=st.sampled_from([1, 2, 100]),
)
def test_through_ages_failures_and_restarts_it_holds_what_it_should(
    random: Random, events: int, size: int, age: float | None, page_bytes: int, cached: int
) -> None:
    with (
        TemporaryDirectory() as folder,
        patch.object(sqlite_blocks, "PAGE_BYTES", page_bytes),
        patch.object(sqlite_store, "_CACHED_TOPICS", cached),
    ):
        life = Life(random, Path(folder) / "log.db", Retention(events, age, size))
        with closing(life), patch("time.time", lambda: life.now):
            for _ in range(12):
                life.now += random.choice([0, 0, 1, 4, 11])
                what = random.random()
                if what < 0.1:
                    life.reopen()
                life.append(fails=what > 0.85)
                life.now += random.choice([0, 5])
                life.check()
