"""The file of a ``sqlite://`` broker, beside the simplest thing that could do the same."""

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from trio_stream.broker.contract import NOTHING, Page, Record, Retention, joined, wire_form
from trio_stream.broker.contract.topics import Selection
from trio_stream.broker.sqlite import blocks as sqlite_blocks
from trio_stream.broker.sqlite import directory as sqlite_directory
from trio_stream.broker.sqlite import places as sqlite_places
from trio_stream.broker.sqlite import store as sqlite_store
from trio_stream.broker.sqlite.store import SqliteStore
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
def opened(
    retention: Retention, page_bytes: int = 2**16, max_topics: int = 1000
) -> Iterator[SqliteStore]:
    with (
        closing(SqliteStore(":memory:", retention, "off", max_topics)) as store,
        patch.object(sqlite_blocks, "PAGE_BYTES", page_bytes),
        patch.object(sqlite_blocks, "_LARGE", 200),  # both ways to write one are tried
        patch.object(sqlite_blocks, "_PIECE", 64),
    ):
        yield store


@contextmanager
def looking_at(blocks: int, topics: int, few: int) -> Iterator[None]:
    """The bounds of what a reader looks at: with small ones a page is looked for in parts."""
    with (
        patch.object(sqlite_blocks, "_LOOKED_AT", blocks),
        patch.object(sqlite_directory, "_LOOKED_AT", topics),
        patch.object(sqlite_blocks, "_FEW_TOPICS", few),
    ):
        yield


lookings = st.sampled_from([(1000, 1000, 16), (1000, 0, 16), (5, 1, 1), (1, 1000, 0)])


@settings(max_examples=300)
@given(
    transactions=transactions,
    retention=retentions,
    filters=st.sampled_from(FILTERS),
    cut=st.integers(0, 250),
    limit=st.integers(1, 40),
    page_bytes=st.sampled_from([100, 1000, 2**16]),
    looking=lookings,
)
def test_it_reads_what_is_kept_and_tells_what_is_not(
    transactions: list[tuple[list[tuple[str, int, str]], int, bool]],
    retention: Retention,
    filters: list[str],
    cut: int,
    limit: int,
    page_bytes: int,
    looking: tuple[int, int, int],
) -> None:
    with opened(retention, page_bytes) as store, looking_at(*looking):
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
        for page in pages_of(store, selection, after, limit):
            assert len(page.records) <= limit
            assert cursor < page.upto or page.upto == store.last
            if page.records:
                block = joined(page.records)
                assert block.data == b"".join([record.data for record in page.records])
                assert block.id == str(page.records[-1].id)
            found += page.records
            cursor = page.upto
        assert cursor == store.last
        written = {record.id: record for record, _ in model.records}
        assert found == [written[id] for id in wanted]
        kept, _ = model.read(selection, 0, 0.0)
        for count in {1, limit, len(kept) or 1}:
            place = kept[-count] - 1 if count <= len(kept) else None
            assert place_of_last(store, selection, count) == place


def place_of_last(store: SqliteStore, selection: Selection, count: int) -> int | None:
    """The id behind which the newest are, with few blocks looked at in one go."""
    with patch.object(sqlite_places, "_AT_ONCE", 3):
        found = store.look_back(selection, count, store.last + 1)
        while found.place is None and found.before:
            found = store.look_back(selection, found.missing, found.before)
    return found.place


@given(times=st.lists(st.integers(0, 9), max_size=30), seconds=st.integers(0, 100))
def test_a_place_is_found_by_time(times: list[int], seconds: int) -> None:
    now, made = 1000.0, list[tuple[int, float]]()
    with opened(Retention()) as store, patch.object(sqlite_store.time, "time", lambda: now):
        for step in times:
            now += step
            store.append([Record(store.last + 1, "t", "", b"x")])
            made.append((store.last, now))
        older = [id for id, when in made if when < now - seconds]
        assert store.place_since(seconds) == max(older, default=0)


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


