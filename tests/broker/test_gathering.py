"""`overflow="latest"` to a stream with `flush_every`: of what waits newer replaces older."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from trio_stream import (
    Broker,
    MapError,
    ServerSentEvent,
    Stream,
    SubscriptionHooks,
    encode,
    open_broker,
)
from trio_stream.testing import connect

Clock = trio.testing.MockClock


class Reader:
    """What its stream wrote, by the time since it began."""

    def __init__(self) -> None:
        self.writes: dict[float, list[str]] = {}
        self._rest = ""
        self.began = trio.current_time()

    async def read(self, client: Any) -> None:
        async for chunk in client.chunks():
            *blocks, self._rest = (self._rest + chunk.decode()).split("\n\n")
            if found := re.findall(r"data: (.*)", "\n".join(blocks)):
                self.writes.setdefault(round(self.now, 3), []).extend(found)

    @property
    def now(self) -> float:
        return trio.current_time() - self.began


@asynccontextmanager
async def watched(
    broker: Broker, *, options: Any = None, **subscription: Any
) -> AsyncIterator[tuple[Reader, Stream]]:
    """A stream of ``t`` that writes once a second, and has begun five seconds ago."""
    source = broker.subscribe("t", overflow="latest", **subscription)
    stream = Stream(source, flush_every=1, ping=None, hold_headers=False, **(options or {}))
    async with connect(stream) as client, trio.open_nursery() as nursery:
        reader = Reader()
        nursery.start_soon(reader.read, client)
        await trio.sleep(5)
        yield reader, stream
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("options", [{}, {"buffer": 1}], ids=["", "buffer"])
async def test_of_each_key_the_newest_is_written(
    options: dict[str, int], autojump_clock: Clock
) -> None:
    async with open_broker() as broker, watched(broker, options=options) as (reader, _):
        for number in range(20):
            await broker.publish("t", number, key="ab"[number % 2])
            await trio.sleep(0.09)
        await trio.sleep(3)
        await broker.publish("t", "last", key="c")
        await trio.sleep(1)
        assert reader.writes == {5: ["0"], 6: ["10", "11"], 7: ["18", "19"], 9.8: ["last"]}


async def test_what_is_only_passed_on_is_not_replaced(autojump_clock: Clock) -> None:
    async with open_broker() as broker, watched(broker) as (reader, _):
        for number in range(5):
            await broker.publish("t", number)
            await broker.publish("t", f"typing {number}", keep=False)
            await trio.sleep(0.1)
        await trio.sleep(2)
        assert list(reader.writes) == [5, 6]
        found = reader.writes[5] + reader.writes[6]
        assert [text for text in found if "typing" not in text] == ["0", "4"]
        assert [text for text in found if "typing" in text] == [f"typing {n}" for n in range(5)]


async def test_what_the_stream_itself_sends_goes_along(autojump_clock: Clock) -> None:
    async with open_broker() as broker, watched(broker) as (reader, stream):
        await broker.publish("t", "first")
        for number in range(1, 30):
            await trio.sleep(0.1)
            await stream.send(f"own {number}")
            await broker.publish("t", number)
        await trio.sleep(2)
        topic = {at: [w for w in found if "own" not in w] for at, found in reader.writes.items()}
        assert list(topic) == [5, 6, 7, 8]
        # The clocks' ticks are sums of tenths: one may come just before its write or after.
        assert [len(found) for found in topic.values()] == [1] * 4
        for at, [number] in topic.items():
            assert at == 5 or int(number) in {min((at - 5) * 10, 29), (at - 5) * 10 - 1}


async def test_the_rest_is_written_when_the_broker_is_closed(autojump_clock: Clock) -> None:
    reader = Reader()
    async with trio.open_nursery() as nursery, open_broker() as broker:
        source = broker.subscribe("t", overflow="latest")
        stream = Stream(source, flush_every=1, ping=None, hold_headers=False)
        client = await nursery.start(_served, stream)
        nursery.start_soon(reader.read, client)
        await trio.sleep(5)
        for number in range(5):
            await broker.publish("t", number)
            await trio.sleep(0.01)
    assert reader.writes == {5: ["0"], 5.05: ["4"]}


async def _served(stream: Stream, *, task_status: trio.TaskStatus[Any]) -> None:
    async with connect(stream) as client:
        task_status.started(client)
        await trio.sleep(30)


async def test_statistics_and_hooks(autojump_clock: Clock) -> None:
    told: list[str] = []
    hooks = SubscriptionHooks(
        on_first_event=lambda _: told.append("first"), on_drop=lambda _: told.append("drop")
    )
    async with (
        open_broker() as broker,
        watched(
            broker,
            hooks=hooks,
            statistics=lambda found: ServerSentEvent({"left_out": found.conflated}),
        ) as (reader, _),
    ):
        for number in range(4):
            await broker.publish("t", number)
            await trio.sleep(0.1)
        await trio.sleep(2)
        assert reader.writes == {5: ["0"], 6: ['{"left_out":2}', "3"]}
    assert told == ["first", "drop"]


async def test_a_map_that_fails_meanwhile_ends_the_stream(autojump_clock: Clock) -> None:
    def even(event: Any) -> object:
        return event.data if int(event.data) % 2 == 0 else 1 / 0

    with pytest.RaisesGroup(MapError, flatten_subgroups=True, allow_unwrapped=True):
        async with open_broker() as broker, watched(broker, map=even):
            await broker.publish("t", 0)
            await broker.publish("t", 1)
            await trio.sleep(3)


KEYS = ("a", "b", "c")


@given(
    published=st.lists(
        st.tuples(st.sampled_from(KEYS), st.sampled_from([0, 0.013, 0.11, 0.37, 1.3])), max_size=40
    ),
    flush_every=st.sampled_from([0.05, 0.25, 1]),
    buffer=st.integers(1, 4),
)
def test_each_write_is_the_state_of_its_moment(
    published: list[tuple[str, float]], flush_every: float, buffer: int
) -> None:
    async def main() -> None:
        states: list[tuple[float, dict[str, str]]] = []
        state: dict[str, str] = {}
        async with open_broker() as broker:
            source = broker.subscribe("t", overflow="latest")
            stream = Stream(
                source, flush_every=flush_every, buffer=buffer, ping=None, hold_headers=False
            )
            async with connect(stream) as client, trio.open_nursery() as nursery:
                reader = Reader()
                nursery.start_soon(reader.read, client)
                await trio.sleep(5)
                for number, (key, pause) in enumerate(published):
                    state = {**state, key: f"{key}{number}"}
                    await broker.publish("t", state[key], key=key)
                    states.append((reader.now, state))
                    await trio.sleep(pause)
                await trio.sleep(3)
                nursery.cancel_scope.cancel()
        shown: dict[str, str] = {}
        for at, found in reader.writes.items():
            assert len({value[0] for value in found}) == len(found)
            shown |= {value[0]: value for value in found}
            possible = [s for when, s in states if when <= at + 1e-3]
            before = [s for when, s in states if when < at - 1e-3]
            assert shown in possible[max(len(before) - 1, 0) :]
        assert shown == state
        assert all(b - a >= flush_every - 2e-3 for a, b in pairwise(reader.writes))

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_of_one_write_as_much_as_there_is_room_for() -> None:
    """More than goes into one block is several, which wait in the buffer for the same write."""

    async def main() -> None:
        async with open_broker() as broker, watched(broker) as (reader, _):
            await broker.publish("t", "first")
            for key in range(50):
                await broker.publish("t", encode(f"{key} " + "x" * 5000), key=f"k{key}")
            await trio.sleep(3)
            assert sum(map(len, reader.writes.values())) == 51
            assert list(reader.writes) == [5, 6]

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
