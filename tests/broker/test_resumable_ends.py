"""Resumable producers whose history, lease, generator or broker comes to an end before they do."""

import logging
from collections.abc import AsyncIterator, Iterator

import pytest
import trio
import trio.testing

from tests.broker.test_resumable import WHOLE, Answer, words
from trio_stream import Broker, ResumableRun, Stream, open_broker
from trio_stream.broker.memory import MemoryEngine
from trio_stream.broker.resumable.burying import bury
from trio_stream.broker.resumable.marks import find_run, mark_end, topic_of
from trio_stream.testing import connect

TOPIC = topic_of("a")


async def test_one_whose_beginning_is_gone_goes_on_for_who_has_seen_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    answer = Answer(words=30)
    async with open_broker(history=10) as broker:
        async with connect(Stream(broker.resumable("a", answer))) as client:
            assert (await words(client, 20))[-1] == "word19"
            last = client.last_event_id
        async with connect(Stream(broker.resumable("a", answer, after=last))) as client:
            assert await words(client, 5) == [f"word{n}" for n in range(20, 25)]
            last = client.last_event_id
        # Who has not seen it is told that there was more.
        async with connect(Stream(broker.resumable("a", answer))) as client:
            assert await words(client) == ["gap", *(f"word{n}" for n in range(15, 30)), "done"]
        assert answer.runs == 1
        # Its end is there, so that what was missed of it can still be had.
        async with connect(Stream(broker.resumable("a", answer, after=last))) as client:
            assert await words(client) == [f"word{n}" for n in range(25, 30)] + ["done"]
            last = client.last_event_id
        async with connect(Stream(broker.resumable("a", answer, after=last))) as client:
            assert await words(client) == []
        async with connect(Stream(broker.resumable("a", None))) as client:
            assert await words(client) == ["gap", *(f"word{n}" for n in range(21, 30)), "done"]
        assert answer.runs == 1
        # The whole is not there any more: it takes another run.
        async with connect(Stream(broker.resumable("a", answer))) as client:
            assert await words(client, 2) == ["word0", "word1"]
        assert answer.runs == 2


async def test_it_goes_on_behind_the_last_that_is_gone(
    autojump_clock: trio.testing.MockClock,
) -> None:
    answer = Answer(words=40)
    async with open_broker(history=10) as broker:
        async with connect(Stream(broker.resumable("a", answer))) as client:
            assert (await words(client, 20))[-1] == "word19"
            last = client.last_event_id
        await trio.sleep(10.5)  # ten words: those are kept, and the last that was seen is not
        async with connect(Stream(broker.resumable("a", answer, after=last))) as client:
            assert await words(client, 12) == [f"word{n}" for n in range(20, 32)]
        async with connect(Stream(broker.resumable("a", answer, after=last))) as client:
            gap = await client.receive_event()
            assert (gap.event, gap.json()["after"]) == ("gap", None)


async def test_an_id_of_an_earlier_run_is_none_of_the_next_ones(
    autojump_clock: trio.testing.MockClock,
) -> None:
    answer = Answer(fails_at=5)
    async with open_broker() as broker:
        async with connect(Stream(broker.resumable("a", answer))) as client:
            await words(client, 2)
            last = client.last_event_id
            await words(client)
        answer.fails_at = None
        async with connect(Stream(broker.resumable("a", answer))) as client:
            assert await words(client) == [*WHOLE, "done"]
        async with connect(Stream(broker.resumable("a", answer, after=last))) as client:
            assert await words(client) == ["gap", *WHOLE, "done"]
        assert answer.runs == 2


