"""The topics and runs that a process knows: `Broker.topics` and `Broker.runs`."""

from typing import Any

import trio
import trio.testing

from trio_stream import Stream, open_broker, open_streams
from trio_stream.testing import connect

Clock = trio.testing.MockClock


async def test_topics_are_listed_those_with_the_newest_events_first() -> None:
    async with open_broker() as broker:
        for topic in ["orders/1", "orders/2", "prices", "orders/1"]:
            await broker.publish(topic, topic)
        assert [topic.name for topic in broker.topics()] == ["orders/1", "prices", "orders/2"]
        assert [topic.name for topic in broker.topics("ORDERS")] == ["orders/1", "orders/2"]
        assert [topic.name for topic in broker.topics(most=1)] == ["orders/1"]
        assert broker.topics("none") == ()
        for topic in broker.topics():
            assert topic.statistics == broker.topic_statistics(topic.name)
        await broker.forget("prices")
        assert [topic.name for topic in broker.topics()] == ["orders/1", "orders/2"]


async def test_what_somebody_waits_for_is_listed_before_anything_is_published() -> None:
    async with open_broker() as broker:
        every = Stream(broker.subscribe("silent", "all/*"), hold_headers=False)
        mapped = Stream(broker.subscribe("mapped", map=lambda event: None), hold_headers=False)
        present = Stream(broker.subscribe("room", presence="ada"), hold_headers=False)
        async with connect(every), connect(mapped), connect(present):
            await trio.testing.wait_all_tasks_blocked()
            known = {topic.name: topic.statistics.subscriptions for topic in broker.topics()}
            assert known == {"silent": 1, "all/*": 1, "mapped": 1, "room": 1}
            await broker.publish("all/1", "x")
            assert broker.topics()[0].name == "all/1"
            assert broker.topics()[0].statistics.subscriptions == 1
        assert [topic.name for topic in broker.topics()] == ["all/1"]


async def test_the_subscribers_of_a_topic_are_listed_with_their_streams() -> None:
    async with open_broker() as broker:
        await broker.publish("a", "kept")
        head = Stream(broker.subscribe("a"), hold_headers=False)
        pattern = Stream(broker.subscribe("*"), hold_headers=False)
        others = Stream(broker.subscribe("b"), hold_headers=False)
        never = broker.subscribe("a")
        async with connect(head), connect(pattern), connect(others), broker.subscribe("a") as own:
            with trio.move_on_after(0):
                await anext(own)
            await trio.testing.wait_all_tasks_blocked()
            numbers = [stream.number for stream in open_streams()]
            found = {each.stream_number: each.at_head for each in broker.subscribers("a")}
            assert found.keys() == {numbers[0], numbers[1], None}
            assert found[numbers[0]] is found[numbers[1]] is True
            assert [each.stream_number for each in broker.subscribers("*")] == [numbers[1]]
            assert len(broker.subscribers("a", most=2)) == 2
        assert broker.subscribers("a") == ()
        assert never.statistics().stream_number is None


async def test_runs_are_listed_while_their_producers_are_in_this_process(
    autojump_clock: Clock,
) -> None:
    async def produce(run: Any) -> None:
        await run.send("one")
        await trio.sleep_forever()

    async with open_broker() as broker:
        assert broker.runs() == ()
        stream = Stream(broker.resumable("essay", produce, linger=50), principal="ada")
        async with connect(stream) as client:
            await client.receive_event()
            await trio.sleep(20)
            (run,) = broker.runs()
            assert (run.key, run.principal, run.age) == ("essay", "ada", 20)
            assert run.seconds_unwatched <= 1
        await trio.sleep(20)
        (run,) = broker.runs()
        assert run.age == 40
        assert 19 <= run.seconds_unwatched <= 21
        assert await broker.stop_resumable("essay")
        await trio.testing.wait_all_tasks_blocked()
        assert broker.runs() == ()
