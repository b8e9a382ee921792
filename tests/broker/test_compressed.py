"""Topics whose streams are compressed: whatever happens, each client reads what was published."""

from __future__ import annotations

import random
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.broker.test_streams import settled
from tests.codec.test_compressor import READERS, whole
from tests.support.direct_wire import DirectWire, serve_by
from trio_stream import ServerSentEvent, Stream, TopicEvent, encode
from trio_stream.broker import Broker, open_broker
from trio_stream.codec import compressor, groups
from trio_stream.stream.answers.compression import coding_for
from trio_stream.transport.compressed import CompressedTransport
from trio_stream.transport.offering import MOST_FRAMED

Clock = trio.testing.MockClock

CODINGS = ("gzip", "zstd")

#: What is published: alike, unlike, empty, and of more than a window.
DATA = {
    "tick": "{'symbol': 'ACME', 'price': 100.25, 'bid': 100.24, 'ask': 100.26}",
    "nothing": "",
    "large": "<li>a row of a table that differs little</li>" * 2000,
    "random": random.Random(1).randbytes(700).hex(),
}


def without_large(event: TopicEvent) -> TopicEvent | ServerSentEvent | None:
    if event.data == DATA["large"]:
        return None
    return ServerSentEvent("little") if event.data == DATA["nothing"] else event


Map = Callable[[TopicEvent], TopicEvent | ServerSentEvent | None]


class Client:
    """A stream of a subscription, on a wire in memory."""

    def __init__(
        self,
        broker: Broker,
        coding: str | None,
        *topics: str,
        map: Map | None = None,
        after: str | None = None,
        **options: Any,
    ) -> None:
        self.wire = DirectWire()
        self.coding = coding
        self.topics = topics
        self.map = map
        self.stream = Stream(
            broker.subscribe(*topics, map=map, place=None, after=after),
            stall_timeout=None,
            compress=None if coding is None else "auto",
            **options,
        )
        self.left = False
        #: What it alone was sent.
        self.own: list[bytes] = []

    async def run(self) -> None:
        way = self.wire if self.coding is None else CompressedTransport(self.wire, self.coding)
        await serve_by(way, self.stream)

    def send(self, text: str, *, compress: bool = True) -> None:
        with suppress(trio.WouldBlock):
            self.stream.send_nowait(encode(text, compress=compress))
            self.own.append(f"data: {text}\n\n".encode())

    def leave(self) -> None:
        self.left = True
        self.wire.leave()

    def read(self) -> bytes:
        """What its client has read so far."""
        body, complete = self.wire.body
        if self.coding is None:
            return body
        if complete and not self.left:
            return whole(self.coding, body)
        return READERS[self.coding]()(body)

    def events(self) -> list[bytes]:
        """The blocks that its client has read, without what is between them."""
        text = re.sub(rb"(?m)^(:|retry: \d+)\n", b"", self.read())
        return re.findall(rb".*?\n\n", text, re.DOTALL)


@asynccontextmanager
async def crowd(*codings: str | None) -> AsyncIterator[tuple[Broker, list[Client]]]:
    async with open_broker() as broker, trio.open_nursery() as nursery:
        clients = [Client(broker, coding, "t") for coding in codings]
        for client in clients:
            nursery.start_soon(client.run)
        await settled()
        yield broker, clients
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("coding", CODINGS)
async def test_all_are_sent_the_same_bytes(autojump_clock: Clock, coding: str) -> None:
    async with crowd(coding, coding, coding, None) as (broker, [*clients, plain]):
        sent = []
        for number in range(10):
            before = [len(client.wire.body[0]) for client in clients]
            await broker.publish("t", f"{number}: {DATA['tick']}")
            await settled()
            sent.append(
                {client.wire.body[0][start:] for client, start in zip(clients, before, strict=True)}
            )
            for client in clients:  # at once
                assert client.read() == plain.read()
        assert [len(each) for each in sent] == [1] * 10
        [last] = sent[-1]
        assert len(last) < len(DATA["tick"]) / 2
        assert [client.wire.shared for client in clients] == [9, 9, 9]  # behind what each began by
        assert broker.statistics().delivered == 40


@pytest.mark.parametrize("coding", CODINGS)
async def test_who_comes_later_joins_with_the_next_group(
    autojump_clock: Clock, coding: str
) -> None:
    async with crowd(coding, coding) as (broker, [first, late]):
        for _ in range(3):
            await broker.publish("t", DATA["tick"])
            await settled()
        late.send("for one alone")
        await broker.publish("t", DATA["tick"])
        await settled()
        assert (first.wire.shared, late.wire.shared) == (3, 2)
        await trio.sleep(groups.LEAST)
        for _ in range(3):
            await broker.publish("t", DATA["tick"])
            await settled()
        assert (first.wire.shared, late.wire.shared) == (6, 4)
        assert len(first.events()) == 7
        assert len(late.events()) == 8


