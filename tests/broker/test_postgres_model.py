"""``postgresql://``: transactions in any order, and readers that come and go, against a model."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest
import trio

from tests.support.postgres_server import PostgresServer, postgres_server, until_asleep
from trio_stream import publish
from trio_stream.broker import Broker, open_broker


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as running:
        yield running


@dataclass
class Transaction:
    """One that is open or prepared: what it has published, by its savepoints."""

    published: list[list[str]] = field(default_factory=lambda: [[]])
    #: What had been committed when it published first: that comes before.
    after: set[str] = field(default_factory=set)
    xid: Any = None


@dataclass
class Reader:
    after: str | None
    ids: list[str] = field(default_factory=list)
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)


class Model:
    """Does things at random, and knows what has to become of them."""

    def __init__(self, url: str, seed: int, brokers: list[Broker], nursery: trio.Nursery) -> None:
        self.random = random.Random(seed)
        self.url = url
        self.brokers = brokers
        self.nursery = nursery
        self.numbers = iter(range(10**6))
        self.connections = [psycopg.connect(url, autocommit=True) for _ in range(5)]
        for connection in self.connections[1:]:  # which may number what they publish
            connection.execute("SET synchronous_commit = on")
        self.open: dict[int, Transaction] = {}
        self.prepared: list[Transaction] = []
        #: In the order of their commits, each with what comes before it.
        self.committed: list[tuple[list[str], set[str]]] = []
        self.seen: set[str] = set()
        self.ids: dict[str, str] = {}
        self.readers: list[Reader] = []
        self.by_transactions = 0

    async def step(self) -> None:
        choices = [self.transact] * 12 + [self.by_broker] * 2 + [self.read, self.leave, self.calm]
        await self.random.choice(choices)()

    async def transact(self) -> None:
        number = self.random.randrange(len(self.connections))
        connection, there = self.connections[number], self.open.get(number)
        if there is None and self.prepared and self.random.random() < 0.3:
            self.end_prepared(connection)
        elif there is None:
            xid = None
            if self.random.random() < 0.2:
                xid = connection.xid(1, f"{next(self.numbers)}", "x")
            connection.execute(f"BEGIN /* {xid} */".encode())
            self.open[number] = Transaction(xid=xid)
        else:
            does = self.random.choice(
                [self.publish] * 5 + [self.save, self.go_back, self.commit, self.roll_back]
            )
            does(number, connection, there)
            if self.random.random() < 0.3:
                await trio.sleep(0.001 * self.random.random())

    def publish(self, _: int, connection: Any, there: Transaction) -> None:
        if not any(there.published):
            there.after = set(self.seen)
        for _ in range(self.random.choice([1, 1, 1, 3])):
            text = str(next(self.numbers))
            publish(connection, f"t/{self.random.randrange(3)}", text, ring=there.xid is None)
            there.published[-1].append(text)

    def save(self, _: int, connection: Any, there: Transaction) -> None:
        connection.execute(f"SAVEPOINT s{len(there.published)}".encode())
        there.published.append([])

    def go_back(self, _: int, connection: Any, there: Transaction) -> None:
        if len(there.published) > 1:
            connection.execute(f"ROLLBACK TO s{len(there.published) - 1}".encode())
            there.published.pop()

    def commit(self, number: int, connection: Any, there: Transaction) -> None:
        del self.open[number]
        if there.xid is not None:
            connection.execute(f"PREPARE TRANSACTION '{there.xid.gtrid}'".encode())
            self.prepared.append(there)
        else:
            connection.execute("COMMIT")
            self.has_committed(there)

    def roll_back(self, number: int, connection: Any, _: Transaction) -> None:
        del self.open[number]
        connection.execute("ROLLBACK")

    def end_prepared(self, connection: Any) -> None:
        there = self.prepared.pop(self.random.randrange(len(self.prepared)))
        if self.random.random() < 0.7:
            connection.execute(f"COMMIT PREPARED '{there.xid.gtrid}'".encode())
            self.has_committed(there)
        else:
            connection.execute(f"ROLLBACK PREPARED '{there.xid.gtrid}'".encode())

    def has_committed(self, there: Transaction) -> None:
        texts = [text for part in there.published for text in part]
        self.committed.append((texts, there.after))
        self.seen.update(texts)
        self.by_transactions += len(texts)

    async def by_broker(self) -> None:
        broker = self.random.choice(self.brokers)
        texts = [str(next(self.numbers)) for _ in range(self.random.choice([1, 2]))]
        before = set(self.seen)
        ids = await broker.publish_many("t/1", texts)
        self.ids.update(zip(ids, texts, strict=True))
        self.committed.append((texts, before))
        self.seen.update(texts)

    async def read(self) -> None:
        """Another reader, from now on, from the beginning, or from where another was."""
        places = [None, "earliest", *(reader.ids[-1] for reader in self.readers if reader.ids)]
        reader = Reader(self.random.choice(places))
        self.readers.append(reader)
        broker = self.random.choice(self.brokers)
        self.nursery.start_soon(self.follow, reader, broker)

    async def follow(self, reader: Reader, broker: Broker) -> None:
        with reader.scope:
            async for event in broker.subscribe("t/*", after=reader.after):
                reader.ids.append(event.id)

    async def calm(self) -> None:
        """Wait until the broker on duty sleeps: who commits then numbers what he has published."""
        await until_asleep(self.connections[0])

    async def leave(self) -> None:
        if self.readers:
            self.random.choice(self.readers).scope.cancel()

    async def finish(self) -> None:
        """End what is open, and compare."""
        for number, there in list(self.open.items()):
            self.commit(number, self.connections[number], there)
        while self.prepared:
            self.end_prepared(self.connections[0])
        for connection in self.connections:
            connection.close()
        wanted = sorted(text for texts, _ in self.committed for text in texts)
        found = await self.whole_log(len(wanted))
        log = [text for _, text in found]
        assert sorted(log) == wanted
        place = {text: n for n, text in enumerate(log)}
        for texts, before in self.committed:
            assert [place[text] for text in texts] == sorted(place[text] for text in texts)
            if texts and before:
                assert max(place[text] for text in before) < place[texts[0]]
        assert {id: text for id, text in found if id in self.ids} == self.ids
        await self.compare([id for id, _ in found])

    async def whole_log(self, count: int) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        events = self.brokers[0].subscribe("t/*", after="earliest")
        with trio.fail_after(30):
            while len(found) < count:
                event = await anext(events)
                found.append((event.id, event.data))
        return found

    async def compare(self, ids: list[str]) -> None:
        """Each reader has seen a part of the log without holes, and who is there the end of it."""
        for reader in self.readers:
            if not reader.scope.cancel_called and ids:
                with trio.fail_after(30):
                    while not (reader.ids and reader.ids[-1] == ids[-1]) and (
                        reader.after is not None or reader.ids
                    ):
                        if reader.after == ids[-1]:
                            break
                        await trio.sleep(0.01)
            if reader.ids:
                start = ids.index(reader.ids[0])
                assert reader.ids == ids[start : start + len(reader.ids)]
                if reader.after == "earliest":
                    assert start == 0
                elif reader.after is not None:
                    assert ids[start - 1] == reader.after


@pytest.mark.parametrize("seed", range(6))
async def test_each_committed_event_is_there_once_in_one_order(
    server: PostgresServer, seed: int
) -> None:
    url = server.database()
    async with (
        open_broker(url) as one,
        open_broker(url, memory_bytes=1) as two,
        trio.open_nursery() as nursery,
    ):
        model = Model(url, seed, [one, two], nursery)
        for _ in range(400):
            await model.step()
        await model.finish()
        numbered = sum(broker.engine.statistics()["numbered"] for broker in (one, two))
        assert 0 < numbered < model.by_transactions  # and the rest by who published it
        nursery.cancel_scope.cancel()
