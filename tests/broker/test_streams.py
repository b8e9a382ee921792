"""Subscriptions as the sources of streams: the fan-out, slow clients, and what clients are told."""

import json
import re
from collections.abc import Callable
from time import perf_counter
from typing import Self

import pytest
import trio
import trio.testing

from trio_stream import EncodedEvent, ServerSentEvent, Stream
from trio_stream.broker import Broker, open_broker
from trio_stream.broker.contract import Record, wire_form
from trio_stream.broker.contract.topics import Selection
from trio_stream.broker.following.fanout import FanOut
from trio_stream.testing import connect


async def settled() -> None:
    await trio.testing.wait_all_tasks_blocked()


async def test_an_event_reaches_every_client_once_and_encoded_once() -> None:
    async with open_broker() as broker:
        async with (
            connect(Stream(broker.subscribe("a", "b"))) as one,
            connect(Stream(broker.subscribe("*", "b"))) as two,
        ):
            await settled()
            assert broker.topic_statistics("b").subscriptions == 2
            ids = [await broker.publish(t, {"n": 1}, event="tick") for t in ("a", "b", "c")]
            events = [await one.receive_event() for _ in range(2)]
            assert [(e.id, e.event, e.data) for e in events] == [
                (id, "tick", '{"n":1}') for id in ids[:2]
            ]
            assert [(await two.receive_event()).id for _ in range(3)] == ids
            assert broker.statistics().delivered == 5
        await settled()
        assert broker.topic_statistics("b").subscriptions == 0
        assert broker.statistics().subscriptions == 0


async def test_what_was_delivered_is_not_delivered_again_when_the_broker_is_closed() -> None:
    async with trio.open_nursery() as nursery:
        client_done = trio.Event()

        async def read(task_status: trio.TaskStatus[None]) -> None:
            async with connect(Stream(broker.subscribe("t"))) as client:
                task_status.started()
                assert re.findall(rb"data: (.*)", await client.read()) == [b"1", b"2", b"3"]
            client_done.set()

        async with open_broker() as broker:
            await nursery.start(read)
            for number in (1, 2, 3):
                await settled()
                await broker.publish("t", number)
            await settled()
        await client_done.wait()


async def test_a_client_that_comes_back_misses_nothing() -> None:
    async with open_broker() as broker:
        last, got = None, []
        for n in range(30):
            await broker.publish("t", n)
            if n % 7 == 0:
                async with connect(Stream(broker.subscribe("t", after=last or "earliest"))) as c:
                    for _ in range(2 if n else 1):
                        event = await c.receive_event()
                        got.append(event.data)
                        last = event.id
        assert got == [str(n) for n in range(len(got))]


async def test_a_stalled_client_costs_nothing_and_gets_all_of_it_in_the_end() -> None:
    async with open_broker(history=5000) as broker:
        stream = Stream(broker.subscribe("t"), buffer=16)
        async with (
            connect(stream, socket_buffer=1000) as slow,
            connect(Stream(broker.subscribe("t"))) as fast,
        ):
            await settled()
            slow.stall()
            for n in range(2000):
                await broker.publish("t", n)
                if n % 50 == 49:
                    for _ in range(50):
                        await fast.receive_event()
            assert stream.statistics().peak_queued <= 64
            assert broker.statistics().behind == 1
            slow.resume()
            got = [(await slow.receive_event()).data for _ in range(2000)]
            assert got == [str(n) for n in range(2000)]
            await settled()
            assert broker.statistics().behind == 0  # at the head again
            await broker.publish("t", "live")
            assert (await slow.receive_event()).data == "live"


