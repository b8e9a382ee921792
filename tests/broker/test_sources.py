"""Sources on demand: run while anybody watches, once, however they end."""

import gc
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any
from unittest.mock import patch

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from tests.broker.test_map import connected
from tests.broker.test_streams import settled
from tests.support.brokers import ENGINES, broker_of
from tests.support.redis_server import redis_server
from trio_stream import (
    Broker,
    LeaseLostError,
    ServerSentEvent,
    SourceRun,
    Stream,
    Subscription,
    open_broker,
)
from trio_stream.broker.contract import engine as contract
from trio_stream.broker.sources import keeper as keeper_module
from trio_stream.testing import connect


class Ticks:
    """A source that says so when it starts and ends."""

    def __init__(self) -> None:
        self.running: list[str] = []
        self.starts = 0
        self.runs: list[SourceRun] = []

    async def __call__(self, run: SourceRun) -> None:
        self.starts += 1
        self.running.append(run.topic)
        self.runs.append(run)
        try:
            await trio.sleep_forever()
        finally:
            self.running.remove(run.topic)


@asynccontextmanager
async def watching(broker: Broker, *topics: str, **options: Any) -> AsyncIterator[Any]:
    async with connect(Stream(broker.subscribe(*topics, **options), ping=None)) as client:
        await settled()
        yield client


@pytest.mark.parametrize("engine", ENGINES)
async def test_it_runs_once_for_all_who_watch(engine: str) -> None:
    ticks = Ticks()
    async with broker_of(engine) as broker, trio.open_nursery() as nursery:
        broker.source("prices/*", ticks, linger=0)
        await broker.publish("prices/a", "before")
        streams = [Stream(broker.subscribe("prices/a")) for _ in range(20)]
        clients = [await nursery.start(connected, stream) for stream in streams]
        async with broker.subscribe("prices/a"):
            while not ticks.runs:
                await trio.sleep(0.01)
            assert await ticks.runs[0].watched() == ["prices/a"]
            id = await ticks.runs[0].send({"bid": 1}, event="tick")
            await ticks.runs[0].send(2, topic="prices/b", key="k")
            for client in clients:
                event = await client.receive_event()
                assert (event.id, event.event, event.json()) == (id, "tick", {"bid": 1})
            await settled()
            nursery.cancel_scope.cancel()
    assert ticks.starts == 1
    assert ticks.running == []


async def test_it_lingers_and_starts_again(autojump_clock: MockClock) -> None:
    ticks = Ticks()
    async with open_broker() as broker:
        broker.source("prices/*", ticks, linger=30)
        for _ in range(3):  # he is back in time
            async with watching(broker, "prices/a"):
                assert ticks.running == ["prices/a"]
            await trio.sleep(29)
            assert ticks.running == ["prices/a"]
        assert ticks.starts == 1
        await trio.sleep(2)
        assert ticks.running == []
        async with watching(broker, "prices/a"):
            assert ticks.running == ["prices/a"]
        assert ticks.starts == 2
    assert ticks.running == []


async def test_it_may_go_on_for_ever(autojump_clock: MockClock) -> None:
    ticks = Ticks()
    async with open_broker() as broker:
        broker.source("t", ticks, linger=None)
        async with watching(broker, "t"):
            pass
        await trio.sleep(10_000)
        assert ticks.running == ["t"]
        async with watching(broker, "t"):
            assert ticks.starts == 1
    assert ticks.running == []


async def test_it_lingers_by_a_clock_that_goes_on_meanwhile() -> None:
    ticks = Ticks()
    async with open_broker() as broker:
        broker.source("t", ticks, linger=0.01)
        for n in range(1, 4):
            async with watching(broker, "t"):
                await until(lambda: ticks.running)
            await until(lambda: not ticks.running)
            assert ticks.starts == n


async def test_who_comes_while_it_ends_has_it_run_again() -> None:
    ticks = Ticks()
    async with open_broker() as broker, trio.open_nursery() as nursery:
        broker.source("t", ticks, linger=0)
        for turns in range(20):
            scope, other = trio.CancelScope(), trio.CancelScope()
            nursery.start_soon(iterate, broker.subscribe("t"), scope)
            await settled()
            assert ticks.running == ["t"]
            scope.cancel()
            for _ in range(turns):
                await trio.lowlevel.checkpoint()
            nursery.start_soon(iterate, broker.subscribe("t"), other)
            await settled()
            assert ticks.running == ["t"]
            other.cancel()
            await settled()
            assert ticks.running == []


async def iterate(events: Subscription, scope: trio.CancelScope) -> None:
    with scope:
        async with events:
            while True:
                await anext(events)