@pytest.mark.parametrize("coding", CODINGS)
async def test_nothing_is_held_for_a_silent_topic(autojump_clock: Clock, coding: str) -> None:
    async with crowd(coding) as (broker, [client]):
        for _ in range(2):
            await broker.publish("t", DATA["tick"])
            await settled()
        [found] = broker._feed.fanout._audience._crowds.values()
        assert found._compressor._mark() is not None
        await trio.sleep(10)  # the ping
        assert found._compressor._mark() is None
        await broker.publish("t", DATA["tick"])
        await settled()
        assert len(client.events()) == 3
    assert not broker._feed.fanout._audience._crowds


#: What programs ask for, and what none would.
MIXTURES = (
    "", "gzip", "zstd", "br", "gzip, deflate", "gzip, deflate, br", "gzip, deflate, br, zstd",
    "zstd;q=1, gzip;q=0.5", "gzip;q=1.0, *;q=0.1", "*", "*;q=0", "identity", "identity;q=0",
    "identity;q=0, *", "x-gzip", "GZIP", "gzip;q=0", "zstd;q=0.001", "gzip;q=2, ;;, =", "a" * 2**20,
)  # fmt: skip


async def test_many_who_ask_in_many_ways_share_few_compressors(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    def counted(name: str) -> Callable[..., Any]:
        made = getattr(compressor, name)

        def make(*how: int) -> Any:
            opened.append(name)
            return made(*how)

        return make

    for name in ("deflating", "zstd_step"):
        counts = counted(name)
        monkeypatch.setattr(groups, name, counts)
        monkeypatch.setattr(compressor, name, counts)
    codings = [
        coding_for({"headers": [(b"accept-encoding", mixture.encode())]}, CODINGS)
        for mixture in MIXTURES
    ]
    async with crowd(*codings * 50) as (broker, clients):
        for _ in range(5):
            await broker.publish("t", DATA["tick"])
            await settled()
        crowds = broker._feed.fanout._audience._crowds.values()
        assert len(crowds) == 2
        assert sum(len(crowd_.followers) for crowd_ in crowds) > 250
        # However many they are: none has ever had a window of its own.
        assert sorted(opened) == ["deflating", "zstd_step"]
        for client in clients[:: len(MIXTURES) + 1]:
            assert len(client.events()) == 5


@pytest.mark.parametrize("coding", CODINGS)
async def test_who_leaves_in_the_middle_of_a_group_changes_nothing_for_others(
    autojump_clock: Clock, coding: str
) -> None:
    async with crowd(coding, coding, coding) as (broker, [first, *others]):
        for number in range(6):
            if number == 3:
                first.leave()
                others[0].wire.take(30)  # in the middle of an event
            if number == 5:
                others[0].leave()
            await broker.publish("t", f"{number}: {DATA['tick']}")
            await settled()
        data = [re.findall(r"data: (\d)", client.read().decode()) for client in (first, *others)]
        assert data[0] == list("012")
        assert data[1] == list("012345")[: len(data[1])]
        assert data[2] == list("012345")
        assert others[1].wire.shared == 5  # one group, all the time
        [found] = broker._feed.fanout._audience._crowds.values()
        assert found._compressor._mark() is not None
        others[1].leave()
        await settled()
        assert found._compressor._mark() is None  # the group ends with the last who can read on


async def test_those_with_the_same_map_are_sent_the_same_bytes(autojump_clock: Clock) -> None:
    async with open_broker() as broker, trio.open_nursery() as nursery:
        clients = [Client(broker, "gzip", "t", map=without_large) for _ in range(3)]
        for client in clients:
            nursery.start_soon(client.run)
        await settled()
        for name in ("tick", "large", "nothing", "tick"):
            await broker.publish("t", DATA[name])
            await settled()
        assert [client.wire.shared for client in clients] == [2, 2, 2]
        data = re.findall(r"data: (.*)", clients[0].read().decode())
        assert data == [DATA["tick"], "little", DATA["tick"]]
        assert len({client.wire.body[0] for client in clients}) == 1
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("keep", [True, False])
async def test_a_map_runs_once_whatever_the_codings(autojump_clock: Clock, keep: bool) -> None:
    calls: list[str] = []

    def count(event: TopicEvent) -> TopicEvent:
        calls.append(event.data)
        return event

    async with open_broker() as broker, trio.open_nursery() as nursery:
        clients = [Client(broker, coding, "t", map=count) for coding in (*CODINGS, None)]
        for client in clients:
            nursery.start_soon(client.run)
        await settled()
        for data in ("first", "second"):
            await broker.publish("t", data, keep=keep)
            await settled()
        assert calls == ["first", "second"]
        for client in clients:
            assert re.findall(r"data: (.*)", client.read().decode()) == calls
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("coding", CODINGS)
async def test_what_is_large_compressed_goes_out_in_its_place(
    autojump_clock: Clock, coding: str
) -> None:
    large = random.Random(2).randbytes(MOST_FRAMED + 2**16).hex()
    async with crowd(coding, coding) as (broker, clients):
        clients[1].wire.take(10_000)
        for data in ("before", large, large[:-1], "after"):
            await broker.publish("t", data)
            await settled()
        clients[1].wire.take(float("inf"))
        await settled()
        for client in clients:
            data = re.findall(r"data: (.*)", client.read().decode())
            assert data == ["before", large, large[:-1], "after"]
            assert len(client.wire.body[0]) > MOST_FRAMED


async def test_an_event_of_which_two_names_tell_comes_once(autojump_clock: Clock) -> None:
    async with open_broker() as broker, trio.open_nursery() as nursery:
        names = [("a/b", "a/*"), ("a/*", "a/b"), ("a/b",), ("**",)]
        clients = [Client(broker, "gzip", *topics) for topics in names]
        for client in clients:
            nursery.start_soon(client.run)
        await settled()
        for topic in ("a/b", "a/c", "a/b"):
            await broker.publish(topic, topic)
            await settled()
        assert [len(client.events()) for client in clients] == [3, 3, 2, 3]
        assert broker.topic_statistics("a/b").subscriptions == 4
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("coding", CODINGS)
async def test_what_is_not_kept_and_what_is_not_for_all(autojump_clock: Clock, coding: str) -> None:
    async with open_broker() as broker, trio.open_nursery() as nursery:
        clients = [Client(broker, coding, "t", tell_id="header") for _ in range(3)]
        for client in clients:
            nursery.start_soon(client.run)
        await settled()
        await broker.publish("t", "for all")
        await settled()
        await broker.publish("t", "not kept", keep=False)
        await settled()
        await broker.publish("t", "for others", but=clients[0].stream.id)
        await settled()
        await broker.publish("t", "for all again")
        await settled()
        assert [client.wire.shared for client in clients] == [0, 2, 2]
        data = [re.findall(r"data: (.*)", client.read().decode()) for client in clients]
        assert data[0] == ["for all", "not kept", "for all again"]
        assert data[1] == data[2] == ["for all", "not kept", "for others", "for all again"]
        nursery.cancel_scope.cancel()


async def test_what_gathers_is_compressed_for_itself(autojump_clock: Clock) -> None:
    async with open_broker() as broker, trio.open_nursery() as nursery:
        client = Client(broker, "gzip", "t", flush_every=1.0)
        nursery.start_soon(client.run)
        await settled()
        for _ in range(5):
            for _ in range(10):
                await broker.publish("t", DATA["tick"])
            await trio.sleep(1.5)  # longer than they gather for
        assert len(client.events()) == 50
        assert len(client.wire.body[0]) < 50 * len(DATA["tick"]) / 4
        nursery.cancel_scope.cancel()


async def test_what_is_not_to_be_compressed_is_not_published(autojump_clock: Clock) -> None:
    async with open_broker() as broker:
        with pytest.raises(ValueError, match="each client's own stream"):
            await broker.publish("t", encode("a secret", compress=False))
        with pytest.raises(ValueError, match="each client's own stream"):
            await broker.publish_many("t", [encode("a secret", compress=False)])


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.sampled_from("ab"), st.sampled_from(list(DATA))),
        st.tuples(st.just("pass"), st.sampled_from("ab"), st.sampled_from(list(DATA))),
        st.tuples(
            st.just("join"),
            st.sampled_from([("a",), ("a", "b"), ("b", "a"), ("*",)]),
            st.tuples(st.sampled_from((*CODINGS, None)), st.sampled_from((None, without_large))),
        ),
        st.tuples(st.just("leave"), st.integers(0, 9), st.none()),
        st.tuples(st.just("cut"), st.integers(0, 9), st.none()),
        st.tuples(st.just("take"), st.integers(0, 9), st.integers(0, 300)),
        st.tuples(st.just("take"), st.integers(0, 9), st.just(float("inf"))),
        st.tuples(st.just("send"), st.integers(0, 9), st.sampled_from(list(DATA))),
        st.tuples(st.just("retry"), st.integers(0, 9), st.integers(1, 9)),
        st.tuples(st.just("end"), st.integers(0, 9), st.none()),
        st.tuples(st.just("wait"), st.sampled_from([0.0, 0.1, 1.0, 9.0]), st.none()),
    ),
    min_size=5,
    max_size=60,
)


