"""What is left by another task, or used again once it was: whoever reads it is told, at once."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import trio
import trio.testing

from trio_stream import (
    Broker,
    EncodedEvent,
    Resumable,
    ResumableRun,
    ServerSentEvent,
    Stream,
    Subscription,
    encode,
    open_broker,
)
from trio_stream.testing import connect

Reader = Subscription | Resumable


async def wait_for_ever(run: ResumableRun) -> None:
    await trio.sleep_forever()


async def say_two(run: ResumableRun) -> None:
    await run.send("one")
    await run.send("two")


def subscription(broker: Broker) -> Reader:
    return broker.subscribe("t")


def run(broker: Broker) -> Reader:
    return broker.resumable("r", wait_for_ever)


async def iterate(reader: Reader) -> None:
    with pytest.raises(trio.ClosedResourceError, match="subscribe again"):
        await anext(reader)


async def stream(reader: Reader) -> None:
    async def read() -> None:
        async with connect(Stream(reader)) as client:
            await client.read()

    with pytest.raises(trio.ClosedResourceError, match="subscribe again"):
        await read()


@pytest.mark.parametrize(
    ("make", "use"), [(subscription, iterate), (subscription, stream), (run, iterate)]
)
async def test_who_waits_hears_of_it_when_another_task_closes_it(
    make: Callable[[Broker], Reader], use: Callable[[Reader], Awaitable[None]]
) -> None:
    with trio.fail_after(30):
        async with open_broker() as broker, trio.open_nursery() as nursery:
            reader = make(broker)
            nursery.start_soon(use, reader)
            await trio.testing.wait_all_tasks_blocked(0.01)
            await reader.aclose()
            await reader.aclose()


@pytest.mark.parametrize("first", [True, False])
async def test_once_left_it_is_not_read_on(first: bool) -> None:
    async with open_broker() as broker:
        await broker.publish("t", 1)
        await broker.publish("t", 2)
        reader = broker.subscribe("t", after="earliest")
        async with reader:
            if first:
                assert (await anext(reader)).data == "1"
        with pytest.raises(trio.ClosedResourceError, match="subscribe again"):
            await anext(reader)


async def test_a_run_that_was_left_does_not_look_complete() -> None:
    async with open_broker() as broker:
        async with broker.resumable("r", say_two) as reader:
            assert (await anext(reader)).data == "one"
        with pytest.raises(trio.ClosedResourceError, match="another Resumable"):
            await anext(reader)
        with pytest.raises(RuntimeError, match="used once"):
            async with connect(Stream(reader)):
                pass


async def test_a_run_that_was_read_to_its_end_stays_over() -> None:
    async with open_broker() as broker:
        async with broker.resumable("r", say_two) as reader:
            assert [event.data async for event in reader] == ["one", "two"]
        assert [event.data async for event in reader] == []


OWN_IDS = [
    ServerSentEvent("x", id="5"),
    encode("x", id="5"),
    EncodedEvent("id: 5\ndata: x\n\n"),
    EncodedEvent(b"data: x\nid\n\n"),
    EncodedEvent("event: e\rid: 5\rdata: x\r\r"),
]


@pytest.mark.parametrize("event", OWN_IDS)
async def test_no_event_of_a_topic_has_an_id_of_its_own(
    event: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A client would come back with it, and be told that it has missed what it has seen."""

    async def produce(run: ResumableRun) -> None:
        await run.send(event)

    async with open_broker() as broker:
        with pytest.raises(ValueError, match="ids of its own"):
            await broker.publish("t", event)
        with pytest.raises(ValueError, match="ids of its own"):
            await broker.publish_many("t", ["y", event])
        assert not (await broker.read("t")).events
        async with connect(Stream(broker.resumable("r", produce))) as client:
            assert [event.event async for event in client.events()] == ["failed"]
    [record] = caplog.records
    assert record.exc_info is not None
    assert "ids of its own" in str(record.exc_info[1])


@pytest.mark.parametrize(
    "text", ["data: id: 5\n\n", "data: x\ndata: id\n\n", "event: id\ndata:\n\n"]
)
async def test_what_only_looks_like_an_id_is_published(text: str) -> None:
    async with open_broker() as broker:
        id = await broker.publish("t", EncodedEvent(text))
        assert (await broker.read("t")).next == id


async def return_a_list(run: ResumableRun) -> list[str]:
    return ["one", "two"]


async def return_a_manager(run: ResumableRun) -> Any:
    return open_broker()


@pytest.mark.parametrize("producer", [return_a_list, return_a_manager, lambda run: iter(["one"])])
async def test_what_a_producer_returns_and_nobody_would_send_is_refused(
    producer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR, "trio_stream")
    async with (
        open_broker() as broker,
        connect(Stream(broker.resumable("r", producer))) as client,
    ):
        assert [event.event async for event in client.events()] == ["failed"]
    [record] = caplog.records
    assert record.exc_info is not None
    assert "nothing would be sent" in str(record.exc_info[1])


async def test_the_id_that_a_producers_send_gives_may_be_returned() -> None:
    async def words(run: ResumableRun) -> AsyncIterator[str]:
        yield "one"

    async with open_broker() as broker:
        for key, producer in {"a": lambda run: run.send("one"), "b": words}.items():
            async with broker.resumable(key, producer) as reader:
                assert [event.data async for event in reader] == ["one"]