async def test_each_name_has_a_run_of_its_own_and_a_pattern_one(autojump_clock: MockClock) -> None:
    ticks, together = Ticks(), Ticks()
    long = "prices/" + "x" * 1010
    async with open_broker() as broker:
        broker.source("prices/*", ticks, linger=0)
        broker.source("all/**", together, linger=0, each=False)
        with pytest.raises(ValueError, match="there is a source of 'prices/\\*' already"):
            broker.source("prices/*", ticks)
        async with (
            watching(broker, "prices/a", "prices/b", "other"),
            watching(broker, "prices/b", long),
            watching(broker, "prices/*"),
            watching(broker, "**"),  # whoever looks at everything is nobody's watcher
        ):
            assert sorted(ticks.running) == ["prices/*", "prices/a", "prices/b", long]
            run = ticks.runs[ticks.running.index("prices/*")]
            with pytest.raises(ValueError, match="is a pattern"):
                await run.send("where to?")
            async with watching(broker, "all/1", "all/2/x"), watching(broker, "all/**"):
                assert together.running == ["all/**"]
                assert await together.runs[0].watched() == ["all/**", "all/1", "all/2/x"]
            await settled()
            assert together.running == []
        await settled()
        assert ticks.running == []


def refusing(run: SourceRun) -> Any:
    raise ConnectionError


async def ending(run: SourceRun) -> AsyncIterator[str]:
    yield "one"
    yield "two"


def none_at_all(run: SourceRun) -> Iterator[str]:
    yield "blocking"


def seldom(event: Any) -> Any:
    return event if event.data == "one" else None


@pytest.mark.parametrize(
    ("fn", "reason", "text"),
    [
        (refusing, "failed", []),
        (ending, "ended", ["one", "two"]),
        (lambda run: none_at_all(run), "failed", []),
    ],
)
async def test_who_watches_is_told_of_its_end_and_when_it_is_tried_again(
    fn: Any, reason: str, text: list[str], autojump_clock: MockClock, caplog: Any
) -> None:
    caplog.set_level("CRITICAL")
    async with open_broker() as broker:
        broker.source("t", fn, linger=5)
        begun = trio.current_time()
        async with watching(broker, "t") as client, watching(broker, "*", "t", map=seldom) as other:
            for again in (1, 2, 4, 8, 16, 30, 30):
                assert [(await client.receive_event()).data for _ in text] == text
                event = await client.receive_event()
                assert (event.event, event.json()) == ("source", {"reason": reason, "again": again})
                if again > 1:  # when it came the first pause had begun
                    assert [(await other.receive_event()).data for _ in text[:1]] == text[:1]
                assert (await other.receive_event()).json()["again"] == again
            assert trio.current_time() - begun == pytest.approx(61, abs=1)


async def test_who_comes_during_the_pause_is_told_as_well(
    autojump_clock: MockClock, caplog: Any
) -> None:
    caplog.set_level("CRITICAL")
    async with open_broker() as broker:
        told = ServerSentEvent("wait", event="down")
        broker.source("t", refusing, failed=lambda reason, again: told)
        broker.source("u", refusing, failed=None)
        broker.source("v", refusing, failed=lambda reason, again: 1 / 0)
        async with watching(broker, "t", "u", "v") as first, watching(broker, "t") as second:
            for client in (first, second):
                event = await client.receive_event()
                assert (event.event, event.data, event.id) == ("down", "wait", None)


async def test_after_a_long_run_the_pause_is_short_again(
    autojump_clock: MockClock, caplog: Any
) -> None:
    caplog.set_level("CRITICAL")
    lengths = iter([0, 0, 0, 31, 0])

    async def source(run: SourceRun) -> None:
        await trio.sleep(next(lengths))

    async with open_broker() as broker:
        broker.source("t", source)
        async with watching(broker, "t") as client:
            pauses = [(await client.receive_event()).json()["again"] for _ in range(5)]
        assert pauses == [1, 2, 4, 1, 2]


async def test_one_that_was_dropped_watches_no_longer(autojump_clock: MockClock) -> None:
    ticks = Ticks()
    async with open_broker() as broker:
        broker.source("t", ticks, linger=0)
        events = broker.subscribe("t")
        with trio.move_on_after(1):
            await anext(events)
        assert ticks.running == ["t"]
        del events
        gc.collect()
        await trio.sleep(1)
        assert ticks.running == []


async def test_presence_and_sources_go_together(autojump_clock: MockClock) -> None:
    ticks = Ticks()
    async with open_broker() as broker:
        broker.source("t", ticks, linger=0)
        async with watching(broker, "t", presence="ann"):
            assert [member.name for member in await broker.presence("t")] == ["ann"]
            assert ticks.running == ["t"]