class World:
    """A broker and its clients; what each has to have read in the end."""

    def __init__(self, broker: Broker, nursery: trio.Nursery) -> None:
        self.broker = broker
        self.nursery = nursery
        self.clients: list[Client] = []
        self.kept: dict[Client, list[bytes]] = {}
        self.passing: set[bytes] = set()

    async def step(self, what: str, one: Any, two: Any) -> None:
        if what == "join":
            coding, map = two
            client = Client(self.broker, coding, *one, map=map, buffer=4)
            self.clients.append(client)
            self.kept[client] = []
            self.nursery.start_soon(client.run)
            await settled()
        elif what == "publish":
            await self.publish(one, DATA[two])
        elif what == "pass":
            text = f"passing {len(self.passing)} {DATA[two]}"
            self.passing.add(f"data: {text}\n\n".encode())
            await self.broker.publish(one, text, keep=False)
        elif what == "wait":
            await trio.sleep(one)
            await settled()
        elif self.clients:
            await self.change(self.clients[one % len(self.clients)], what, two)

    async def publish(self, topic: str, data: str) -> None:
        id = await self.broker.publish(topic, data)
        for client, kept in self.kept.items():
            text: str | None = data
            if client.map is not None:
                text = {DATA["large"]: None, DATA["nothing"]: "little"}.get(data, data)
            if text is not None and (client.topics == ("*",) or topic in client.topics):
                kept.append(f"id: {id}\ndata: {text}\n\n".encode())

    async def change(self, client: Client, what: str, how: Any) -> None:
        if client.left or client.stream.outcome is not None:
            return
        if what == "leave":
            self.leave(client)
        elif what == "cut":
            await self.come_back(client)
        elif what == "take":
            client.wire.take(how)
        elif what == "send":
            text = f"{len(client.own)} for this client alone, {DATA[how][:200]}"
            client.send(text, compress=how != "nothing")
        elif what == "retry":
            client.stream.retry = how
        elif what == "end":
            await settled()
            if client.wire.room == float("inf"):
                client.stream.close()
                await settled()
                self.check(client)
                self.kept.pop(client)

    def leave(self, client: Client) -> tuple[list[bytes], list[bytes]]:
        """It has read the first of its events and nothing else; those, and the others."""
        kept = self.kept.pop(client)
        client.leave()
        read = [event for event in client.events() if event.startswith(b"id: ")]
        assert read == kept[: len(read)]
        return read, kept[len(read) :]

    async def come_back(self, client: Client) -> None:
        """With the id that it has read last; without one, as one who has never been there."""
        read, rest = self.leave(client)
        after = read[-1].split(b"\n")[0].removeprefix(b"id: ").decode() if read else None
        heir = Client(
            self.broker, client.coding, *client.topics, map=client.map, after=after, buffer=4
        )
        self.clients.append(heir)
        self.kept[heir] = rest if read else []
        self.nursery.start_soon(heir.run)
        await settled()

    def check(self, client: Client) -> None:
        """It has read every event once, in order, and nothing else."""
        events = client.events()
        assert [event for event in events if event.startswith(b"id: ")] == self.kept[client]
        others = [event for event in events if not event.startswith(b"id: ")]
        assert [event for event in others if event not in self.passing] == client.own
        assert client.wire.body[1] == (client.stream.outcome is not None)


async def any_course(steps: list[tuple[str, Any, Any]]) -> None:
    async with trio.open_nursery() as nursery, open_broker() as broker:
        world = World(broker, nursery)
        for _ in range(3):
            await world.step("join", ("a",), ("gzip", None))
            await world.step("join", ("a", "b"), ("zstd", None))
            await world.step("join", ("b", "a"), ("zstd", without_large))
        for step in steps:
            await world.step(*step)
        for client in world.clients:
            client.wire.take(float("inf"))
        await settled()
        await world.publish("a", "the last")
        await settled()
        for client in world.kept:
            world.check(client)
    await settled()
    for client in world.kept:  # which have ended with the broker
        world.check(client)


@settings(max_examples=60)
@given(steps=STEPS)
def test_any_course(steps: list[tuple[str, Any, Any]]) -> None:
    trio.run(any_course, steps, clock=trio.testing.MockClock(autojump_threshold=0))
