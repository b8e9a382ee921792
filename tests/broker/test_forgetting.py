"""Events that are deleted, everywhere, and topics that keep what a table says."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.redis_server import RedisServer, redis_server
from trio_stream import Retention, open_broker
from trio_stream.broker.contract import Page, Record, wire_form
from trio_stream.broker.contract.retention import RetentionTable, retention_of
from trio_stream.broker.contract.topics import Selection
from trio_stream.broker.log.log import RECORD_OVERHEAD, MemoryLog
from trio_stream.broker.sqlite.store import SqliteStore

from .test_log import FILTERS, TOPICS

TABLE = {"b/*": Retention(events=3), "**": Retention(events=6)}

#: Events of these topics are appended together; or the n-th that is kept is deleted; or a topic.
steps = st.lists(
    st.one_of(
        st.lists(st.sampled_from(TOPICS), min_size=1, max_size=6),
        st.integers(0, 20),
        st.sampled_from(TOPICS),
    ),
    min_size=1,
    max_size=25,
)


class Log(Protocol):
    def read(self, selection: Selection, after: int, limit: int) -> Page: ...
    def forget(self, name: str, id: int | None) -> bool: ...


class Model:
    """What there ever was, and what must still be there."""

    def __init__(self, log: Log, append: Callable[[list[Record]], None], last: int) -> None:
        self.log = log
        self.append = append
        self.first = self.last = last
        self.ever: list[Record] = []
        self.kept: list[Record] = []
        #: A reader that has read nothing yet: what is gone for it, and what it was told.
        self.gone: set[int] = set()
        self.told: Mapping[str, int] = {}

    def step(self, step: Any) -> None:
        if isinstance(step, list):
            records = [
                Record(id, topic, f"k{id % 3}", wire_form(id, b"x" * (id % 50)), "s" * (id % 2))
                for id, topic in enumerate(step, self.last + 1)
            ]
            self.append(records)
            self.last = records[-1].id
            self.ever += records
            self.kept += records
            for topic in TOPICS:
                mine = [record for record in self.kept if record.topic == topic]
                for record in mine[: -3 if topic.startswith("b/") else -6]:
                    self.kept.remove(record)
        elif isinstance(step, str):
            mine = [record for record in self.kept if record.topic == step]
            assert self.log.forget(step, None) == bool(mine)
            self.kept = [record for record in self.kept if record.topic != step]
        elif step < len(self.kept):
            record = self.kept.pop(step)
            others = [topic for topic in TOPICS if topic != record.topic]
            assert not self.log.forget(others[0], record.id)
            assert self.log.forget(record.topic, record.id)
            assert not self.log.forget(record.topic, record.id)

    def check(self, selection: Selection) -> None:
        wanted = [record for record in self.kept if record.topic in selection]
        for after in (self.first, *[record.id for record in self.ever]):
            page = self.log.read(selection, after, 1000)
            assert list(page.records) == [record for record in wanted if record.id > after]
            ever = [r for r in self.ever if r.topic in selection and r.id > after]
            assert bool(page.gone) == (len(ever) > len(page.records))
            if isinstance(self.log, MemoryLog):
                assert self.log.missing(after, page.gone) == len(ever) - len(page.records)
            if after == self.first:
                gone = {record.id for record in ever} - {record.id for record in page.records}
                if gone - self.gone:
                    assert any(self.told.get(name) != mark for name, mark in page.gone.items())
                self.gone, self.told = gone, page.gone


@settings(max_examples=200)
@given(steps=steps, filters=st.sampled_from(FILTERS))
def test_in_memory_nothing_goes_that_is_not_told(steps: list[Any], filters: list[str]) -> None:
    log = MemoryLog(100, retention_of(Retention(), TABLE), 10**9, lambda: 0.0)
    model = Model(log, log.extend, 100)
    for step in steps:
        model.step(step)
        model.check(Selection(filters))
        assert log.events == len(model.kept)
        assert log.bytes == sum(len(r.data) + RECORD_OVERHEAD for r in model.kept)
        stale = {topic: topic.stale for topic in log._topics.values()}
        live = []
        for topic in log._order:  # every place but the stale ones is of an event that is there
            if stale[topic]:
                stale[topic] -= 1
            else:
                live.append(topic.name)
        assert live == [record.topic for record in model.kept]


@settings(max_examples=100, deadline=None)
@given(steps=steps, filters=st.sampled_from(FILTERS), forgets=st.booleans())
def test_in_a_file_nothing_goes_that_is_not_told(
    steps: list[Any], filters: list[str], forgets: bool
) -> None:
    store = SqliteStore(":memory:", retention_of(Retention(), TABLE), "off")
    with closing(store):
        model = Model(store, lambda records: void(store.append(records)), store.last)
        for step in steps:
            model.step(step)
            if forgets:  # as if it had been closed and opened
                store._topics.clear()
                store._directory = None
            model.check(Selection(filters))


def void(_: object) -> None:
    pass


def test_the_first_that_matches_holds() -> None:
    first, second, third = Retention(events=1), Retention(events=2), Retention(events=3)
    table = retention_of(Retention(events=9), {"a/b": first, "a/*": second, "**/c": third})
    found = [table.of(name).events for name in ("a/b", "a/c", "x/c", "a", "b/c/d", "$a/c")]
    assert found == [1, 2, 3, 9, 9, 9]
    assert isinstance(table, RetentionTable)
    assert retention_of(first, {}) is first
    assert retention_of(first, None) is first
    assert table.ages == frozenset()
    assert retention_of(first, {"a b=": Retention(age=5)}).table == "a%20b%3D:10000:5:1048576"


async def test_what_is_deleted_is_not_in_the_file(tmp_path: Path) -> None:
    url, path = f"sqlite:///{tmp_path}/log.db", tmp_path / "log.db"
    async with open_broker(url) as broker:
        ids = await broker.publish_many("t", ["public", "a secret of hers", "public too"])
        await broker.publish("u", "another secret")
        assert await broker.forget("t", ids[1])
        assert await broker.forget("u")
        files = [name for name in tmp_path.iterdir() if name.is_file()]
        held = [name for name in files if b"secret" in name.read_bytes()]
        assert held == []
    async with open_broker(url) as broker:
        assert b"secret" not in path.read_bytes()
        page = await broker.read("t", after=ids[0])
        assert ([event.data for event in page.events], page.gap) == (["public too"], True)
        assert (await broker.read("u", after=ids[0])).gap
        assert int(await broker.publish("u", "new")) > int(ids[-1])
    async with open_broker(url) as broker:  # the newest of all, which no row has any more
        last = await broker.publish("u", "last")
        assert await broker.forget("u", last)
    async with open_broker(url) as broker:
        assert int(await broker.publish("u", "new")) > int(last)


@pytest.fixture
async def server() -> AsyncIterator[RedisServer]:
    async with redis_server() as running:
        yield running


async def test_every_process_forgets(server: RedisServer) -> None:
    async with open_broker(server.url) as one, open_broker(server.url) as two:
        late = two.subscribe("t", after="earliest")
        ids = await one.publish_many("t", ["public", "secret", "public too"])
        await one.publish("u", "secret")
        assert (await anext(late)).data == "public"
        assert await one.forget("t", ids[1])
        assert await one.forget("u")
        marker = await one.publish("v", "marker")
        assert (await anext(two.subscribe("v", after="earliest"))).id == marker
        with trio.fail_after(60):
            while two.last_id != marker:
                await trio.testing.wait_all_tasks_blocked(0.01)
        for broker in (one, two):
            assert broker.topic_statistics("t").events == 2
            assert broker.topic_statistics("u").events == 0
        assert b"secret" not in await server.command("XRANGE", "{trio_stream}:live", "-", "+")
        assert b"secret" not in await server.command("XRANGE", "{trio_stream}:t:t", "-", "+")
        assert (await two.read("u", after=ids[0])).gap


async def test_brokers_whose_tables_differ_say_so(
    server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_broker(server.url), open_broker(server.url, retention=TABLE):
        pass
    [line] = caplog.messages
    assert "retention=None (here b/%2A:3:None:1048576" in line or "b/*:3:None" in line


async def test_an_id_that_is_none_empties_no_topic() -> None:
    """What was looked up, and not found, is mostly what None stands for."""
    async with open_broker() as broker:
        id = await broker.publish("t", 1)
        with pytest.raises(TypeError, match="leave it out to delete all that the topic has"):
            await broker.forget("t", None)  # type: ignore[arg-type]
        assert [event.id for event in (await broker.read("t")).events] == [id]
        assert await broker.forget("t")
