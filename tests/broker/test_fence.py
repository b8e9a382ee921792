"""A resumable run that was given up writes nothing any more, whatever it was that held it up."""

import random
import re
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.broker.test_resumable import Answer, words
from tests.support.processes import Process
from tests.support.redis_server import redis_server
from trio_stream import LeaseLostError, ResumableRun, Stream, encode, open_broker
from trio_stream.broker.contract import Entry, Lease
from trio_stream.broker.contract.topics import Selection
from trio_stream.broker.memory import MemoryEngine
from trio_stream.broker.resumable.marks import is_end, is_mark, mark_end, topic_of
from trio_stream.testing import connect

TOPIC = topic_of("a")

#: As much as `run_apart` keeps.
KEPT: dict[str, Any] = {"history": 10**6, "history_bytes": 2**30}

#: Seconds. A real one is ten.
LEASE = 0.6


class Gate:
    """The way to a Redis, which can be shut: what is on it waits there, and arrives later."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._open = trio.Event()
        self._open.set()
        self.port = 0

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.port = listener.socket.getsockname()[1]
        await trio.serve_listeners(self._serve, [listener], task_status=task_status)

    def shut(self) -> None:
        self._open = trio.Event()

    def open(self) -> None:
        self._open.set()

    async def _serve(self, stream: trio.SocketStream) -> None:
        other = await trio.open_tcp_stream("127.0.0.1", self._target)
        async with stream, other, trio.open_nursery() as nursery:
            nursery.start_soon(self._pump, stream, other, nursery)
            nursery.start_soon(self._pump, other, stream, nursery)

    async def _pump(
        self, source: trio.SocketStream, target: trio.SocketStream, nursery: trio.Nursery
    ) -> None:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            async for data in source:
                await self._open.wait()
                await target.send_all(data)
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def apart(url: str, log: Path, pause: float) -> AsyncIterator[Process]:
    command = [sys.executable, "-m", "tests.broker.run_apart", url, str(pause), str(LEASE)]
    process = await Process.start(command, log)
    try:
        yield process
    finally:
        await process.kill()


async def read_log(url: str) -> list[str]:
    """What is stored of the run's topic: whose event each is, or which mark."""
    found: list[str] = []
    async with open_broker(url, **KEPT) as broker:
        cursor, selection = 0, Selection([topic_of("r")])
        while (page := await broker.engine.read(selection, cursor, 1000)).records:
            for record in page.records:
                if is_mark(record):
                    found.append("END" if is_end(record) else "START")
                else:
                    found.append(record.data.split(b"data: ")[1].split()[0].decode())
            cursor = page.upto
    return found


def runs_of(log: list[str]) -> list[str]:
    """Whose runs there were, one after another, if each wrote between its start and its end."""
    runs: list[str] = []
    for start, run in enumerate(" ".join(log).split("START")[1:]):
        events, _, rest = run.partition("END")
        owners = set(events.split())
        assert len(owners) <= 1, f"{len(owners)} producers wrote into run {start}"
        assert not rest.split(), f"{len(rest.split())} events behind the end of run {start}"
        runs += owners
    return runs


@pytest.mark.parametrize("pause", [0.1, 0.001])
@pytest.mark.parametrize("what", ["the process", "its way to Redis"])
async def test_of_a_run_that_was_given_up_nothing_follows_the_next_ones_first(
    what: str, pause: float, tmp_path: Path
) -> None:
    async with redis_server() as redis, trio.open_nursery() as nursery:
        ways = [Gate(redis.port), Gate(redis.port)]
        async with AsyncExitStack() as stack:
            processes: list[Process] = []
            for number, way in enumerate(ways):
                await nursery.start(way.run)
                url, log = f"redis://127.0.0.1:{way.port}/0", tmp_path / str(number)
                processes.append(await stack.enter_async_context(apart(url, log, pause)))
                await hear_more(processes[-1])
            chance = random.Random(repr((what, pause)))
            rounds = 0
            while rounds < 4 or len(heard(processes[0])) < 2:  # where the machine is slow, more
                rounds += 1
                running = runner(processes)
                process, way = processes[running], ways[running]
                process.pause() if what == "the process" else way.shut()
                # Long enough to be given up mostly, and to come back while that is under way.
                await trio.sleep(chance.uniform(1, 5) * LEASE)
                process.resume() if what == "the process" else way.open()
                for process in processes:  # whichever runs in the end, it is seen by both
                    await hear_more(process)
        runs = runs_of(await read_log(redis.url))
        begun = [run for process in processes for run in re.findall(r"RUNS (\w+)", process.log())]
        assert len(runs) >= 2
        assert set(runs) <= set(begun)
        nursery.cancel_scope.cancel()


