"""Who is disconnected, here or by another process: a model of who is in, and who is refused."""

import logging
import time
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.redis_server import redis_server
from trio_stream import Outcome, ResumableRun, RunFailedError, Stream, open_broker
from trio_stream.broker.contract import Entry
from trio_stream.broker.contract.retention import DISCONNECTS
from trio_stream.broker.disconnects import disconnect_entry
from trio_stream.testing import connect

PRINCIPALS = ["ann", "7", "*"]

names = st.sampled_from(PRINCIPALS)
steps = st.lists(
    st.tuples(st.sampled_from(["open", "open", "close"]), names, st.just(0.0))
    | st.tuples(st.just("wait"), names, st.sampled_from([1.0, 30.0]))
    | st.tuples(
        st.sampled_from(["disconnect", "elsewhere"]), names, st.sampled_from([0.0, 1.0, 40.0])
    ),
    max_size=20,
)


async def forever(stream: Stream) -> None:
    await trio.sleep_forever()


def of(principal: str) -> Stream:
    return Stream(forever, principal=principal, hold_headers=False, ping=None, stall_timeout=None)


async def follow(url: str, todo: list[Any], clock: trio.testing.MockClock) -> None:
    is_open: dict[str, list[Stream]] = {name: [] for name in PRINCIPALS}
    refused_until = dict.fromkeys(PRINCIPALS, 0.0)
    revoked: list[Stream] = []
    async with open_broker(url) as broker, AsyncExitStack() as stack:
        for what, name, seconds in todo:
            if what == "wait":
                clock.jump(seconds)
            elif what == "open":
                stream = of(name)
                client = await stack.enter_async_context(connect(stream))
                if trio.current_time() < refused_until[name]:
                    assert (client.status, stream.outcome) == (403, "refused")
                else:
                    assert (client.status, stream.outcome) == (200, None)
                    is_open[name].append(stream)
            elif what == "close":
                while is_open[name]:
                    is_open[name].pop().close()
            else:
                if what == "disconnect":
                    await broker.disconnect(name, refuse_for=seconds)
                else:
                    await broker.engine.append([disconnect_entry(name, seconds, False, "another")])
                    await trio.testing.wait_all_tasks_blocked()
                until = trio.current_time() + seconds
                refused_until[name] = max(refused_until[name], until)
                revoked += is_open[name]
                is_open[name].clear()
            assert {stream.outcome for stream in revoked} <= {Outcome.REVOKED}
            assert {stream.outcome for each in is_open.values() for stream in each} <= {None}


@pytest.mark.parametrize("engine", ["memory", "sqlite"])
@settings(max_examples=30)
@given(todo=steps)
def test_who_is_disconnected_is_gone_and_nobody_else(engine: str, todo: list[Any]) -> None:
    with TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'log.db'}" if engine == "sqlite" else "memory://"
        clock = trio.testing.MockClock()
        trio.run(follow, url, todo, clock, clock=clock)


@pytest.mark.parametrize("age", [None, 1.0])
def test_who_is_refused_is_so_after_a_restart_whatever_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, age: float | None
) -> None:
    url = f"sqlite:///{tmp_path}/log.db"
    open_it = partial(open_broker, url, history=1, history_age=age, synchronous="off")
    offset = 0.0
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + offset)

    async def before() -> None:
        nonlocal offset
        async with open_it() as broker:
            await broker.disconnect("ann", refuse_for=100)
            await broker.disconnect("bob", refuse_for=10)
            for n in range(3):
                offset += 10
                await broker.publish("t", n)
            await broker.publish("t", "and what is too old is deleted")

    async def after() -> None:
        async with open_it():
            for principal, status in (("ann", 403), ("bob", 200)):
                async with connect(of(principal)) as client:
                    assert client.status == status

    trio.run(before)
    trio.run(after)


async def test_who_was_cut_off_hears_of_it_later(tmp_path: Path) -> None:
    stream, other = of("ann"), of("bob")
    async with (
        open_broker(f"sqlite:///{tmp_path}/log.db", synchronous="off") as broker,
        connect(stream),
        connect(other),
    ):
        feed, records = broker._feed, broker._feed.records
        feed.records = lambda records: None  # type: ignore[method-assign]
        id = (await broker.engine.append([disconnect_entry("ann", 0.0, False, "another")]))[0]
        await trio.testing.wait_all_tasks_blocked()
        assert stream.outcome is None
        feed.records = records  # type: ignore[method-assign]
        feed.interrupted(id)
        with trio.fail_after(60):
            while stream.outcome is None:
                await trio.testing.wait_all_tasks_blocked(0.001)
        assert (stream.outcome, other.outcome) == ("revoked", None)


async def test_a_run_of_another_broker_is_stopped_though_its_stream_is_of_this_one() -> None:
    async def produce(run: ResumableRun) -> None:
        await run.send("begun")
        await trio.sleep_forever()

    async with (
        redis_server() as redis,
        open_broker(redis.url) as one,
        open_broker(redis.url) as two,
        one.resumable("r", produce, principal="ann") as run,
    ):
        assert (await anext(run)).data == "begun"
        async with Stream(two.resumable("r", None), principal="ann") as stream:
            await two.disconnect("ann", runs=True)
            assert stream.outcome == "revoked"
        with trio.fail_after(60), pytest.raises(RunFailedError, match="stopped"):
            await anext(run)


@pytest.mark.parametrize(
    "body", ["data: x\n\n", "data: {}\n\n", ": nothing\n\n", 'data: {"principal": 5}\n\n']
)
async def test_what_cannot_be_read_is_told_and_ends_nothing(
    body: str, caplog: pytest.LogCaptureFixture
) -> None:
    stream = of("ann")
    async with open_broker() as broker, connect(stream):
        await broker.engine.append([Entry(DISCONNECTS, body.encode())])
        await broker.engine.append([disconnect_entry("ann", 0.0, False, "another")])
        await trio.testing.wait_all_tasks_blocked()
        assert stream.outcome == "revoked"
        assert "cannot be read" in caplog.text


async def test_what_is_lost_of_that_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_broker(f"sqlite:///{tmp_path}/log.db", synchronous="off") as broker:
        await broker.engine.append([disconnect_entry("ann", 0.0, False, "another")])
        await trio.testing.wait_all_tasks_blocked()
        feed, records = broker._feed, broker._feed.records
        feed.records = lambda records: None  # type: ignore[method-assign]
        many = [disconnect_entry("x" * 1000, 0.0, False, "another")] * 1500
        id = (await broker.engine.append(many))[-1]
        feed.records = records  # type: ignore[method-assign]
        caplog.set_level(logging.WARNING)
        feed.interrupted(id)
        with trio.fail_after(60):
            while not caplog.records:
                await trio.testing.wait_all_tasks_blocked(0.001)
        assert "may still be open" in caplog.text
        assert broker._feed.log.topic(DISCONNECTS)[0] == 0