async def test_a_client_that_takes_nothing_ends_as_stalled(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_broker() as broker:
        stream = Stream(broker.subscribe("t"), stall_timeout=5, buffer=4)
        async with connect(stream) as client:
            await settled()
            client.stall()
            for _ in range(20):
                await broker.publish("t", "x" * 10_000)
            await trio.sleep(7)
            assert stream.outcome == "stalled"
            await settled()
            assert broker.statistics().subscriptions == 0


async def test_a_client_that_is_too_late_is_told_of_the_gap() -> None:
    async with open_broker(history=3) as broker:
        ids = await broker.publish_many("t", range(10))
        async with connect(Stream(broker.subscribe("t", after=ids[0]))) as client:
            gap = await client.receive_event()
            assert gap.event == "gap"
            assert gap.json() == {"after": ids[0], "next": ids[7], "missing": 6}
            assert gap.id is None  # what is still there comes after it
            assert [(await client.receive_event()).id for _ in range(3)] == ids[7:]


async def test_a_gap_with_nothing_behind_it_is_told_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_broker(history_age=5) as broker:
        first, *_ = await broker.publish_many("t", range(3))
        await trio.sleep(10)
        async with connect(Stream(broker.subscribe("t", after=first))) as client:
            gap = await client.receive_event()
            assert (gap.event, gap.json()["next"]) == ("gap", None)
        new = await broker.publish("t", "new")
        async with connect(Stream(broker.subscribe("t", after=client.last_event_id))) as client:
            assert (await client.receive_event()).id == new


@pytest.mark.parametrize("forged", ["", "abc", "9" * 18, "1\x00", "1" * 2**20, "7"])
async def test_a_forged_id_opens_nothing_but_the_topics_that_were_chosen(forged: str) -> None:
    async with open_broker() as broker:
        await broker.publish("users/eve", "hers")
        secret = await broker.publish("users/ann", "secret")
        for after in (forged, secret, str(int(secret) - 1)):
            async with connect(Stream(broker.subscribe("users/eve", after=after))) as client:
                await settled()
                await broker.publish("users/eve", "now")
                seen = []
                while not seen or seen[-1].data != "now":
                    seen.append(await client.receive_event())
                assert {e.data for e in seen if e.event == "message"} <= {"hers", "now"}


async def test_the_latest_of_each_key_is_what_a_slow_dashboard_gets() -> None:
    async with open_broker(history=5000) as broker:
        stream = Stream(broker.subscribe("prices/*", overflow="latest"), buffer=1)
        async with connect(stream, socket_buffer=100) as client:
            await settled()
            client.stall()
            for n in range(1000):
                await broker.publish(f"prices/{n % 4}", n)
                await trio.lowlevel.checkpoint()
            client.resume()
            got = []
            while not got or got[-1] != "999":
                got.append((await client.receive_event()).data)
            assert len(got) < 20
            assert got[-4:] == ["996", "997", "998", "999"]


async def test_a_stream_ends_when_the_broker_is_closed() -> None:
    async with open_broker() as broker:
        stream = Stream(broker.subscribe("t"))
    async with connect(stream) as client:
        await client.read()
        assert client.ended == "complete"


async def test_live_streams_end_with_the_broker() -> None:
    async with trio.open_nursery() as nursery:
        opened = trio.Event()

        async def client(broker: Broker) -> None:
            async with connect(Stream(broker.subscribe("t"))) as connection:
                opened.set()
                await connection.read()
                assert connection.ended == "complete"

        async with open_broker() as broker:
            nursery.start_soon(client, broker)
            await opened.wait()


async def test_many_publishers_and_followers_agree_on_the_order() -> None:
    async with open_broker() as broker, trio.open_nursery() as nursery:
        seen: list[list[str]] = []

        async def client() -> None:
            async with connect(Stream(broker.subscribe("a", "b/*"))) as connection:
                seen.append([(await connection.receive_event()).id or "" for _ in range(200)])

        async def publisher(topic: str) -> None:
            for n in range(50):
                await broker.publish(topic, n)

        for _ in range(70):  # more than one turn of the fan-out
            nursery.start_soon(client)
        await settled()
        for topic in ("a", "b/1", "b/2", "a"):
            nursery.start_soon(publisher, topic)
    assert all(ids == sorted(ids, key=int) for ids in seen)
    assert len({tuple(ids) for ids in seen}) == 1


async def test_other_formats_are_refused_with_what_to_do() -> None:
    async with open_broker() as broker:
        with pytest.raises(TypeError, match="iterate the subscription"):
            async with connect(Stream(broker.subscribe("t"), format="ndjson")):
                pass


async def test_a_subscription_is_used_once() -> None:
    async with open_broker() as broker:
        subscription = broker.subscribe("t", after="earliest")
        await broker.publish("t", 1)
        await anext(subscription)
        with pytest.raises(RuntimeError, match="subscribe again"):
            async with connect(Stream(subscription)):
                pass


@pytest.mark.parametrize(
    "data",
    [
        ServerSentEvent("x", id="1"),
        ServerSentEvent(comment="nothing"),
        EncodedEvent(b"id: 1\n\n", id="1"),
    ],
)
async def test_events_have_data_and_no_ids_of_their_own(data: object) -> None:
    async with open_broker() as broker:
        with pytest.raises(ValueError, match=r"an event|ids of its own"):
            await broker.publish("t", data)
        assert broker.statistics().published == 0


async def test_events_that_were_encoded_before_get_an_id() -> None:
    async with open_broker() as broker:
        subscription = broker.subscribe("t")
        id = await broker.publish("t", ServerSentEvent({"a": 1}, event="x", comment="c"))
        event = await anext(subscription)
        assert (event.id, event.event, event.json()) == (id, "x", {"a": 1})
        assert event.encoded.data == b'id: %s\n: c\nevent: x\ndata: {"a":1}\n\n' % id.encode()
        await broker.publish("t", EncodedEvent(b"data: raw\n\n"))
        assert (await anext(subscription)).data == "raw"


@pytest.mark.parametrize(
    ("keywords", "error"),
    [
        ({"overflow": "drop"}, ValueError),
        ({"presence": 5}, TypeError),
    ],
)
async def test_wrong_keywords_are_refused(keywords: dict[str, object], error: type) -> None:
    async with open_broker() as broker:
        with pytest.raises(error):
            broker.subscribe("t", **keywords)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="not for subscribers"):
            broker.subscribe("$other")


