"""The log in memory, beside the simplest thing that could do the same."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import cycle
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from trio_stream.broker.contract import Record, Retention, wire_form
from trio_stream.broker.contract.topics import Selection
from trio_stream.broker.log import log as log_module
from trio_stream.broker.log.log import RECORD_OVERHEAD, MemoryLog

TOPICS = ["a", "b/1", "b/2", "c"]
FILTERS = [["a"], ["a", "c"], ["b/*"], ["**"], ["nobody"], ["b/1", "**"]]


@dataclass
class Model:
    """Every record there ever was, and for each topic what must still be there."""

    retention: Retention
    records: list[tuple[Record, float]] = field(default_factory=list)

    def kept(self, topic: str, now: float) -> list[Record]:
        mine = [(r, t) for r, t in self.records if r.topic == topic]
        mine = mine[-self.retention.events :]
        while len(mine) > 1 and sum(len(r.data) for r, _ in mine) > self.retention.bytes:
            mine.pop(0)
        age = self.retention.age
        return [r for r, t in mine if age is None or t >= now - age]

    def read(self, selection: Selection, after: int, now: float) -> tuple[list[int], bool]:
        kept = [r.id for topic in TOPICS for r in self.kept(topic, now) if topic in selection]
        wanted = [r.id for r, _ in self.records if r.topic in selection and r.id > after]
        return sorted(id for id in kept if id > after), not set(wanted) <= set(kept)


steps = st.lists(
    st.tuples(
        st.sampled_from(TOPICS), st.integers(0, 300), st.integers(1, 3), st.sampled_from([0, 1, 7])
    ),
    max_size=60,
)
retentions = st.builds(
    Retention,
    events=st.integers(1, 9),
    age=st.one_of(st.none(), st.just(10.0)),
    bytes=st.sampled_from([1, 500, 10**6]),
)


@given(steps=steps, retention=retentions, filters=st.sampled_from(FILTERS), cut=st.integers(0, 70))
def test_it_reads_what_is_kept_and_tells_what_is_not(
    steps: list[tuple[str, int, int, float]], retention: Retention, filters: list[str], cut: int
) -> None:
    now = 0.0
    log = MemoryLog(100, retention, 10**9, lambda: now)
    model = Model(retention)
    ids = [100]
    together: list[Record] = []
    for topic, size, step, seconds in steps:
        if seconds and together:
            log.extend(together)
            together = []
        now += seconds
        record = Record(ids[-1] + step, topic, "", wire_form(ids[-1] + step, b"x" * size))
        ids.append(record.id)
        together.append(record)
        model.records.append((record, now))
    log.extend(together)
    selection, after = Selection(filters), ids[min(cut, len(ids) - 1)]
    page = log.read(selection, after, 1000)
    found, gap = model.read(selection, after, now)
    assert [record.id for record in page.records] == found
    assert bool(page.gone) == gap
    missing = sum(r.id > after for r in [r for r, _ in model.records] if r.topic in selection)
    assert log.missing(after, page.gone) == missing - len(found)
    assert page.upto == log.head == ids[-1]
    assert not log.read(selection, log.head, 1000).gone
    kept, _ = model.read(selection, 0, now)
    for count in (1, 2, cut + 1):
        assert log.cursor_back(selection, count) == (kept[-count] - 1 if len(kept) >= count else 0)
    made = {record.id: when for record, when in model.records}
    for seconds in (0.5, 5, 50):
        assert log.cursor_since(selection, seconds) == max(
            (id for id in kept if made[id] < now - seconds), default=0
        )


@given(sizes=st.lists(st.integers(0, 5000), min_size=1, max_size=40), limit=st.integers(1, 50))
def test_pages_are_bounded_and_go_on_where_the_last_one_ended(sizes: list[int], limit: int) -> None:
    log = MemoryLog(0, Retention(), 10**9, lambda: 0.0)
    for id, size in enumerate(sizes, 1):
        log.extend([Record(id, TOPICS[id % 4], "", wire_form(id, b"x" * size * 10))])
    cursor, found = 0, []
    while (page := log.read(Selection(["**"]), cursor, limit)).records:
        assert len(page.records) <= limit
        assert sum(len(r.data) for r in page.records[:-1]) <= 2**16
        found += [record.id for record in page.records]
        cursor = page.upto
    assert found == list(range(1, len(sizes) + 1))
    assert cursor == log.head


@given(st.lists(st.sampled_from(TOPICS), min_size=1, max_size=200), st.integers(1, 5000))
def test_all_topics_together_stay_within_their_bytes(topics: list[str], max_bytes: int) -> None:
    log = MemoryLog(0, Retention(), max_bytes, lambda: 0.0)
    for id, topic in enumerate(topics, 1):
        log.extend([Record(id, topic, "", wire_form(id, b"x" * 50))])
    assert log.bytes <= max_bytes or log.events == 1
    found = log.read(Selection(["**"]), 0, 1000).records
    # The oldest went first, whatever their topic.
    assert [r.id for r in found] == list(range(len(topics) - log.events + 1, len(topics) + 1))
    oldest = found[0].id
    assert log.read(Selection(["**"]), oldest, 1000).gone == {}
    if oldest > 2:
        assert log.read(Selection(["**"]), 1, 1000).gone


@given(
    batches=st.lists(st.lists(st.sampled_from(TOPICS), min_size=1, max_size=9), max_size=40),
    retention=retentions,
    max_bytes=st.integers(1, 5000),
)
def test_a_topics_bounds_and_those_of_all_agree_on_what_is_oldest(
    batches: list[list[str]], retention: Retention, max_bytes: int
) -> None:
    log = MemoryLog(0, retention, max_bytes, lambda: 0.0)
    model: list[Record] = []
    id = 0
    for names in batches:
        batch = [Record(n, name, "", wire_form(n, b"x")) for n, name in enumerate(names, id + 1)]
        id += len(batch)
        log.extend(batch)
        for record in batch:
            model.append(record)
            mine = [r for r in model if r.topic == record.topic]
            if len(mine) > retention.events or (
                wire_size(mine) > retention.bytes and len(mine) > 1
            ):
                model.remove(mine[0])
        while len(model) > 1 and len(model) * RECORD_OVERHEAD + wire_size(model) > max_bytes:
            del model[0]
        assert log.read(Selection(["**"]), 0, 1000).records == model
        assert log.bytes == len(model) * RECORD_OVERHEAD + wire_size(model)


def wire_size(records: list[Record]) -> int:
    return sum(len(record.data) for record in records)


def test_a_hot_topic_leaves_nothing_behind() -> None:
    log = MemoryLog(0, Retention(events=3), 10**9, lambda: 0.0)
    for id in range(1, 10_000):
        log.extend([Record(id, "hot", "", wire_form(id, b"x"))])
    topic = log._topics["hot"]
    assert len(topic.records) < 200
    assert len(log._order) < 200
    assert log.events == 3


def test_a_cursor_that_no_log_has_given_is_told_whatever_is_there() -> None:
    log = MemoryLog(0, Retention(), 10**9, lambda: 0.0)
    log.extend([Record(1, "a", "", wire_form(1, b"x"))])
    page = log.read(Selection(["a"]), 2, 9)
    assert ([record.id for record in page.records], page.upto) == ([1], 1)
    assert page.gone
    assert not log.read(Selection(["a"]), 1, 9).gone


def test_forgotten_topics_are_told_exactly_and_then_carefully(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(log_module, "_FORGOTTEN_TOPICS", 2)
    now = 0.0
    log = MemoryLog(10, Retention(age=5), 10**9, lambda: now)
    for id, topic in enumerate(["a", "b", "c"], 11):
        log.extend([Record(id, topic, "", wire_form(id, b"x"))])
    now = 20.0
    log.expire()
    assert len(log) == 0
    assert not log.read(Selection(["c"]), 13, 9).gone  # it had the last of them
    assert log.read(Selection(["c"]), 12, 9).gone
    assert not log.read(Selection(["b"]), 12, 9).gone
    assert log.read(Selection(["b", "c"]), 12, 9).gone
    assert log.read(Selection(["*"]), 12, 9).gone
    # "a" was forgotten even as one that was forgotten: what came before its last is not known.
    assert log.read(Selection(["a"]), 10, 9).gone
    assert not log.read(Selection(["a"]), 11, 9).gone


@dataclass
class Reader:
    """One that reads on, page by page, and hears of what has gone meanwhile."""

    log: MemoryLog
    selection: Selection
    cursor: int = 0
    told: Mapping[str, int] = field(default_factory=dict)
    gone: set[int] = field(default_factory=set)

    def read(self, ever: list[Record]) -> None:
        page = self.log.read(self.selection, self.cursor, 2)
        kept = {r.id for r in self.log.read(self.selection, self.cursor, 1000).records}
        gone = {r.id for r in ever if r.topic in self.selection and r.id > self.cursor} - kept
        if self.cursor and gone - self.gone:
            assert any(self.told.get(topic) != newest for topic, newest in page.gone.items())
        self.cursor, self.told, self.gone = page.upto, page.gone, gone


@settings(max_examples=200)
@given(
    batches=st.lists(
        st.tuples(
            st.lists(st.sampled_from(TOPICS), min_size=1, max_size=5),
            st.sampled_from([1, 10]),
            st.sampled_from([0, 1, 25]),
        ),
        max_size=20,
    ),
    forgotten=st.integers(1, 3),
    max_bytes=st.sampled_from([600, 3000, 10**9]),
    filters=st.sampled_from(FILTERS),
    reads=st.lists(st.integers(0, 3), max_size=20),
)
def test_topics_that_come_and_go_leave_no_hole_that_is_not_told(
    batches: list[tuple[list[str], int, int]],
    forgotten: int,
    max_bytes: int,
    filters: list[str],
    reads: list[int],
) -> None:
    now = 0.0
    ever: list[Record] = []
    selection = Selection(filters)
    with patch.object(log_module, "_FORGOTTEN_TOPICS", forgotten):
        log = MemoryLog(0, Retention(events=4, age=20.0), max_bytes, lambda: now)
        reader = Reader(log, selection)
        for (names, times, seconds), pages in zip(batches, cycle(reads or [0]), strict=False):
            now += seconds
            batch = [
                Record(id, name, "", wire_form(id, b"x" * 9))
                for id, name in enumerate(names * times, len(ever) + 1)
            ]
            ever += batch
            log.extend(batch)
            if seconds % 2:
                log.expire()
            for _ in range(pages):
                reader.read(ever)
        # Every place but the stale ones is of an event that is there, in the order of their ids.
        stale = {name: topic.stale for name, topic in log._topics.items()}
        live = {name: iter(topic.records[topic.start :]) for name, topic in log._topics.items()}
        order = []
        for topic in log._order:
            if log._topics.get(topic.name) is not topic:
                continue  # of a topic that was forgotten since
            if stale[topic.name]:
                stale[topic.name] -= 1
            else:
                order.append(next(live[topic.name]).id)
        assert order == sorted(order)
        assert len(order) == log.events
        for after in range(1, len(ever) + 1):  # 0 asks for whatever there is
            page = log.read(selection, after, 1000)
            kept = {record.id for record in page.records}
            missing = [r for r in ever[after:] if r.topic in selection and r.id not in kept]
            assert page.gone or not missing
