"""Subscriptions with a map: once for all who have it, and an end to nobody else when it fails."""

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.broker.test_streams import settled
from tests.support.brokers import broker_of
from trio_stream import GapError, MapError, ServerSentEvent, Stream, TopicEvent, open_broker
from trio_stream.broker.reading import reader as reader_module
from trio_stream.testing import connect


def even(event: TopicEvent) -> TopicEvent | None:
    return event if event.json() % 2 == 0 else None


@dataclass(frozen=True)
class Tenfold:
    """Those that are equal are one to the fan-out."""

    calls: list[str]

    def __hash__(self) -> int:
        return 10

    def __call__(self, event: TopicEvent) -> ServerSentEvent:
        self.calls.append(event.id)
        return ServerSentEvent(event.json() * 10, event="ten")


async def test_one_map_runs_once_for_all_at_the_head_and_the_others_get_what_there_is() -> None:
    calls: list[str] = []
    async with open_broker() as broker, trio.open_nursery() as nursery:
        mapped = [Stream(broker.subscribe("t", map=Tenfold(calls))) for _ in range(5)]
        mapped += [Stream(broker.subscribe("*", "t", map=Tenfold(calls))) for _ in range(5)]
        plain = Stream(broker.subscribe("t"))
        clients = [await nursery.start(connected, stream) for stream in [*mapped, plain]]
        await settled()
        ids = [await broker.publish("t", 1), await broker.publish("t", 2)]
        for client in clients[:-1]:
            events = [await client.receive_event() for _ in range(2)]
            assert [(e.id, e.event, e.data) for e in events] == [
                (ids[0], "ten", "10"), (ids[1], "ten", "20")
            ]  # fmt: skip
        assert [(await clients[-1].receive_event()).data for _ in range(2)] == ["1", "2"]
        assert calls == ids
        assert {stream.statistics().events for stream in mapped} == {2}
        await broker.publish("t", 3, keep=False)
        assert [(await client.receive_event()).data for client in clients] == ["30"] * 10 + ["3"]
        assert calls == [*ids, ""]
        assert broker.topic_statistics("t").subscriptions == 11
        nursery.cancel_scope.cancel()


async def connected(stream: Stream, *, task_status: trio.TaskStatus[Any]) -> None:
    with suppress(MapError):  # by which those end that have the map
        async with connect(stream) as client:
            task_status.started(client)
            await trio.sleep_forever()


async def test_what_is_left_out_moves_the_place_all_the_same() -> None:
    async with open_broker(history=8) as broker:
        for after in ("earliest", None):  # reading what there is, and at the head
            await broker.publish("t", 0)
            source = broker.subscribe("t", after=after, map=even)
            async with connect(Stream(source)) as client:
                await settled()
                if after is None:
                    await broker.publish("t", 4)
                assert (await client.receive_event()).data in {"0", "4"}
                ids = [await broker.publish("t", 1) for _ in range(20)]
                place = await client.receive_event()
                while int(place.id) < int(ids[-2]):
                    assert (place.event, place.data) == ("place", "")
                    place = await client.receive_event()
            async with connect(Stream(broker.subscribe("t", after=place.id, map=even))) as client:
                await broker.publish("t", 2)
                while (event := await client.receive_event()).event == "place":
                    pass
                assert (event.event, event.data) == ("message", "2")


async def test_a_client_that_wants_no_places_gets_none() -> None:
    async with open_broker(history=4) as broker:
        for place in (None, lambda: None):
            source = broker.subscribe("t", after="earliest", map=even, place=place)
            async with connect(Stream(source)) as client:
                await broker.publish_many("t", [1] * 9)
                await settled()
                await broker.publish_many("t", [1] * 9)
                await broker.publish("t", 2)
                assert (await client.receive_event()).data == "2"


def seven(event: TopicEvent) -> TopicEvent:
    if event.json() == 7:
        raise LookupError("seven")
    return event


def wrong(event: TopicEvent) -> Any:
    return {"not": "an event"}


def with_id(event: TopicEvent) -> ServerSentEvent:
    return ServerSentEvent("x", id="5")


async def later(event: TopicEvent) -> None:
    return None