STORE_LARGE = """
import re, sys
from pathlib import Path
from trio_stream.broker.contract import Record, Retention
from trio_stream.broker.sqlite.store import SqliteStore

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024

store = SqliteStore(sys.argv[1], Retention(bytes=2**30), "off")
data = b"x" * 2**25
before = peak()
store.append([Record(store.last + 1, "t", "", data)])
print(peak() - before)
store.close()
"""


def test_a_large_event_is_stored_without_a_copy_of_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", STORE_LARGE, str(tmp_path / "events.db")]
    grown = int(subprocess.run(command, check=True, capture_output=True, timeout=60).stdout)
    assert grown < 2**24  # half of one


def test_trimming_deletes_what_nobody_reads_any_more() -> None:
    with opened(Retention(events=100), 2**16) as store:
        for start in range(store.last + 1, store.last + 5001, 50):
            store.append([Record(id, "t", "", b"x") for id in range(start, start + 50)])
        [(rows, events)] = store._db.execute("SELECT count(*), sum(events) FROM blocks").fetchall()
        assert (rows, events) == (2, 100)


def pages_of(
    store: SqliteStore, selection: Selection, cursor: int, limit: int = 1024
) -> Iterator[Page]:
    """One after another, until nothing follows."""
    while True:
        page = store.read(selection, cursor, limit)
        yield page
        cursor = page.upto
        if not page.records and cursor == store.last:
            return


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


def names_in(store: SqliteStore) -> list[str]:
    return [name for (name,) in store._db.execute("SELECT name FROM topics ORDER BY number")]


def test_beyond_max_topics_those_go_that_were_published_to_longest_ago() -> None:
    with opened(Retention(), max_topics=3) as store:
        before = store.last
        [a, b, c, _, _] = [add(store, (name, 10))[0] for name in ["a", "b", "c", "a", "d"]]
        assert names_in(store) == ["a", "c", "d"]
        assert b not in read_all(store, ["**"])[0]
        # Who may have missed something is told, by a number that is another when more has gone.
        for filters in (["b"], ["*"], ["a", "b"]):
            assert store.read(Selection(filters), a, 9).gone == {"": b}
            assert not store.read(Selection(filters), b, 9).gone
        assert not store.read(Selection(["a", "d"]), before, 9).gone
        add(store, ("e", 10))
        assert store.read(Selection(["*"]), a, 9).gone == {"": c}
        again = add(store, ("b", 10))[0]
        assert names_in(store) == ["d", "e", "b"]
        assert store.read(Selection(["b"]), b, 9).gone == {"b": c}
        assert not store.read(Selection(["b"]), c, 9).gone
        assert read_all(store, ["b"]) == [[again]]


def test_one_topic_at_least_is_kept_and_the_events_of_one_transaction_may_be_too_many() -> None:
    with opened(Retention(), max_topics=1) as store:
        ids = add(store, ("a", 1), ("b", 1), ("a", 1))
        assert read_all(store, ["**"]) == [[ids[0], ids[2]]]
        assert store.read(Selection(["b"]), 1, 9).gone == {"": ids[1]}


def test_what_is_forgotten_stays_so_when_the_file_is_opened_again(tmp_path: Path) -> None:
    path = str(tmp_path / "log.db")
    with closing(SqliteStore(path, Retention(), "off", 2)) as store:
        [a, b, c] = [add(store, (name, 10))[0] for name in ["a", "b", "c"]]
    with closing(SqliteStore(path, Retention(), "off", 2)) as store:
        assert store.read(Selection(["*"]), a - 1, 9).gone == {"": a}
        add(store, ("b", 10), ("d", 10))  # in the order of before: c is the oldest now
        assert names_in(store) == ["b", "d"]
        assert store.read(Selection(["*"]), b, 9).gone == {"": c}


