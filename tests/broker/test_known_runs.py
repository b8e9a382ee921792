"""What is known of a run, and what becomes of who would start it a second time."""

import time
from typing import Any

import pytest
import trio
from trio.abc import Clock

from tests.broker.test_streams import settled
from tests.support.brokers import ENGINES, broker_of
from trio_stream import (
    Broker,
    KnownRun,
    Member,
    ResumableRun,
    RunFailedError,
    RunInProgressError,
    Stream,
    open_broker,
)
from trio_stream.broker.resumable.marks import mark_start, topic_of
from trio_stream.testing import connect


class Producer:
    """Sends its number, and then waits to be told how to end."""

    def __init__(self) -> None:
        self.runs = 0
        self.go_on = trio.Event()

    async def __call__(self, run: ResumableRun) -> None:
        self.runs += 1
        await run.send(self.runs)
        await self.go_on.wait()
        if self.runs > 1:
            raise LookupError


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_run_is_known_while_it_runs_and_when_it_is_over(
    engine: str, caplog: pytest.LogCaptureFixture
) -> None:
    producer = Producer()
    async with broker_of(engine) as broker:
        assert await broker.run("k") is None
        before = time.time()
        run = broker.resumable("k", producer, presence="ann")
        async with run, broker.resumable("k", producer, after="0") as other:
            await anext(run)
            run_now = await broker.run("k")
            assert run_now is not None
            assert run_now.since is not None
            assert before - 0.01 < run_now.since < time.time() + 0.01
            assert run_now == KnownRun("k", "running", None, run_now.since, (Member("ann", 1),))
            with pytest.raises(Exception, match="does not reach back"):
                await anext(other)
            await anext(other)
            known = await broker.run("k")
            assert known is not None
            assert known.watchers == (Member("ann", 1), Member("watcher", 1))
            producer.go_on.set()
            assert [event async for event in run] == []
        known = await broker.run("k")
        assert known is not None
        assert (known.state, known.reason) == ("done", None)
        assert known.since is not None
        assert run_now.since <= known.since < time.time() + 0.01
        async with broker.resumable("k", producer, if_running="replace") as run:
            await anext(run)
            with caplog.at_level("CRITICAL"), pytest.raises(RunFailedError):
                await anext(run)
        known = await broker.run("k")
        assert known is not None
        assert (known.state, known.reason) == ("failed", "failed")


async def test_one_whose_process_has_died_is_lost() -> None:
    async with open_broker() as broker:
        await mark_start(broker._publisher, topic_of("k"))
        assert await broker.run("k") == KnownRun("k", "failed", "lost", None, ())
        await broker.engine.claim(topic_of("j"), "somebody", 10)
        known = await broker.run("j")
        assert known == KnownRun("j", "running", None, None, ())


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_second_start_is_joined_or_refused(engine: str) -> None:
    producer = Producer()
    async with broker_of(engine) as broker, broker.resumable("k", producer) as run:
        first = await anext(run)
        async with broker.resumable("k", producer) as second:
            assert (await anext(second)).id == first.id
        with pytest.raises(RunInProgressError, match="k is in progress") as caught:
            await anext(broker.resumable("k", producer, if_running="refuse"))
        assert caught.value.key == "k"
        # Who comes back is none that starts, nor is who only watches.
        for options in ({"producer": producer, "after": first.id}, {"producer": None}):
            async with broker.resumable("k", if_running="refuse", **options) as watching:
                with trio.move_on_after(0.01):
                    await anext(watching)
        producer.go_on.set()
        assert [event async for event in run] == []
        async with broker.resumable("k", producer, if_running="refuse") as done:
            assert [event.data async for event in done] == ["1"]
    assert producer.runs == 1


