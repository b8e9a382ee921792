"""Seeing the live streams, ending one, counting ends, and the end hook."""

import logging

import pytest
import trio
import trio.testing

from trio_stream import Stream, no_reconnect, open_streams, outcome_counts, stream_app
from trio_stream.testing import connect


async def forever(stream: Stream) -> None:
    await trio.sleep_forever()


async def test_the_live_streams_are_listed_the_oldest_first(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def with_task(stream: Stream) -> None:
        stream.start_soon(trio.sleep_forever, name="a task of ours")
        await stream.send("one")
        await trio.sleep_forever()

    assert open_streams() == ()
    async with connect(Stream(with_task), "/first", scope={"client": ("10.0.0.1", 5)}):
        await trio.sleep(60)
        async with connect(Stream(forever, hold_headers=False), "/second"):
            await trio.testing.wait_all_tasks_blocked()
            first, second = open_streams()
            assert (first.age, second.age) == (60, 0)
            assert (first.request, second.request) == ("GET /first", "GET /second")
            assert first.client == ("10.0.0.1", 5)
            assert "a task of ours" in first.tasks
            assert first.statistics.events == 1
            assert first.statistics.outcome is None
    assert open_streams() == ()


async def test_one_can_be_ended_from_there() -> None:
    async with connect(Stream(forever, hold_headers=False)) as client:
        (stream,) = open_streams()
        stream.close()
        await client.read()
        assert client.ended == "complete"
    assert outcome_counts() == {"closed": 1}


async def test_ends_are_counted_by_outcome() -> None:
    for _ in range(2):
        async with connect(Stream(["a"])) as client:
            await client.read()
    async with connect(Stream(forever, hold_headers=False)):
        pass
    assert outcome_counts() == {"completed": 2, "disconnected": 1}


def test_outside_trio_there_is_nothing_to_see() -> None:
    with pytest.raises(RuntimeError):
        open_streams()


async def test_on_end_is_called_when_all_has_ended() -> None:
    order = []

    async def callback(stream: Stream) -> None:
        try:
            await trio.sleep_forever()
        finally:
            order.append("finally")

    def on_end(stream: Stream) -> None:
        order.append(f"ended: {stream.outcome}")

    async with connect(Stream(callback, on_end=on_end, hold_headers=False)):
        pass
    assert order == ["finally", "ended: disconnected"]


async def test_on_end_also_without_a_server() -> None:
    ends = []
    async with Stream(["a"], on_end=lambda stream: ends.append(stream.outcome)) as stream:
        async for _ in stream.value:
            pass
    assert ends == ["completed"]


async def test_an_on_end_that_raises_is_logged_and_harms_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def on_end(stream: Stream) -> None:
        raise KeyError("in the hook")

    async with connect(Stream(["a"], on_end=on_end)) as client:
        await client.read()
        assert client.ended == "complete"
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "on_end=" in record.getMessage()


async def test_no_reconnect_is_an_answer_without_a_body() -> None:
    async with connect(no_reconnect) as client:
        assert client.status == 204
        assert await client.read() == b""


async def test_last_event_id_from_the_header_or_else_the_query() -> None:
    seen = []

    @stream_app
    async def app(stream: Stream) -> None:
        seen.append(stream.last_event_id)

    for keywords in (
        {},
        {"last_event_id": "7"},
        {"query": "lastEventId=8"},
        {"query": "last_event_id=%C3%A9"},
        {"last_event_id": "é", "query": "last_event_id=9"},
    ):
        async with connect(app, **keywords) as client:  # type: ignore[arg-type]
            await client.read()
    assert seen == [None, "7", "8", "é", "é"]
