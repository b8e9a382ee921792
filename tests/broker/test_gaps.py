"""A gap is told to who misses something, once, and again when more is gone."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.broker.test_log import FILTERS, TOPICS
from trio_stream import Broker, GapError, Stream, TopicEvent, open_broker
from trio_stream.broker.contract import Page
from trio_stream.broker.log.log import MemoryLog
from trio_stream.broker.reading import reader as reader_module
from trio_stream.broker.sqlite import SqliteEngine
from trio_stream.broker.subscribing.subscription import Overflow
from trio_stream.testing import connect

HISTORY = 4


def without_b2(event: TopicEvent) -> TopicEvent | None:
    return None if event.topic == "b/2" else event


class Reader:
    """A subscription that is iterated, and what it has to be told."""

    def __init__(
        self, broker: Broker, filters: list[str], after: str, overflow: Overflow, mapped: bool
    ) -> None:
        self.mapped = mapped
        self.subscription = broker.subscribe(
            *filters, after=after, overflow=overflow, map=without_b2 if mapped else None
        )
        self.latest = overflow == "latest"
        self.selection = self.subscription.selection
        self.at = 0 if after == "earliest" else int(after)
        #: Ids of what is gone that it knows of.
        self.told: set[int] | None = set() if self.at else None

    async def read(self, published: list[tuple[str, int]]) -> None:
        """Take the next event, if there is one."""
        wanted = [(t, id) for t, id in published if t in self.selection and id > self.at]
        kept = {id for topic in TOPICS for id in [i for t, i in published if t == topic][-HISTORY:]}
        ahead = [record.id for record in reversed(self.subscription._page or ())]
        left_out = {id for topic, id in wanted if self.mapped and topic == "b/2"}
        coming = ahead or [id for _, id in wanted if id in kept - left_out]
        if self.latest:
            coming = sorted({t: id for t, id in wanted if id in kept - left_out}.values())
        if not coming:
            return
        if not ahead:
            gone = {id for _, id in wanted if id not in kept}
            if self.told is not None and gone - self.told:
                with pytest.raises(GapError) as caught:
                    await anext(self.subscription)
                following = {str(coming[0])} | ({None} if left_out else set())
                assert caught.value.next in following
                assert caught.value.missing in {len(gone), None}
            self.told = (self.told or set()) | gone
        self.at = int((await anext(self.subscription)).id)
        assert self.at == coming[0]


@pytest.mark.parametrize("engine", ["memory", "sqlite"])
@settings(max_examples=60)
@given(
    data=st.data(),
    filters=st.sampled_from(FILTERS),
    page=st.sampled_from([1, 2, 1024]),
    overflow=st.sampled_from(["all", "latest"]),
    mapped=st.booleans(),
)
async def test_it_is_told_once_and_again_when_more_is_gone(
    engine: str,
    data: st.DataObject,
    filters: list[str],
    page: int,
    overflow: Overflow,
    mapped: bool,
) -> None:
    published: list[tuple[str, int]] = []

    async def publish(broker: Broker) -> None:
        for topic in data.draw(st.lists(st.sampled_from(TOPICS), min_size=1, max_size=12)):
            published.append((topic, int(await broker.publish(topic, "x"))))

    with TemporaryDirectory() as folder, patch.object(reader_module, "PAGE", page):
        url = f"sqlite:///{Path(folder) / 'log.db'}" if engine == "sqlite" else "memory://"
        async with open_broker(url, history=HISTORY) as broker:
            await publish(broker)
            places = ["earliest", *(str(id) for _, id in published)]
            reader = Reader(broker, filters, data.draw(st.sampled_from(places)), overflow, mapped)
            for reads in data.draw(st.lists(st.integers(0, 5), max_size=6)):
                for _ in range(reads):
                    await reader.read(published)
                await publish(broker)
            before = -1
            while reader.at != before:
                before = reader.at
                await reader.read(published)


async def test_a_streams_client_is_told_once() -> None:
    async with open_broker(history=100) as broker:
        ids: list[str] = []
        for n in range(300):
            ids.append(await broker.publish("busy", n))
            if n % 3 == 0:
                ids.append(await broker.publish("large", "x" * 2**13))
        async with connect(Stream(broker.subscribe("busy", "large", after=ids[0]))) as client:
            got = [await client.receive_event() for _ in range(201)]
            assert [event.event for event in got].count("gap") == 1
            assert (got[0].event, got[-1].id) == ("gap", ids[-1])


async def test_from_the_earliest_nothing_is_missing() -> None:
    async with open_broker(history=100) as broker:
        for n in range(300):
            await broker.publish("busy", n)
            if n % 3 == 0:
                await broker.publish("large", "x" * 2**13)
        source = broker.subscribe("*", after="earliest")
        async with connect(Stream(source)) as client:
            got = [await client.receive_event() for _ in range(200)]
            assert {event.event for event in got} == {"message"}
            assert source.statistics().gaps == 0


async def test_one_who_starts_while_the_broker_closes_is_not_given_the_end_for_all(
    tmp_path: Path,
) -> None:
    url = f"sqlite:///{tmp_path / 'log.db'}"
    async with open_broker(url) as broker:
        await broker.publish("t", "before")
    async with open_broker(url) as broker:
        await broker.publish("t", "after")
        source = broker.subscribe("t", after="earliest")
        broker._feed.close()
        async with connect(Stream(source)) as client:
            assert b"after" not in await client.read()


async def test_while_the_latest_of_each_key_is_looked_for_too() -> None:
    async with open_broker(history=3) as broker:
        with patch.object(reader_module, "PAGE", 2):
            ids = await broker.publish_many("a", range(9))
            subscription = broker.subscribe("a", "b", after=ids[0], overflow="latest")
            await broker.publish("b", "b")
            with pytest.raises(GapError):
                await anext(subscription)
            assert [(await anext(subscription)).data for _ in range(2)] == ["8", "b"]
            assert subscription.statistics().gaps == 1
            with trio.move_on_after(0) as scope:
                await anext(subscription)
            assert scope.cancelled_caught


async def test_what_goes_while_it_looks_for_the_latest_is_told(tmp_path: Path) -> None:
    async with open_broker(f"sqlite:///{tmp_path / 'log.db'}", history=3) as broker:
        await broker.publish_many("a", range(3))
        await broker.publish_many("b", range(3))
        engine = broker.engine
        assert isinstance(engine, SqliteEngine)
        read, pages = engine.read, 0

        async def read_after_others_published(*args: Any) -> Page:
            nonlocal pages
            pages += 1
            if pages == 2:  # of which the first two are not read yet
                await broker.publish_many("b", range(3, 5))
            return await read(*args)

        subscription = broker.subscribe("a", "b", after="earliest", overflow="latest")
        with (
            patch.object(SqliteEngine, "read", staticmethod(read_after_others_published)),
            patch.object(reader_module, "PAGE", 3),
            patch.object(MemoryLog, "read", lambda _, __, ___, ____: Page((), 0, {"": 0})),
            pytest.raises(GapError),
        ):
            await anext(subscription)
        assert [(await anext(subscription)).data for _ in range(2)] == ["2", "4"]