def test_a_topic_that_is_forgotten_and_holds_much_goes_in_parts() -> None:
    with (
        opened(Retention(), max_topics=1) as store,
        patch.object(sqlite_directory, "_AT_ONCE", 10),
    ):
        ids = [id for _ in range(25) for id in add(store, ("large", 10))]
        add(store, ("t", 10))
        assert store.read(Selection(["large"]), 0, 99).records[0].id == ids[10]
        assert store.read(Selection(["large"]), ids[0], 99).gone == {"large": ids[9]}
        add(store, ("t", 10))
        assert store.read(Selection(["large"]), ids[0], 99).gone == {"large": ids[19]}
        add(store, ("t", 10))
        assert store.read(Selection(["large"]), ids[0], 99).gone == {"": ids[24]}
        assert names_in(store) == ["t"]


def test_topics_of_which_all_is_too_old_are_forgotten_when_there_are_many() -> None:
    now = 1e9
    with (
        patch("time.time", lambda: now),
        patch.object(sqlite_directory, "_EMPTY_TOPICS", 3),
        patch.object(sqlite_directory, "_AT_ONCE", 4),
        opened(Retention(age=10)) as store,
    ):
        ids = [add(store, (f"t/{n}", 10))[0] for n in range(9)]
        now += 11
        add(store, ("new", 10))
        assert names_in(store) == [*(f"t/{n}" for n in range(4, 9)), "new"]
        assert store.read(Selection(["t/0"]), ids[0] - 1, 9).gone == {"": ids[3]}
        assert store.read(Selection(["t/8"]), ids[0], 9).gone == {"t/8": ids[8]}
        for _ in range(3):
            add(store, ("new", 10))
        assert names_in(store) == ["t/6", "t/7", "t/8", "new"]


def test_topics_that_are_not_empty_are_not_forgotten_for_their_age() -> None:
    now = 1e9
    with (
        patch("time.time", lambda: now),
        patch.object(sqlite_directory, "_EMPTY_TOPICS", 1),
        opened(Retention(age=10)) as store,
    ):
        for n in range(5):
            add(store, (f"t/{n}", 10))
        now += 5
        add(store, ("t/0", 10))
        now += 6
        add(store, ("new", 10))
        assert names_in(store) == ["t/0", "t/4", "new"]


def test_a_page_does_not_look_at_more_than_it_may() -> None:
    with opened(Retention()) as store, looking_at(blocks=10, topics=5, few=16):
        first = store.last
        others = [add(store, (f"t/{n}", 10))[0] for n in range(25)]
        wanted = add(store, ("p", 10))
        pages = list(pages_of(store, Selection(["p", "*"]), first))
        assert [len(page.records) for page in pages] == [0, 0, 1, 0]
        assert [page.upto for page in pages[:2]] == [others[9], others[19]]
        # With few topics after the cursor, it is found at once.
        assert store.read(Selection(["*"]), others[-4], 9).records[0].id == wanted[0]