async def hear_more(process: Process) -> None:
    await process.wait_for_log("GOT", count=process.log().count("GOT") + 3)


def runner(processes: list[Process]) -> int:
    """Which of them runs what was heard last."""
    return 0 if f"RUNS {heard(processes[0])[-1]}" in processes[0].log() else 1


def heard(process: Process) -> list[str]:
    """The runs that it has heard of, each once, in the order of their last event."""
    said = re.findall(r"GOT (\w+)", process.log())
    return list(dict.fromkeys(reversed(said)))[::-1]


# In one process, as if others shared its memory: leases lapse there, too.


@pytest.fixture
def leases_lapse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemoryEngine, "shared", True)


async def test_it_is_cancelled_where_it_sends(
    leases_lapse: None, autojump_clock: trio.testing.MockClock
) -> None:
    shielded: list[BaseException] = []
    sent = 0

    async def produce(run: ResumableRun) -> None:
        nonlocal sent
        try:
            while True:
                await run.send("x")
                sent += 1
                await trio.sleep(0.1)
        finally:
            with trio.CancelScope(shield=True):
                try:
                    await run.send("last words")
                except LeaseLostError as exc:
                    shielded.append(exc)

    async with open_broker() as broker, connect(Stream(broker.resumable("a", produce))) as client:
        await words(client, 3)
        run = broker._runs.get(TOPIC)
        assert run is not None
        await broker.engine.release(TOPIC, run.owner)
        await broker.engine.claim(TOPIC, "another", 60)
        await run.ended.wait()
        assert sent <= 3
        assert [type(exc) for exc in shielded] == [LeaseLostError]
        assert await broker.engine.holder(TOPIC) == "another"


async def test_one_whose_lease_has_lapsed_while_nobody_looked_goes_on(
    leases_lapse: None, autojump_clock: trio.testing.MockClock
) -> None:
    answer = Answer(words=20)
    async with open_broker() as broker, connect(Stream(broker.resumable("a", answer))) as client:
        await words(client, 1)
        run = broker._runs.get(TOPIC)
        assert run is not None
        await broker.engine.release(TOPIC, run.owner)
        assert await words(client, 1) == ["word1"]
        assert await broker.engine.holder(TOPIC) == run.owner


