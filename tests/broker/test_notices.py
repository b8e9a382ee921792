"""Gaps and ends in the shape that a client wants them, or left out; a run as an async iterator."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio
import trio.testing

from trio_stream import (
    Broker,
    GapError,
    ResumableRun,
    RunFailedError,
    ServerSentEvent,
    Stream,
    TopicEvent,
    open_broker,
)
from trio_stream.testing import connect

FINISH = ServerSentEvent({"type": "finish"})


async def answer(run: ResumableRun) -> AsyncIterator[dict[str, str]]:
    yield {"type": "start"}
    yield {"type": "text"}


async def failing(run: ResumableRun) -> None:
    await run.send({"type": "start"})
    raise ZeroDivisionError


async def body_of(source: Any) -> bytes:
    async with connect(Stream(source, ping=None, retry=1)) as client:
        return (await client.read()).removeprefix(b"retry: 1\n")


async def trimmed(broker: Broker) -> str:
    """A topic whose beginning is gone; returns an id from there."""
    ids = await broker.publish_many("t", range(4))
    return ids[0]


async def first_of(source: Any) -> list[ServerSentEvent]:
    """All that a client gets before the events that are kept, and the first of these."""
    found = []
    async with connect(Stream(source)) as client:
        async for event in client.events():
            found.append(event)
            if event.data == "2":
                break
    return found


@pytest.mark.parametrize(
    "gap",
    [
        ServerSentEvent({"type": "data-gap"}),
        lambda gap: ServerSentEvent({"type": "data-gap", "n": gap.next}),
    ],
)
async def test_a_gap_is_told_in_the_users_shape(gap: Any) -> None:
    async with open_broker(history=2) as broker:
        after = await trimmed(broker)
        told, first = await first_of(broker.subscribe("t", after=after, gap=gap))
        assert (told.event, told.json()["type"]) == ("message", "data-gap")
        assert told.json().get("n", first.id) == first.id
        assert told.id != first.id  # it must not skip what is still there


@pytest.mark.parametrize("gap", [None, lambda gap: None])
async def test_a_gap_may_be_left_out(gap: Any) -> None:
    async with open_broker(history=2) as broker:
        after = await trimmed(broker)
        subscription = broker.subscribe("t", after=after, gap=gap)
        assert [event.data for event in await first_of(subscription)] == ["2"]
        assert subscription.statistics().gaps == 1


async def test_a_gap_that_nothing_follows_carries_the_place_itself() -> None:
    async with open_broker() as broker:
        place = broker.last_id
        gap = ServerSentEvent("gone", event="reload")
        async with connect(Stream(broker.subscribe("t", after="no id", gap=gap))) as client:
            told = await client.receive_event()
            assert (told.event, told.data, told.id) == ("reload", "gone", place)


async def test_a_function_that_raises_breaks_the_stream_off() -> None:
    def gap(error: GapError) -> ServerSentEvent:
        raise ZeroDivisionError

    async with open_broker(history=2) as broker:
        source = broker.subscribe("t", after=await trimmed(broker), gap=gap)
        with pytest.raises(ZeroDivisionError):
            await body_of(source)
        assert broker.statistics().subscriptions == 0


@pytest.mark.parametrize(
    ("notice", "error", "message"),
    [
        ({"type": "finish"}, TypeError, "must be a ServerSentEvent, a function"),
        ("done", TypeError, "must be a ServerSentEvent, a function"),
        (ServerSentEvent(comment="x"), ValueError, "without data"),
        (ServerSentEvent("x", id="7"), ValueError, "ids are places in the log"),
        (ServerSentEvent("x", event="a\nb"), ValueError, "event"),
        (ServerSentEvent(float("nan")), ValueError, "(?i)nan"),
    ],
)
@pytest.mark.parametrize("keyword", ["gap", "done", "failed"])
async def test_what_is_no_notice_is_refused_at_once(
    keyword: str, notice: Any, error: type[Exception], message: str
) -> None:
    async with open_broker() as broker:
        with pytest.raises(error, match=message):
            broker.resumable("a", answer, **{keyword: notice})
        if keyword == "gap":
            with pytest.raises(error, match=message):
                broker.subscribe("t", gap=notice)


async def test_a_function_that_gives_something_else_is_named() -> None:
    def done() -> Any:
        return {"type": "finish"}

    async with open_broker() as broker:
        with pytest.raises(TypeError, match="done= gave a dict"):
            await body_of(broker.resumable("a", answer, done=done))


# Runs.


async def test_no_mark_is_sent_as_a_block_without_data() -> None:
    async with open_broker() as broker:
        blocks = (await body_of(broker.resumable("a", answer))).split(b"\n\n")
        assert blocks.pop() == b""
        assert [b"data: " in block for block in blocks] == [True] * 3


@pytest.mark.parametrize("done", [FINISH, lambda: FINISH])
async def test_the_end_is_told_in_the_users_shape(done: Any) -> None:
    async with open_broker() as broker:
        for _ in range(2):  # also to who comes when it is over
            async with connect(Stream(broker.resumable("a", answer, done=done))) as client:
                events = [event async for event in client.events()]
            assert [(event.event, event.json()["type"]) for event in events] == [
                ("message", "start"),
                ("message", "text"),
                ("message", "finish"),
            ]
        # With its id nothing is left to be told.
        assert await body_of(broker.resumable("a", answer, after=events[-1].id, done=done)) == b""


@pytest.mark.parametrize("done", [None, lambda: None])
async def test_the_end_may_be_left_out(done: Any) -> None:
    async with open_broker() as broker:
        async with connect(Stream(broker.resumable("a", answer, done=done))) as client:
            events = [event async for event in client.events()]
            assert client.ended == "complete"
        assert [event.json()["type"] for event in events] == ["start", "text"]
        assert await body_of(broker.resumable("a", answer, after=events[-1].id, done=done)) == b""
        # In the middle it is gone on from as ever.
        resumed = await body_of(broker.resumable("a", answer, after=events[0].id, done=done))
        assert resumed.endswith(b'data: {"type":"text"}\n\n')
        assert resumed.count(b"data: ") == 1


@pytest.mark.parametrize(
    "failed",
    [
        ServerSentEvent({"type": "error", "reason": "failed"}),
        lambda reason: ServerSentEvent({"type": "error", "reason": reason}),
    ],
)
async def test_a_failure_is_told_in_the_users_shape(
    failed: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_broker() as broker:
        async with connect(Stream(broker.resumable("a", failing, failed=failed))) as client:
            events = [event async for event in client.events()]
            assert client.ended == "complete"
        assert events[-1].json() == {"type": "error", "reason": "failed"}
        assert events[-1].event == "message"
    assert "a resumable producer failed" in caplog.text


async def test_a_failure_that_is_left_out_breaks_off(caplog: pytest.LogCaptureFixture) -> None:
    async with open_broker() as broker:
        stream = Stream(broker.resumable("a", failing, failed=None))
        async with connect(stream, raise_app_exceptions=False) as client:
            assert [event.json()["type"] async for event in client.events()] == ["start"]
            assert client.ended == "broken"
        assert stream.outcome == "failed"


async def test_a_run_is_an_async_iterator(autojump_clock: trio.testing.MockClock) -> None:
    async def slow(run: ResumableRun) -> None:
        for n in range(4):
            await run.send(n, event="number")
            await trio.sleep(1)

    async with open_broker() as broker:
        found: list[TopicEvent] = []
        async with broker.resumable("a", slow) as run:
            async for event in run:
                found.append(event)
                if len(found) == 2:
                    break
        async with broker.resumable("a", slow, after=found[-1].id) as run:
            found += [event async for event in run]
            with pytest.raises(StopAsyncIteration):
                await anext(run)
        assert [(event.event, event.data) for event in found] == [
            ("number", str(n)) for n in range(4)
        ]
        assert [event async for event in broker.resumable("a", slow, after=found[-1].id)] == []
        assert broker.statistics().subscriptions == 0


async def test_an_iterators_end_tells_why(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async def endless(run: ResumableRun) -> None:
        await run.send("x")
        await trio.sleep_forever()

    async with open_broker() as broker:
        with pytest.raises(RunFailedError, match="the run a ended early: failed"):
            async for _ in broker.resumable("a", failing):
                pass
        run = broker.resumable("b", endless)
        await anext(run)
        await broker.stop_resumable("b")
        with pytest.raises(RunFailedError) as caught:
            await anext(run)
        assert (caught.value.key, caught.value.reason) == ("b", "stopped")
        assert broker.statistics().subscriptions == 0


async def test_an_iterators_unknown_place_is_a_gap_and_the_run_from_its_start() -> None:
    async with open_broker() as broker:
        run = broker.resumable("a", answer, after="7")
        with pytest.raises(GapError):
            await anext(run)
        assert [event.json()["type"] async for event in run] == ["start", "text"]


async def test_who_stops_iterating_watches_no_longer(
    autojump_clock: trio.testing.MockClock,
) -> None:
    cancelled = trio.Event()

    async def endless(run: ResumableRun) -> None:
        try:
            await run.send("x")
            await trio.sleep_forever()
        finally:
            cancelled.set()

    async with open_broker() as broker:
        async with broker.resumable("a", endless, linger=5) as run:
            await anext(run)
            await trio.sleep(60)
            assert not cancelled.is_set()
        with trio.fail_after(60):
            await cancelled.wait()


async def test_it_is_used_once() -> None:
    async with open_broker() as broker:
        run = broker.resumable("a", answer)
        async for _ in run:
            pass
        with pytest.raises(RuntimeError, match="used once"):
            await body_of(run)


async def test_a_generator_makes_of_it_what_it_likes(caplog: pytest.LogCaptureFixture) -> None:
    async with open_broker() as broker:

        async def shaped(after: str | None) -> AsyncIterator[ServerSentEvent]:
            async with broker.resumable("a", answer, after=after) as run:
                async for event in run:
                    yield ServerSentEvent(event.json()["type"].upper(), id=event.id)

        async with connect(Stream(shaped(None))) as client:
            events = [event async for event in client.events()]
        assert [event.data for event in events] == ["START", "TEXT"]
        assert await body_of(shaped(events[0].id)) == (
            f"id: {events[1].id}\ndata: TEXT\n\n".encode()
        )
    assert caplog.records == []
