"""``postgresql://``: what is read of rows of many events, whole or in part, against a model."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest
import trio

from tests.support.postgres_server import PostgresServer, postgres_server
from trio_stream import Retention
from trio_stream.broker import Broker, open_broker
from trio_stream.broker.contract import Entry, Record
from trio_stream.broker.contract.topics import Selection
from trio_stream.broker.postgres import ahead

TOPICS = ("a", "b", "c")
KEPT = {
    "a": Retention(events=300),
    "b": Retention(events=10**6, bytes=9000),
    "c": Retention(events=10**6),
}


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as running:
        yield running


@dataclass
class Event:
    record: Record
    forgotten: bool = False


class Model:
    """All that was ever published, and what is kept of it."""

    def __init__(self, broker: Broker, seed: int) -> None:
        self.random = random.Random(seed)
        self.broker = broker
        self.engine = broker.engine
        self.events: list[Event] = []

    def kept(self, names: Sequence[str]) -> list[Record]:
        """Of these topics, oldest first. What was forgotten counts, as if it were there."""
        found = []
        for name in names:
            number = size = 0
            for event in reversed([e for e in self.events if e.record.topic == name]):
                number, size = number + 1, size + len(event.record.data)
                if number > KEPT[name].events or (size > KEPT[name].bytes and number > 1):
                    break
                if not event.forgotten:
                    found.append(event.record)
        return sorted(found, key=lambda record: record.id)

    async def step(self) -> None:
        choices = [self.append] * 3 + [self.forget, self.read, self.read, self.count_back]
        await self.random.choice(choices)()

    async def append(self) -> None:
        """Mostly many, with keys and streams that are left out or without, and large ones."""
        some = self.random.choice([TOPICS, TOPICS, "a", "b", "c"])
        named = self.random.random() < 0.3
        entries = []
        for _ in range(self.random.choice([1, 3, 40, 700])):
            text = "x" * self.random.choice([1, 9, 30])
            if self.random.random() < 0.003:
                text *= 2000  # alone more than is kept of b
            key = self.random.choice(["", "k", "a longer key"]) if named else ""
            but = self.random.choice(["", "s"]) if named else ""
            body = f"data: {text}\n\n".encode()
            if self.random.random() < 0.3:
                some = self.random.choice([TOPICS, "a", "b", "c"])
            entries.append(Entry(self.random.choice(some), body, key, but))
        if self.random.random() < 0.2:
            entries.append(Entry("b", b"data: %b\n\n" % (b"x" * 10_000)))
        ids = await self.engine.append(entries)
        for id, entry in zip(ids, entries, strict=True):
            data = b"id: %d\n%b" % (id, entry.body)
            self.events.append(Event(Record(id, entry.topic, entry.key, data, entry.but)))

    async def forget(self) -> None:
        for _ in range(self.random.choice([1, 5])):
            if not self.events:
                return
            event = self.random.choice(self.events[-500:])
            there = event.record in self.kept([event.record.topic])
            assert await self.engine.forget(event.record.topic, event.record.id) is there
            event.forgotten = event.forgotten or there

    async def read(self) -> None:
        names, selection = self.selection()
        kept = self.kept(names)
        after = 0
        if self.events and self.random.random() < 0.8:
            after = self.random.choice(self.events[-1000:]).record.id
        wanted = [record for record in kept if record.id > after]
        limit = self.random.choice([1, 7, 100, 1000, 1024])
        found: list[Record] = []
        page = await self.engine.read(selection, after, limit)
        while page.records or page.upto > after:
            assert len(page.records) <= limit
            assert len(page.records) == 1 or sum(len(r.data) for r in page.records) <= 2**16
            assert not page.records or page.records[-1].id <= page.upto
            found += page.records
            after = page.upto
            page = await self.engine.read(selection, after, limit)
        assert found == wanted

    async def count_back(self) -> None:
        names, selection = self.selection()
        kept = self.kept(names)
        count = self.random.choice([1, 10, 200, 2000])
        cursor = await self.engine.cursor_back(selection, count)
        wanted = kept[-count:] if len(kept) >= count else kept
        assert [r for r in kept if r.id > cursor] == wanted

    def selection(self) -> tuple[Sequence[str], Selection]:
        filters = self.random.choice([("a",), ("b",), ("a", "b"), ("c", "a"), ("**",), ("c", "*")])
        names = TOPICS if "*" in filters[-1] else filters
        return names, Selection(filters)


@pytest.mark.parametrize("seed", range(4))
async def test_each_event_is_read_whatever_row_it_is_in(server: PostgresServer, seed: int) -> None:
    async with open_broker(server.database(), retention=KEPT, memory_bytes=1) as broker:
        model = Model(broker, seed)
        for _ in range(60):
            await model.step()


@pytest.mark.parametrize("who", ["this process", "another"])
async def test_what_is_forgotten_is_not_handed_out_as_it_was_read_ahead(
    server: PostgresServer, who: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ahead, "_SECONDS", 1000.0)  # it is not for its age that it goes
    url = server.database()
    kept = {"history": 10**5, "memory_bytes": 1}
    async with open_broker(url, **kept) as one, open_broker(url, **kept) as two:
        ids = [int(id) for _ in range(12) for id in await one.publish_many("t", ["x"] * 1000)]
        selection, after = Selection(["t"]), ids[0] - 1
        for _ in range(3):
            after = (await one.engine.read(selection, after, 1024)).upto
        assert one.engine.statistics()["read_ahead"]
        await (one if who == "this process" else two).forget("t", str(after + 1))
        with trio.fail_after(30):
            while one.engine.statistics()["read_ahead"]:
                await trio.sleep(0.01)
        page = await one.engine.read(selection, after, 1024)
        assert page.records[0].id == after + 2
        assert page.gone