async def test_the_gap_event_says_what_is_known() -> None:
    async with open_broker() as broker:
        await broker.publish("t", "x")
        async with connect(Stream(broker.subscribe("t", after="no id"))) as client:
            gap = await client.receive_event()
            assert json.loads(gap.data)["after"] is None


async def test_events_that_go_out_together_are_counted_one_by_one() -> None:
    async with open_broker() as broker:
        await broker.publish_many("t", range(30))
        stream = Stream(broker.subscribe("t", after="earliest"))
        async with connect(stream) as client:
            await settled()
            await broker.publish_many("t", range(20))
            await settled()
            assert [(await client.receive_event()).data for _ in range(50)]
            assert stream.statistics().events == 50


class Taker:
    """A stream's sink that takes everything, and as long over it as a socket does."""

    format = "sse"

    def __init__(self) -> None:
        self.events: list[EncodedEvent] = []
        self.taken: list[bytes] = []
        self.counted = 0

    async def wait_for_ebb(self) -> None:
        """Nothing ever waits."""

    def put(self, value: EncodedEvent) -> None:
        self.put_nowait(value)

    def put_nowait(self, event: EncodedEvent) -> bool:
        until = perf_counter() + 20e-6
        while perf_counter() < until:
            pass
        self.events.append(event)
        self.taken.append(event.data)
        self.counted += 1
        return True

    @property
    def express(self) -> Self:
        return self

    def sender(self, frame: bytes) -> Callable[[bytes], int] | None:
        return None

    def sent(self, event: EncodedEvent, left: int, count: int, now: float) -> None:
        raise AssertionError("it has no socket")

    def share(self) -> None:
        return None

    def found_gone(self) -> None:
        raise AssertionError("it has no client")

    def add_events(self, count: int) -> None:
        self.counted += count

    def relay(self, event: ServerSentEvent) -> None:
        raise AssertionError("not from a topic")

    def ready(self) -> None:
        pass