async def test_a_refused_start_is_a_conflict(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    producer = Producer()
    async with open_broker() as broker, broker.resumable("k", producer) as run:
        await anext(run)
        refused = Stream(broker.resumable("k", producer, if_running="refuse"))
        async with connect(refused) as client:
            assert client.status == 409
        assert [record.levelname for record in caplog.records] == ["INFO"]


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_second_start_replaces_the_first(engine: str) -> None:
    ended: list[Any] = []

    async def watch(broker: Broker, task_status: trio.TaskStatus[str]) -> None:
        async with broker.resumable("k", producer) as run:
            task_status.started((await anext(run)).data)
            try:
                await anext(run)
            except RunFailedError as exc:
                ended.append(exc.reason)

    producer = Producer()
    async with broker_of(engine) as broker, trio.open_nursery() as nursery:
        assert await nursery.start(watch, broker) == "1"
        async with broker.resumable("k", producer, if_running="replace") as run:
            assert (await anext(run)).data == "2"
            await settled()
            assert ended == ["stopped"]
            known = await broker.run("k")
            assert known is not None
            assert (known.state, known.watchers) == ("running", (Member("watcher", 1),))
        await broker.stop_resumable("k")


async def test_of_many_that_replace_each_other_one_runs() -> None:
    producer = Producer()
    got: list[str] = []
    reasons: set[str] = set()

    async def watch(broker: Broker) -> None:
        try:
            async for event in broker.resumable("k", producer, if_running="replace"):
                got.append(event.data)
        except RunFailedError as exc:
            reasons.add(exc.reason)

    async with open_broker() as broker, trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(watch, broker)
        with trio.fail_after(60):
            while producer.runs < 5:
                await trio.sleep(0.01)
        await broker.stop_resumable("k")
    assert sorted(got) == list("12345")
    assert reasons == {"stopped"}


async def test_what_was_started_anew_is_gone_on_with() -> None:
    """Who replaces is a watcher like any other from then on."""
    producer = Producer()
    async with open_broker() as broker:
        async with connect(Stream(broker.resumable("k", producer))) as first:
            event = await first.receive_event()
            stream = Stream(broker.resumable("k", producer, if_running="replace"))
            async with connect(stream) as second:
                event = await second.receive_event()
                assert event.data == "2"
            assert (await first.receive_event()).json() == {"reason": "stopped"}
        again = broker.resumable("k", producer, after=event.id, if_running="replace")
        async with connect(Stream(again)) as third:
            await settled()
            producer.go_on = trio.Event()
            assert producer.runs == 2
            await broker.stop_resumable("k")
            assert (await third.receive_event()).event == "failed"


@pytest.mark.parametrize("engine", ENGINES)
async def test_one_is_started_before_anybody_watches(
    engine: str, caplog: pytest.LogCaptureFixture
) -> None:
    producer = Producer()
    async with broker_of(engine) as broker:
        assert await broker.start_resumable("k", producer, principal="ann")
        known = await broker.run("k")
        assert known is not None
        assert (known.state, known.watchers) == ("running", ())
        assert [(run.key, run.principal) for run in broker.runs()] == [("k", "ann")]
        assert not await broker.start_resumable("k", producer)
        with pytest.raises(RunInProgressError):
            await broker.start_resumable("k", producer, if_running="refuse")
        async with broker.resumable("k", None) as run:
            assert (await anext(run)).data == "1"
            producer.go_on.set()
            assert [event async for event in run] == []
        assert not await broker.start_resumable("k", producer)
        assert producer.runs == 1
        with caplog.at_level("CRITICAL"):
            assert await broker.start_resumable("k", producer, if_running="replace")
            second = broker.resumable("k", None)
            assert (await anext(second)).data == "2"
            with pytest.raises(RunFailedError):
                await anext(second)


async def test_one_that_nobody_comes_to_watch_is_abandoned(autojump_clock: Clock) -> None:
    producer = Producer()
    async with open_broker() as broker:
        began = trio.current_time()
        assert await broker.start_resumable("k", producer, linger=60)
        while broker.runs():
            await trio.sleep(1)
        assert 60 <= trio.current_time() - began < 64
        known = await broker.run("k")
        assert known is not None
        assert (known.state, known.reason) == ("failed", "abandoned")


async def test_one_may_go_on_to_its_end_whoever_comes(autojump_clock: Clock) -> None:
    async def work(run: ResumableRun) -> None:
        await trio.sleep(10_000)
        await run.send("the result")

    async with open_broker() as broker:
        assert await broker.start_resumable("k", work, linger=None)
        await trio.sleep(10_001)
        known = await broker.run("k")
        assert known is not None
        assert known.state == "done"


async def test_what_runs_can_be_let_finish_before_the_broker_is_closed(
    autojump_clock: Clock,
) -> None:
    """As a lifespan does it: docs/topics.md."""

    async def count(run: ResumableRun) -> None:
        for number in range(30):
            await run.send(number)
            await trio.sleep(1)

    async with open_broker() as broker:
        async with broker.resumable("k", count, linger=60) as run:
            await anext(run)
        while broker.runs():
            await trio.sleep(0.1)
        known = await broker.run("k")
        assert known is not None
        assert known.state == "done"
        events = [event async for event in broker.resumable("k", None)]
        assert [event.json() for event in events] == list(range(30))