class Life:
    """A store on a file and, beside it, what it must hold: through ages, failures and restarts."""

    def __init__(self, random: Random, path: Path, retention: Retention, max_topics: int) -> None:
        self.random = random
        self.retention = retention
        self.max_topics = max_topics
        self.path = str(path)
        self.now = 1e9
        self.store = SqliteStore(self.path, retention, "off", max_topics)
        self.readers = [Reader(self, Selection(filters)) for filters in FILTERS]
        self.first = self.store.last
        self.last = self.store.last
        self.ever: list[Record] = []
        self.kept: dict[str, list[tuple[Record, float]]] = {name: [] for name in TOPICS}

    def close(self) -> None:
        self.store.close()

    def reopen(self) -> None:
        self.close()
        self.store = SqliteStore(self.path, self.retention, "off", self.max_topics)
        assert self.store.last == (self.ever[-1].id if self.ever else self.first)
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
        self.forget()

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

    def present(self) -> set[int]:
        """The ids of all that the store has."""
        self.expire()
        pages = pages_of(self.store, Selection(["**"]), 0)
        return {record.id for page in pages for record in page.records}

    def forget(self) -> None:
        """What was forgotten, and may not be of the topics that were published to last."""
        newest = {record.topic: record.id for record in self.ever}
        order = sorted(newest, key=newest.__getitem__)
        present = self.present()
        for name in order[: -self.max_topics]:
            self.kept[name] = [(r, when) for r, when in self.kept[name] if r.id in present]
        assert present == {record.id for kept in self.kept.values() for record, _ in kept}

    def check(self) -> None:
        selection = Selection(self.random.choice(FILTERS))
        after = self.random.choice([self.first, *(record.id for record in self.ever)])
        limit = self.random.choice([1, 2, 7, 1024])
        self.expire()
        kept = [record for records in self.kept.values() for record, _ in records]
        wanted = [r for r in self.ever if r.id > after and r.topic in selection]
        page = self.store.read(selection, after, limit)
        missing = any(record not in kept for record in wanted)
        assert bool(page.gone) == missing or (page.gone and self.has_forgotten())
        pages = pages_of(self.store, selection, after, limit)
        found = [record for page in pages for record in page.records]
        assert found == [record for record in wanted if record in kept]
        for name, topic in self.store._topics.items():
            sizes = [len(record.data) for record, _ in self.kept[name]]
            assert (topic.events, topic.bytes) == (len(sizes), sum(sizes))

    def has_forgotten(self) -> bool:
        return bool(self.store._known().base > self.first)


class Reader:
    """Reads on and on, and hears of everything that it misses, though of nothing twice."""

    def __init__(self, life: Life, selection: Selection) -> None:
        self.life = life
        self.selection = selection
        self.cursor = life.store.last
        self.told = NOTHING
        #: What it knows to be gone, of what it has not got.
        self.known_gone: set[int] = set()

    def read(self, limit: int) -> None:
        life = self.life
        page = life.store.read(self.selection, self.cursor, limit)
        ever = {record.id for record in life.ever if record.topic in self.selection}
        told, self.told = self.told, {**self.told, **page.gone}
        if self.told != told:
            self.known_gone = ever - life.present()
        passed = {id for id in ever if self.cursor < id <= page.upto}
        assert passed - {record.id for record in page.records} <= self.known_gone
        self.cursor = page.upto
        if not page.records and page.upto == life.store.last:
            self.told = NOTHING


@settings(max_examples=200)
@given(
    random=st.randoms(use_true_random=False),
    events=st.sampled_from([1, 3, 30]),
    size=st.sampled_from([1, 500, 10**6]),
    age=st.sampled_from([None, 3.0, 10.0]),
    page_bytes=st.sampled_from([60, 300, 2**16]),
    cached=st.sampled_from([1, 2, 100]),
    looking=lookings,
    max_topics=st.sampled_from([1, 2, 3, 100]),
    empty=st.sampled_from([0, 1, 1000]),
    at_once=st.sampled_from([1, 3, 1000]),
)
def test_through_ages_failures_and_restarts_it_holds_what_it_should(
    random: Random,
    events: int,
    size: int,
    age: float | None,
    page_bytes: int,
    cached: int,
    looking: tuple[int, int, int],
    max_topics: int,
    empty: int,
    at_once: int,
) -> None:
    with (
        TemporaryDirectory() as folder,
        patch.object(sqlite_blocks, "PAGE_BYTES", page_bytes),
        patch.object(sqlite_store, "_CACHED_TOPICS", cached),
        looking_at(*looking),
        patch.object(sqlite_directory, "_EMPTY_TOPICS", empty),
        patch.object(sqlite_directory, "_AT_ONCE", at_once),
    ):
        life = Life(random, Path(folder) / "log.db", Retention(events, age, size), max_topics)
        with closing(life), patch("time.time", lambda: life.now):
            for _ in range(12):
                life.now += random.choice([0, 0, 1, 4, 11])
                what = random.random()
                if what < 0.1:
                    life.reopen()
                life.append(fails=what > 0.85)
                life.now += random.choice([0, 5])
                life.check()
                for reader in random.choices(life.readers, k=3):
                    reader.read(random.choice([1, 2, 7, 1024]))