async def test_what_is_on_its_way_is_not_stored_while_the_lease_is_taken_again(
    leases_lapse: None, autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another of its tasks finds out that it was declared dead, and has to hold the lease first."""
    answer = Answer(words=20)
    async with open_broker() as broker, connect(Stream(broker.resumable("a", answer))) as client:
        await words(client, 1)
        run, engine = broker._runs.get(TOPIC), broker.engine
        assert run is not None
        on_its_way = Lease(TOPIC, run.owner)
        await engine.release(TOPIC, run.owner)
        await mark_end(broker._runs.publisher, TOPIC, "lost")
        claim = engine.claim
        refused = 0

        async def claim_and_arrive(*args: Any) -> str | None:
            nonlocal refused
            holder = await claim(*args)
            with pytest.raises(LeaseLostError):
                await engine.append([Entry(TOPIC, b"data: late\n\n")], on_its_way)
            refused += 1
            return holder

        monkeypatch.setattr(engine, "claim", claim_and_arrive)
        await run.ended.wait()
        assert refused == 1
        assert await words(client) == ["failed"]


async def test_nothing_follows_the_end_of_a_run_and_its_key_is_free(
    autojump_clock: trio.testing.MockClock,
) -> None:
    kept: list[ResumableRun] = []

    async def produce(run: ResumableRun) -> None:
        kept.append(run)
        await run.send("x")

    async with open_broker() as broker:
        async with connect(Stream(broker.resumable("a", produce))) as client:
            assert await words(client) == ["x", "done"]
        with pytest.raises(LeaseLostError, match="has lapsed"):
            await kept[0].send("y")
        assert await broker.engine.holder(TOPIC) is None
        async with connect(Stream(broker.resumable("a", produce))) as client:
            assert await words(client) == ["x", "done"]


# The fence by itself, beside a model of who holds the lease.

OWNERS = st.sampled_from(["ann", "bob", "cy"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("claim"), OWNERS),
        st.tuples(st.just("prolong"), OWNERS),
        st.tuples(st.just("release"), OWNERS),
        st.tuples(st.just("lapse"), st.just("")),
        st.tuples(st.just("append"), st.lists(OWNERS | st.just("nobody"), min_size=1, max_size=6)),
    ),
    max_size=30,
)


async def check_fence(url: str, steps: list[tuple[str, Any]]) -> None:
    """Of what is appended at once, what the holder appends is stored, and what needs no lease."""
    name = f"l{random.getrandbits(64)}"
    holder: str | None = None
    wanted: list[str] = []
    stored: dict[int, str] = {}
    refused = 0

    async with open_broker(url, history=10**6) as broker:
        engine = broker.engine

        async def append(owner: str, text: str) -> None:
            nonlocal refused
            lease = None if owner == "nobody" else Lease(name, owner)
            try:
                ids = await engine.append([Entry(name, encode(text).data)] * 2, lease)
            except LeaseLostError:
                refused += 1
            else:
                stored.update(dict.fromkeys(ids, text))

        for number, (what, who) in enumerate(steps):
            if what == "claim":
                assert await engine.claim(name, who, 10) == holder
                holder = holder or who
            elif what == "prolong":
                assert await engine.prolong(name, who, 10) == (holder == who)
            elif what == "release":
                await engine.release(name, who)
                holder = None if holder == who else holder
            elif what == "lapse":
                if holder is not None:
                    await engine.claim(name, holder, 0.001)
                    await trio.sleep(0.05)
                holder = None
            else:
                refused_before, refused = refused, 0
                async with trio.open_nursery() as nursery:
                    for place, owner in enumerate(who):
                        nursery.start_soon(append, owner, f"{number}.{place}")
                kept = [f"{number}.{n}" for n, o in enumerate(who) if o in {holder, "nobody"}]
                assert refused == len(who) - len(kept)
                refused += refused_before
                wanted += kept * 2
        assert sorted(stored.values()) == sorted(wanted)
        if stored:
            async with broker.subscribe(name, after="earliest") as events:
                found = [await anext(events) for _ in stored]
            assert {int(event.id): event.data for event in found} == stored
            assert broker.last_id == found[-1].id


@settings(max_examples=60, deadline=None)
@given(steps=STEPS)
def test_only_who_holds_a_lease_appends_in_memory(steps: list[tuple[str, Any]]) -> None:
    trio.run(check_fence, "memory://", steps, clock=trio.testing.MockClock(autojump_threshold=0))


@settings(max_examples=20, deadline=None)
@given(steps=STEPS)
def test_only_who_holds_a_lease_appends_to_sqlite(steps: list[tuple[str, Any]]) -> None:
    with TemporaryDirectory() as folder:
        trio.run(check_fence, f"sqlite:///{folder}/log.db", steps)


async def test_only_who_holds_a_lease_appends_to_redis() -> None:
    chance = random.Random(14)
    owners = ["ann", "bob", "cy"]
    async with redis_server() as redis:
        for _ in range(20):
            steps: list[tuple[str, Any]] = []
            for _ in range(30):
                what = chance.choice(["claim", "prolong", "release", "lapse", "append", "append"])
                several = chance.choices([*owners, "nobody"], k=chance.randint(1, 6))
                steps.append((what, several if what == "append" else chance.choice(owners)))
            await check_fence(redis.url, steps)