async def test_one_that_is_silent_and_of_which_nothing_is_kept_is_told_as_a_gap(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def silent(run: ResumableRun) -> None:
        await trio.sleep(20)
        await run.send("at last")
        await trio.sleep_forever()

    async with (
        open_broker(memory_bytes=3000) as broker,
        connect(Stream(broker.resumable("a", silent))) as client,
    ):
        await trio.sleep(1)
        await broker.publish("other", "x" * 2900)
        async with connect(Stream(broker.resumable("a", None))) as late:
            with trio.fail_after(5):
                gap = await late.receive_event()
            assert (gap.event, gap.json()) == ("gap", {"after": None, "next": None})
            assert await words(late, 1) == await words(client, 1) == ["at last"]


async def test_one_of_which_nothing_is_kept_is_watched_all_the_same(
    autojump_clock: trio.testing.MockClock,
) -> None:
    answer = Answer()
    async with (
        open_broker(memory_bytes=3000) as broker,
        connect(Stream(broker.resumable("a", answer))) as client,
    ):
        assert await words(client, 2) == ["word0", "word1"]
        await broker.publish("other", "x" * 2900)
        async with connect(Stream(broker.resumable("a", answer))) as late:
            assert await words(late, 3) == ["gap", "word2", "word3"]
        assert answer.runs == 1


async def test_an_id_of_another_topic_is_none_of_a_runs(
    autojump_clock: trio.testing.MockClock,
) -> None:
    answer = Answer()
    async with open_broker() as broker:
        async with connect(Stream(broker.resumable("a", answer))) as client:
            await words(client, 3)
            other = await broker.publish("t", "in the middle of it")
            await words(client)
        later = await broker.publish("t", "behind it")
        for after in (other, later):
            async with connect(Stream(broker.resumable("a", answer, after=after))) as client:
                assert await words(client) == ["gap", *WHOLE, "done"]
        assert answer.runs == 1


async def test_all_are_stopped_at_once_when_the_broker_is_closed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    heard: list[list[str]] = []

    async def slow_to_end(run: ResumableRun) -> None:
        try:
            await run.send("begun")
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(0.5)

    async def watch(broker: Broker, key: str) -> None:
        async with connect(Stream(broker.resumable(key, slow_to_end))) as client:
            heard.append(await words(client))

    async with trio.open_nursery() as nursery, open_broker() as broker:
        for n in range(8):
            nursery.start_soon(watch, broker, f"a{n}")
        await trio.sleep(5)
    assert heard == [["begun", "failed"]] * 8


async def test_a_broker_is_closed_without_one_that_does_not_end(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    ended = False

    async def very_slow_to_end(run: ResumableRun) -> None:
        nonlocal ended
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(3)
            ended = True

    async with trio.open_nursery() as nursery:
        async with open_broker() as broker:
            stream = Stream(broker.resumable("a", very_slow_to_end))

            async def watch() -> None:
                async with connect(stream) as client:
                    assert await words(client) == []

            nursery.start_soon(watch)
            await trio.sleep(5)
        assert ended


async def test_a_generator_is_closed_when_it_is_stopped_or_cannot_be_sent(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    closed: list[str] = []

    def generator(value: object):  # type: ignore[no-untyped-def]
        async def produce(run: ResumableRun) -> AsyncIterator[object]:
            try:
                yield value
                await trio.sleep_forever()
            finally:
                with trio.CancelScope(shield=True):
                    await trio.sleep(1)
                closed.append(run.key)

        return produce

    async with open_broker() as broker:
        async with connect(Stream(broker.resumable("stopped", generator(1)))) as client:
            await words(client, 1)
            await broker.stop_resumable("stopped")
            assert await words(client) == ["failed"]
        assert closed == ["stopped"]
        async with connect(Stream(broker.resumable("odd", generator(object())))) as client:
            assert await words(client) == ["failed"]
        assert closed == ["stopped", "odd"]


async def test_a_generator_that_would_block_is_no_producer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def blocking(run: ResumableRun) -> Iterator[int]:
        yield 1

    async with open_broker() as broker:
        with caplog.at_level(logging.ERROR, "trio_stream"):
            with pytest.raises(TypeError, match="a producer must be an async function"):
                broker.resumable("a", blocking)
            # What only the call shows.
            source = broker.resumable("a", lambda run: blocking(run))
            async with connect(Stream(source)) as client:
                assert await words(client) == ["failed"]
        [record] = caplog.records
        assert record.exc_info
        assert "async generator function" in str(record.exc_info[1])


async def test_with_no_linger_it_still_runs_while_it_is_watched(
    autojump_clock: trio.testing.MockClock,
) -> None:
    answer = Answer()
    async with open_broker() as broker:
        async with connect(Stream(broker.resumable("a", answer, linger=0))) as client:
            assert await words(client) == [*WHOLE, "done"]
        async with connect(Stream(broker.resumable("b", answer, linger=0))) as client:
            await words(client, 2)
        await trio.sleep(3)
        assert answer.cancelled == 1


async def test_a_key_leaves_room_for_the_topics_own_name() -> None:
    async with open_broker() as broker:
        broker.resumable("a" * 1013, None)
        with pytest.raises(ValueError, match="at most 1024 bytes"):
            broker.resumable("a" * 1014, None)


async def test_nothing_is_left_of_one_that_is_over(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_broker() as broker:
        async with connect(Stream(broker.resumable("a", Answer()))) as client:
            await words(client, 1)
            assert broker.statistics().subscriptions == 2  # the run listens whether to stop
            await words(client)
        assert broker.statistics().subscriptions == 0


@pytest.fixture
def leases_lapse(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if other processes shared this one's memory: leases are for 10 seconds, and prolonged."""
    monkeypatch.setattr(MemoryEngine, "shared", True)


def running(broker: Broker) -> ResumableRun:
    run = broker._runs.get(TOPIC)
    assert run is not None
    return run


async def test_a_lease_that_lapsed_is_taken_again(
    leases_lapse: None, autojump_clock: trio.testing.MockClock
) -> None:
    answer = Answer(words=20)
    async with open_broker() as broker:
        async with connect(Stream(broker.resumable("a", answer))) as client:
            await words(client, 1)
            await broker.engine.release(TOPIC, running(broker).owner)
            assert len(await words(client)) == 20
        assert answer.runs == 1


@pytest.mark.parametrize("next_one_holds_it", [False, True])
async def test_one_that_was_taken_for_dead_gives_way(
    leases_lapse: None, autojump_clock: trio.testing.MockClock, next_one_holds_it: bool
) -> None:
    answer = Answer(words=30)
    async with open_broker() as broker:
        async with connect(Stream(broker.resumable("a", answer))) as client:
            await words(client, 1)
        engine, runs = broker.engine, broker._runs
        await engine.release(TOPIC, running(broker).owner)
        if next_one_holds_it:
            await engine.claim(TOPIC, "another process", 10)
        else:
            await mark_end(runs.publisher, TOPIC, "lost")
        await trio.sleep(5)
        assert answer.cancelled == 1
        assert runs.get(TOPIC) is None
        run = await find_run(runs.feed, TOPIC)
        if next_one_holds_it:
            assert run.end is None  # it has not ended what is another's by now
            assert await engine.holder(TOPIC) == "another process"
        else:
            async with connect(Stream(broker.resumable("a", answer))) as client:
                assert await words(client, 2) == ["word0", "word1"]
            assert answer.runs == 2


async def test_nobody_is_buried_at_the_first_look(
    leases_lapse: None, autojump_clock: trio.testing.MockClock
) -> None:
    answer = Answer(words=30)
    buried: list[bool] = []
    async with (
        open_broker() as broker,
        connect(Stream(broker.resumable("a", answer))) as client,
    ):
        await words(client, 1)
        engine, owner = broker.engine, running(broker).owner

        async def look() -> None:
            buried.append(await bury(broker._runs, TOPIC))

        async with trio.open_nursery() as nursery:
            await engine.release(TOPIC, owner)
            nursery.start_soon(look)
            await trio.sleep(0.5)
            await engine.claim(TOPIC, owner, 10)
        assert buried == [False]
        assert len(await words(client)) == 30