@given(
    steps=st.lists(
        st.one_of(
            st.sampled_from(["come", "go", "fail"]),
            st.sampled_from([0.5, 3.0, 9.0, 11.0]),  # seconds pass
        ),
        max_size=30,
    )
)
def test_it_runs_exactly_while_somebody_watches_or_has_just_left(steps: list[Any]) -> None:
    async def main() -> None:
        ticks = Ticks()
        failing = trio.Event()

        async def source(run: SourceRun) -> None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ticks, run)
                await failing.wait()
                raise ConnectionError

        async with open_broker() as broker, trio.open_nursery() as nursery:
            broker.source("t", source, linger=10)
            watchers: list[trio.CancelScope] = []
            left = down = -1e9

            async def watch() -> None:
                with trio.CancelScope() as scope:
                    watchers.append(scope)
                    async with broker.subscribe("t") as events:
                        while True:
                            await anext(events)

            for step in steps:
                now = trio.current_time()
                if step == "come":
                    nursery.start_soon(watch)
                elif step == "go" and watchers:
                    watchers.pop().cancel()
                    left = now
                elif step == "fail" and ticks.running:
                    failing.set()
                    failing = trio.Event()
                    down = now
                elif isinstance(step, float):
                    await trio.sleep(step)
                await settled()
                now = trio.current_time()
                wanted = bool(watchers) or now - left < 10
                if now - down > 61:  # else it may be in a pause
                    assert ticks.running == (["t"] if wanted else [])
                elif not wanted:
                    assert ticks.running == []
            nursery.cancel_scope.cancel()

    with patch.object(keeper_module.log, "exception"):
        trio.run(main, clock=MockClock(autojump_threshold=0))


@asynccontextmanager
async def two_processes() -> AsyncIterator[tuple[Broker, Broker]]:
    async with (
        redis_server() as server,
        open_broker(server.url) as one,
        open_broker(server.url) as two,
    ):
        yield one, two


async def until(condition: Any) -> None:
    with trio.fail_after(60):
        while not condition():
            await trio.sleep(0.01)


async def test_of_two_processes_one_runs_it_and_the_other_goes_on() -> None:
    first, second = Ticks(), Ticks()
    with patch.object(contract, "LEASE", 600.0):  # so that nobody finds it by looking
        await go_on(first, second)


async def go_on(first: Ticks, second: Ticks) -> None:
    async with redis_server() as server, open_broker(server.url) as two:
        two.source("t", second, linger=0)
        async with open_broker(server.url) as one:
            one.source("t", first, linger=0)
            async with watching(one, "t"):
                await until(lambda: first.running)
                async with watching(two, "t") as client:
                    await first.runs[0].send("x")
                    assert (await client.receive_event()).data == "x"
                    assert second.running == []
                assert first.running
            await until(lambda: not first.running)
            async with trio.open_nursery() as nursery:
                async with watching(one, "t"):  # who runs it need not be where somebody watches
                    await until(lambda: first.running)
                    stream = Stream(two.subscribe("t"))
                    await nursery.start(connected, stream)
                await trio.sleep(1.5)
                assert first.running
                assert not second.running
                # Its process ends, and another one takes it over without waiting for a lease.
                await one._sources.stop()
                await until(lambda: second.running)
                nursery.cancel_scope.cancel()
        await until(lambda: not second.running)


async def test_who_stood_still_for_too_long_runs_it_no_longer() -> None:
    first, second = Ticks(), Ticks()
    lost: list[Exception] = []

    async def source(run: SourceRun) -> None:
        try:
            await first(run)
        finally:
            with trio.CancelScope(shield=True):
                try:
                    await run.send("late")
                except LeaseLostError as exc:
                    lost.append(exc)

    with patch.object(contract, "LEASE", 0.6):
        async with two_processes() as (one, two):
            one.source("t", source)
            two.source("t", second)
            async with watching(one, "t"):
                await until(lambda: first.running)
            async with watching(one, "t"), watching(two, "t"):
                # As if it had slept: its lease is another's.
                [name] = one._sources._keepers
                await one.engine.release(name, one._sources._keepers[name]._owner)
                await one.engine.claim(name, "another", 1.0)
                await until(lambda: lost)  # nothing of it is stored
                await until(lambda: first.running or second.running)


async def test_who_is_behind_when_it_ends_is_told_once_when_he_is_not(
    autojump_clock: MockClock, caplog: Any
) -> None:
    async def fast(run: SourceRun) -> None:
        for number in range(3):
            await run.send(f"{number}" * 50)
        if run.topic == "fails":
            raise ValueError("upstream")

    caplog.set_level("CRITICAL")
    async with open_broker() as broker:
        broker.source("fails", fast)
        stream = Stream(broker.subscribe("fails"), buffer=1, ping=None)
        async with connect(stream, socket_buffer=1) as client:
            await settled()  # it has ended, and the client has taken nothing yet
            assert [(await client.receive_event()).data[:1] for _ in range(3)] == ["0", "1", "2"]
            assert (await client.receive_event()).json() == {"reason": "failed", "again": 1.0}
            await broker.publish("fails", "x" * 50)
            await broker.publish("fails", "y" * 50)
            await broker.publish("fails", "z" * 50)
            await settled()  # behind once more, and nothing was told meanwhile
            assert [(await client.receive_event()).data[:1] for _ in range(4)] == [*"xyz", "0"]
