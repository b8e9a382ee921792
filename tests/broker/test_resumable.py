"""Producers that outlive their client."""

import logging

import pytest
import trio
import trio.testing

from trio_stream import Stream
from trio_stream.broker import Broker, ResumableRun, open_broker
from trio_stream.testing import Client, connect


class Answer:
    """A producer that sends numbered words, a second apart, and counts how often it was run."""

    def __init__(self, words: int = 10, fails_at: int | None = None) -> None:
        self.words = words
        self.fails_at = fails_at
        self.runs = 0
        self.cancelled = 0

    async def __call__(self, run: ResumableRun) -> None:
        self.runs += 1
        try:
            for n in range(self.words):
                if n == self.fails_at:
                    raise ZeroDivisionError
                await run.send(f"word{n}")
                await trio.sleep(1)
        except trio.Cancelled:
            self.cancelled += 1
            raise


async def words(client: Client, count: int = 10**6) -> list[str]:
    """The words until the end, which comes last, or until there are enough."""
    found = []
    async for event in client.events():
        found.append(event.data if event.event == "message" else event.event)
        if len(found) == count:
            break
    return found


WHOLE = [f"word{n}" for n in range(10)]


async def test_it_runs_once_for_all_who_come(autojump_clock: trio.testing.MockClock) -> None:
    answer, seen = Answer(), []

    async def client(broker: Broker, delay: float) -> None:
        await trio.sleep(delay)
        async with connect(Stream(broker.resumable("a", answer))) as connection:
            seen.append(await words(connection))
            assert connection.ended == "complete"

    async with open_broker() as broker:
        async with trio.open_nursery() as nursery:
            for delay in (0, 0, 3.5, 9.9, 20):  # the last one after it is over
                nursery.start_soon(client, broker, delay)
        assert seen == [WHOLE + ["done"]] * 5
        assert answer.runs == 1


async def test_a_client_that_drops_resumes_exactly(
    autojump_clock: trio.testing.MockClock,
) -> None:
    answer = Answer(words=40)
    async with open_broker() as broker:
        found: list[str] = []
        last = None
        for taken in (1, 4, 2, 7, 1, 99):
            async with connect(Stream(broker.resumable("a", answer, after=last))) as client:
                for _ in range(taken):
                    try:
                        event = await client.receive_event()
                    except trio.EndOfChannel:
                        break
                    found.append(event.data or event.event)
                    last = event.id
            await trio.sleep(2.5)
        assert found == [f"word{n}" for n in range(40)] + ["done"]
        # It has seen the end, so there is nothing more to say.
        async with connect(Stream(broker.resumable("a", answer, after=last))) as client:
            assert await words(client) == []
        assert answer.runs == 1


async def test_it_is_cancelled_when_nobody_has_watched_for_a_while(
    autojump_clock: trio.testing.MockClock,
) -> None:
    answer = Answer(words=100)
    async with open_broker() as broker:
        async with connect(Stream(broker.resumable("a", answer, linger=20))) as client:
            await words(client, 2)
            last = client.last_event_id
        await trio.sleep(15)
        async with connect(Stream(broker.resumable("a", answer, linger=20, after=last))) as client:
            assert await words(client, 2) == ["word2", "word3"]
        await trio.sleep(15)
        assert answer.cancelled == 0
        await trio.sleep(10)
        assert answer.cancelled == 1
        await trio.sleep(60)
        # Who comes back to it is told; who asks anew gets a new run.
        async with connect(Stream(broker.resumable("a", answer, after=last))) as client:
            end = (await client.read()).decode().splitlines()
            assert 'data: {"reason":"abandoned"}' in end
        async with connect(Stream(broker.resumable("a", answer))) as client:
            assert await words(client, 1) == ["word0"]
        assert answer.runs == 2


async def test_it_is_stopped_when_told_to(autojump_clock: trio.testing.MockClock) -> None:
    answer = Answer()
    async with open_broker() as broker:
        assert not await broker.stop_resumable("a")
        async with connect(Stream(broker.resumable("a", answer))) as client:
            await words(client, 3)
            assert await broker.stop_resumable("a")
            event = await client.receive_event()
            assert (event.event, event.json()) == ("failed", {"reason": "stopped"})
            assert await words(client) == []
        assert answer.cancelled == 1
        await trio.sleep(60)
        await broker.publish("t", "the broker lives on")


async def test_its_failure_is_logged_and_told_without_its_text(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    answer = Answer(fails_at=2)
    async with open_broker() as broker:
        with caplog.at_level(logging.ERROR, "trio_stream"):
            async with connect(Stream(broker.resumable("a", answer))) as client:
                assert await words(client, 2) == ["word0", "word1"]
                event = await client.receive_event()
                assert (event.event, event.json()) == ("failed", {"reason": "failed"})
        assert [r.exc_info[0] for r in caplog.records if r.exc_info] == [ZeroDivisionError]
        await broker.publish("t", "the broker lives on")
        answer.fails_at = None
        async with connect(Stream(broker.resumable("a", answer))) as client:
            assert await words(client) == WHOLE + ["done"]


async def test_an_id_of_something_else_is_a_gap_and_the_whole_run(
    autojump_clock: trio.testing.MockClock,
) -> None:
    answer = Answer()
    async with open_broker() as broker:
        other = await broker.publish("t", "x")
        for after in (other, "no id"):
            async with connect(Stream(broker.resumable("a", answer, after=after))) as client:
                assert await words(client) == ["gap"] + WHOLE + ["done"]


async def test_watching_alone_starts_nothing() -> None:
    async with open_broker() as broker, connect(Stream(broker.resumable("a", None))) as client:
        assert await words(client) == []
        assert client.ended == "complete"


async def test_generators_may_be_producers(autojump_clock: trio.testing.MockClock) -> None:
    async def generator(run: ResumableRun):  # type: ignore[no-untyped-def]
        yield {"n": 1}
        await run.send("named", event="x")
        yield "last"

    async with (
        open_broker() as broker,
        connect(Stream(broker.resumable("a", generator))) as client,
    ):
        assert await words(client) == ['{"n":1}', "x", "last", "done"]


async def test_closing_the_broker_stops_it_and_tells_who_watches() -> None:
    answer = Answer()
    heard: list[str] = []

    async def watch(broker: Broker, started: trio.Event) -> None:
        async with connect(Stream(broker.resumable("a", answer))) as client:
            await client.receive_event()
            started.set()
            heard.extend(await words(client))

    async with trio.open_nursery() as nursery, open_broker() as broker:
        started = trio.Event()
        nursery.start_soon(watch, broker, started)
        await started.wait()
    assert heard == ["failed"]
    assert answer.cancelled == 1


async def test_a_client_that_leaves_at_once_leaves_no_lease_behind(
    autojump_clock: trio.testing.MockClock,
) -> None:
    answer = Answer()
    async with open_broker() as broker:
        for turns in range(12):
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    stream = Stream(broker.resumable(f"a{turns}", answer))

                    async def serve(stream: Stream = stream) -> None:
                        async with connect(stream) as client:
                            await client.read()

                    nursery.start_soon(serve)
                    for _ in range(turns):
                        await trio.lowlevel.checkpoint()
                    scope.cancel()
            async with connect(Stream(broker.resumable(f"a{turns}", answer))) as client:
                assert await words(client) == WHOLE + ["done"]


@pytest.mark.parametrize("key", ["", "a/*", "**", 5])
async def test_keys_are_like_topics(key: str) -> None:
    async with open_broker() as broker:
        with pytest.raises((ValueError, TypeError)):
            broker.resumable(key, Answer())
