"""A state, and then its changes, in one call; and what clients are told of what they do not get."""

import json
from contextlib import aclosing
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.broker.test_streams import settled
from tests.support.brokers import ENGINES, broker_of
from trio_stream import Broker, GapError, ServerSentEvent, Stream, encode, open_broker
from trio_stream.broker.reading import reader as reader_module
from trio_stream.testing import connect


class State:
    """A store whose changes are published; how often it was read."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.values: dict[str, int] = {}
        self.reads = 0

    async def set(self, key: str, value: int) -> str:
        self.values[key] = value
        return await self.broker.publish("s", {key: value}, event="changed", key=key)

    async def read(self) -> ServerSentEvent:
        self.reads += 1
        return ServerSentEvent(dict(self.values), event="state")


async def test_the_place_is_taken_before_and_who_comes_back_goes_on() -> None:
    async with open_broker(history=5) as broker:
        state = State(broker)
        await state.set("a", 1)

        async def slowly() -> ServerSentEvent:
            event = await state.read()
            await state.set("b", 2)  # while it is loaded
            return event

        async with connect(Stream(broker.subscribe("s", snapshot=slowly))) as client:
            events = [await client.receive_event() for _ in range(2)]
            got = [(event.event, event.json()) for event in events]
            assert got == [("state", {"a": 1}), ("changed", {"b": 2})]
        for last in events:  # also of the state itself
            subscription = broker.subscribe("s", after=last.id, snapshot=state.read)
            async with connect(Stream(subscription)) as client:
                id = await state.set("c", 3)
                while (event := await client.receive_event()).id != id:
                    pass
                assert (event.event, state.reads) == ("changed", 1)
        for n in range(9):
            await state.set("d", n)
        for after in (events[0].id, "of another log", "0"):
            subscription = broker.subscribe("s", after=after, snapshot=state.read)
            async with connect(Stream(subscription)) as client:
                event = await client.receive_event()
                assert (event.event, event.json()["d"]) == ("state", 8)
                await state.set("e", 5)
                assert (await client.receive_event()).json() == {"e": 5}
                assert subscription.statistics().gaps == 1


async def test_of_several_events_the_last_has_the_id() -> None:
    async with open_broker() as broker:
        last = await broker.publish("t", 0)
        rows = [ServerSentEvent(n, event="row") for n in range(3)]
        for snapshot in (lambda: rows, lambda: tuple(rows)):
            async with connect(Stream(broker.subscribe("t", snapshot=snapshot))) as client:
                events = [await client.receive_event() for _ in range(3)]
                assert [event.data for event in events] == ["0", "1", "2"]
                assert [event.id for event in events] == [None, None, last]
            for overflow in ("all", "latest"):
                subscription = broker.subscribe("t", overflow=overflow, snapshot=snapshot)
                async with aclosing(subscription):
                    got = [await anext(subscription) for _ in range(3)]
                    assert [(event.topic, event.data, event.id) for event in got] == [
                        ("", "0", ""), ("", "1", ""), ("", "2", last)
                    ]  # fmt: skip
                    new = await broker.publish("t", 1)
                    assert (await anext(subscription)).id == new
                    last = new
        stream = Stream(broker.subscribe("t", overflow="latest", snapshot=lambda: rows), buffer=1)
        async with connect(stream, socket_buffer=1) as client:
            assert [(await client.receive_event()).data for _ in range(3)] == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ([], ["[]"]),
        ((), ["[]"]),
        ([{"n": 1}], ['[{"n":1}]']),
        ([ServerSentEvent(1), {"n": 2}], ["1", '{"n":2}']),
        ([{"n": 1}, encode("encoded")], ['{"n":1}', "encoded"]),
    ],
)
async def test_there_is_a_state_whatever_list_it_is(state: object, told: list[str]) -> None:
    async with open_broker("memory://") as broker:
        subscription = broker.subscribe("t", snapshot=lambda: state)
        async with connect(Stream(subscription)) as client:
            events = [await client.receive_event() for _ in told]
    assert [event.data for event in events] == told
    assert [bool(event.id) for event in events] == [*[False] * (len(told) - 1), True]


async def test_what_it_raises_ends_the_stream() -> None:
    async with open_broker() as broker:
        for snapshot, error in (
            (lambda: 1 / 0, ZeroDivisionError),
            (lambda: ServerSentEvent("x", id="1"), ValueError),
            (object, TypeError),
        ):
            stream = Stream(broker.subscribe("t", snapshot=snapshot))
            with pytest.raises(error):
                async with connect(stream) as client:
                    await client.read()
            assert stream.outcome == "failed"
            events = broker.subscribe("t", snapshot=snapshot)
            for _ in range(2):
                with pytest.raises(error):
                    await anext(events)


async def test_places_that_a_snapshot_has_no_use_for_are_refused() -> None:
    async with open_broker() as broker:
        with pytest.raises(ValueError, match="an id or None"):
            broker.subscribe("t", after="earliest", snapshot=dict)
        with pytest.raises(TypeError, match="snapshot must be a sync or an async function"):
            broker.subscribe("t", snapshot=lambda: (yield))
        with pytest.raises(ValueError, match='overflow="latest"'):
            broker.subscribe("t", statistics=lambda s: None)


@pytest.mark.parametrize("engine", ["memory", "sqlite"])
@settings(max_examples=30)
@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.sampled_from("abc"), st.integers(0, 9)),
            st.sampled_from(["cut", "read", "forget", "many"]),
        ),
        max_size=30,
    ),
    page=st.sampled_from([1, 1024]),
    history=st.integers(1, 6),
    overflow=st.sampled_from(["all", "latest"]),
)
async def test_in_the_end_every_client_has_the_state(
    engine: str, steps: list[Any], page: int, history: int, overflow: Any
) -> None:
    with patch.object(reader_module, "PAGE", page):
        async with broker_of(engine, history=history) as broker:
            state, copy, last = State(broker), dict[str, int](), None
            for step in [*steps, ("end", 1), "read"]:
                if isinstance(step, tuple):
                    await state.set(*step)
                elif step == "many":
                    for n in range(10):
                        await state.set("d", n)
                elif step == "forget" and last is not None:
                    await broker.forget("s", last)
                elif step in {"read", "cut"}:
                    events = broker.subscribe(
                        "s", after=last, overflow=overflow, snapshot=state.read
                    )
                    async with aclosing(events):
                        while copy != state.values or last is None:
                            event = await anext(events)
                            assert event.event in {"state", "changed"}
                            copy = {**({} if event.event == "state" else copy), **event.json()}
                            last = event.id
                            if step == "cut":
                                break
            assert copy == state.values


async def test_what_was_left_out_is_told_if_asked() -> None:
    async with open_broker() as broker:
        source = broker.subscribe(
            "t",
            after="earliest",
            overflow="latest",
            statistics=lambda s: ServerSentEvent({"left_out": s.conflated}, event="statistics"),
        )
        for n in range(10):
            await broker.publish("t", n, key=f"k{n % 2}")
        async with connect(Stream(source)) as client:
            events = [await client.receive_event() for _ in range(3)]
            assert [(event.event, event.data) for event in events] == [
                ("statistics", '{"left_out":8}'), ("message", "8"), ("message", "9")
            ]  # fmt: skip
            assert events[0].id is None
            await settled()
            await broker.publish("t", 10)
            assert (await client.receive_event()).data == "10"


async def test_what_is_left_out_is_counted_once_however_slow_the_client() -> None:
    async with open_broker() as broker:
        source = broker.subscribe("t", after="earliest", overflow="latest")
        published = 0
        async with aclosing(source):
            got = 0
            for n in range(20):
                for key in "abacbabc"[: n % 9]:
                    await broker.publish("t", n, key=key)
                    published += 1
                if n % 3:
                    await anext(source)
                    got += 1
            await broker.publish("t", "end")
            while (await anext(source)).data != '"end"' and got < 999:
                got += 1
                if source._cursor == broker._feed.head:
                    break
            assert source.statistics().conflated + got == published + 1


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_gap_says_how_many_are_missing(engine: str) -> None:
    async with broker_of(engine, history=5) as broker:
        ids = await broker.publish_many("t", range(4))
        await broker.publish("other", 1)
        ids += [await broker.publish("t", n) for n in range(4, 12)]
        await broker.forget("t", ids[-2])
        for after, missing in ((ids[0], 7), (ids[5], 2), (ids[6], 1)):
            for topics in (["t"], ["t", "other"], ["*"]):
                with pytest.raises(GapError) as caught:
                    await anext(broker.subscribe(*topics, after=after))
                assert caught.value.missing == missing
        async with connect(Stream(broker.subscribe("t", after=ids[5]))) as client:
            assert json.loads((await client.receive_event()).data)["missing"] == 2
        for after in ("no id", str(int(ids[0]) - 10**9)):
            with pytest.raises(GapError) as caught:
                await anext(broker.subscribe("t", after=after))
            assert caught.value.missing is None


async def test_of_many_that_are_missing_the_newest_are_counted() -> None:
    async with open_broker(history=5) as broker:
        ids = await broker.publish_many("t", range(4000))
        missing = {}
        for place in (0, 1000, 3000, 3500):
            with pytest.raises(GapError) as caught:
                await anext(broker.subscribe("t", after=ids[place]))
            missing[place] = caught.value.missing
        assert missing == {0: None, 1000: None, 3000: 994, 3500: 494}