class Follower:
    coding = None

    def __init__(self, seen: float) -> None:
        self.seen = seen
        self.selection = Selection(["t"])
        self.taken = Taker()
        self.sink = self.taken
        self.view = None

    def fall_behind(self, cursor: int) -> None:
        raise AssertionError(f"it had room for what comes after {cursor}")

    def end(self) -> None:
        raise AssertionError("it has not ended")


async def test_what_is_published_at_every_turn_gathers() -> None:
    takers = [Taker() for _ in range(100)]
    async with open_broker() as broker, trio.open_nursery() as nursery:
        for taker in takers:
            nursery.start_soon(broker.subscribe("t/*").run, taker)
        await settled()
        ids = [await broker.publish(f"t/{n % 2}", n) for n in range(1000)]
        await settled()
        nursery.cancel_scope.cancel()
    for taker in takers:
        found = re.findall(rb"id: (\d+)\n", b"".join(taker.taken))
        assert [id.decode() for id in found] == ids
        assert taker.counted == len(ids)
    writes = sum(len(taker.taken) for taker in takers)
    assert writes < 100 * len(ids) / 8  # without, a publisher has a turn for 64 writes


async def test_what_is_published_seldom_is_not_held_back() -> None:
    taker = Taker()
    async with open_broker() as broker, trio.open_nursery() as nursery:
        nursery.start_soon(broker.subscribe("t").run, taker)
        for n in range(5):
            await settled()
            await broker.publish("t", n)
            for _ in range(2):
                await trio.lowlevel.checkpoint()
            assert len(taker.taken) == n + 1
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("many", [False, True])
async def test_publishers_wait_while_too_much_is_to_be_handed_out(many: bool) -> None:
    taker = Taker()
    waiting: list[int] = []
    async with open_broker() as broker, trio.open_nursery() as nursery:

        async def publisher(n: int) -> None:
            await (broker.publish_many("t", [n]) if many else broker.publish("t", n))
            waiting.append(len(broker._feed.fanout._pending))

        nursery.start_soon(broker.subscribe("t").run, taker)
        await settled()
        for _ in range(10):  # as it is Trio's dice that choose whose turn is first
            async with trio.open_nursery() as publishers:
                for n in range(1500):
                    publishers.start_soon(publisher, n)
            await settled()
        nursery.cancel_scope.cancel()
    assert len(waiting) == 15_000
    assert max(waiting) <= 1024
    assert taker.counted == 15_000


async def test_a_follower_that_has_read_part_of_what_goes_out_together_gets_the_rest() -> None:
    everyone, someone = Follower(seen=0), Follower(seen=6)
    fanout = FanOut()
    fanout.add(everyone)
    fanout.add(someone)
    fanout.push([Record(id, "t", "", wire_form(id, b"data: x\n\n")) for id in range(1, 11)])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(fanout.run)
        await settled()
        nursery.cancel_scope.cancel()
    assert everyone.taken.counted == 10
    assert re.findall(rb"id: (\d+)", b"".join(someone.taken.taken)) == [b"7", b"8", b"9", b"10"]
    assert someone.taken.counted == 4
    assert everyone.seen == someone.seen == 10
    assert fanout.delivered == 14


async def test_the_log_keeps_an_event_once_and_not_its_frame_as_well() -> None:
    takers = [Taker(), Taker()]
    async with open_broker() as broker, trio.open_nursery() as nursery:
        for taker in takers:
            nursery.start_soon(broker.subscribe("t").run, taker)
        await settled()
        await broker.publish("t", "x")
        await settled()
        assert takers[0].events == takers[1].events
        assert takers[0].events[0] is takers[1].events[0]
        assert takers[0].events[0].frame
        kept = broker.subscribe("t", after="earliest")
        assert (await anext(kept)).encoded._frame is None
        nursery.cancel_scope.cancel()