@pytest.mark.parametrize("keep", [True, False])
async def test_what_it_raises_ends_those_who_have_it_and_nobody_else(
    keep: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_broker() as broker, trio.open_nursery() as nursery:
        failing = [Stream(broker.subscribe("t", map=seven)) for _ in range(3)]
        others = [Stream(broker.subscribe("t", map=even)), Stream(broker.subscribe("t"))]
        with caplog.at_level("CRITICAL"):
            clients = [await nursery.start(connected, stream) for stream in [*failing, *others]]
            await settled()
            async with trio.open_nursery() as publishers:  # all of it goes out together
                for n in (2, 7, 8):
                    publishers.start_soon(lambda n=n: broker.publish("t", n, keep=keep))
            await settled()
            await broker.publish("t", 10)
        for client in clients[3:]:
            got = [(await client.receive_event()).data for _ in range(3)]
            while got[-1] != "10":
                got.append((await client.receive_event()).data)
            assert {"2", "8"} <= set(got)
        assert [stream.outcome for stream in failing] == ["failed"] * 3
        assert [stream.outcome for stream in others] == [None] * 2
        assert broker.topic_statistics("t").subscriptions == 2
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("fn", "cause"), [(seven, LookupError), (wrong, TypeError), (with_id, ValueError)]
)
async def test_an_iterator_is_told_what_it_raised(
    fn: Callable[..., Any], cause: type[Exception]
) -> None:
    async with open_broker() as broker:
        events = broker.subscribe("t", map=fn)
        if fn is seven:
            await broker.publish("t", 6)
        id = await broker.publish("t", 7)
        if fn is seven:
            assert (await anext(events)).data == "6"
        for _ in range(2):  # it does not go on
            with pytest.raises(MapError, match=f"the event {id} of t") as caught:
                await anext(events)
            assert (caught.value.topic, type(caught.value.__cause__)) == ("t", cause)


async def test_an_iterator_has_what_is_only_passed_on_mapped_too() -> None:
    async with open_broker() as broker:
        events = broker.subscribe("t", map=even)
        with trio.move_on_after(0):
            await anext(events)
        for n in (1, 2):
            await broker.publish("t", n, keep=False)
        await broker.publish("t", 3)
        last = await broker.publish("t", 4)
        got = [await anext(events) for _ in range(2)]
        assert [(event.id, event.data) for event in got] == [("", "2"), (last, "4")]


async def test_of_each_key_it_is_the_newest_that_is_not_left_out() -> None:
    async with open_broker() as broker:
        for n in (2, 4, 5):
            await broker.publish("t", n, key="a")
        source = broker.subscribe("t", after="earliest", overflow="latest", map=even)
        async with connect(Stream(source)) as client:
            assert (await client.receive_event()).data == "4"
            assert (await client.receive_event()).event == "place"
        assert source.statistics().conflated == 1


@dataclass
class Unhashable:
    def __call__(self, event: TopicEvent) -> TopicEvent:
        return event


async def test_what_cannot_be_a_map_is_refused() -> None:
    async with open_broker() as broker:
        with pytest.raises(TypeError, match="map must be a sync function"):
            broker.subscribe("t", map=later)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="hashable"):
            broker.subscribe("t", map=Unhashable())


steps = st.lists(
    st.one_of(
        st.integers(0, 9),  # is published
        st.sampled_from(["forget", "cut", "read"]),
    ),
    max_size=40,
)


@pytest.mark.parametrize("engine", ["memory", "sqlite"])
@settings(max_examples=40)
@given(steps=steps, page=st.sampled_from([1, 3, 1024]), history=st.integers(2, 30))
async def test_whatever_happens_a_client_gets_what_is_for_it_or_a_gap(
    engine: str, steps: list[Any], page: int, history: int
) -> None:
    """A client that goes away and comes back with the last id that it was told."""
    wanted: list[str] = []
    gone = False
    with patch.object(reader_module, "PAGE", page):
        async with broker_of(engine, history=history) as broker:
            after = await broker.publish("t", 1)
            ids = [after]
            clients: list[Any] = []
            async with trio.open_nursery() as nursery:

                async def come() -> None:
                    source = broker.subscribe("t", after=after, map=even)
                    clients.append(await nursery.start(connected, Stream(source)))

                await come()
                got: list[str] = []
                for step in [*steps, "end"]:
                    if isinstance(step, int):
                        ids.append(await broker.publish("t", step))
                        wanted += [str(step)] if step % 2 == 0 else []
                    elif step == "forget":
                        await broker.forget("t", ids[len(ids) // 2])
                        gone = True
                    else:
                        if step == "end":
                            await broker.publish("t", 100)
                            wanted.append("100")
                        await settled()
                        with trio.move_on_after(0.01 if step != "end" else 60):
                            while not got or got[-1] != "100":
                                event = await clients[-1].receive_event()
                                after = event.id or after
                                gone = gone or event.event == "gap"
                                if event.event == "message":
                                    got.append(event.data)
                        if step == "cut":
                            await come()
                nursery.cancel_scope.cancel()
    assert got == wanted or (gone and set(got) <= set(wanted))
    assert got[-1] == "100"


async def test_a_gap_is_told_with_a_map_as_well() -> None:
    async with open_broker(history=3) as broker:
        ids = await broker.publish_many("t", range(9))
        events = broker.subscribe("t", after=ids[0], map=even)
        with pytest.raises(GapError):
            await anext(events)
        assert [(await anext(events)).data for _ in range(2)] == ["6", "8"]
        async with connect(Stream(broker.subscribe("t", after=ids[0], map=even))) as client:
            gap = await client.receive_event()
            assert (gap.event, json.loads(gap.data)["after"]) == ("gap", ids[0])
