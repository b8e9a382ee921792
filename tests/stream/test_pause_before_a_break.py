"""A broken end comes a moment after the last event, for who reads by `fetch` to have read that.

Browsers, Node and Bun throw away what has arrived for a `fetch` and was not read when the break
comes.
"""

from typing import Any

import pytest
import trio
import trio.testing

from tests.stream.helpers import PRIMER
from tests.support.tasks import NothingLeft
from trio_stream import ServerSentEvent, Stream
from trio_stream.testing import connect

Clock = trio.testing.MockClock

TOLD = ServerSentEvent("it failed", event="failed")


async def fails(stream: Stream) -> None:
    await stream.send("one")
    await trio.sleep(5)
    raise KeyError


async def seconds_to_the_break(stream: Stream, last: bytes, **request: Any) -> float:
    """From when this has arrived."""
    async with connect(stream, raise_app_exceptions=False, **request) as client:
        received = b""
        while not received.endswith(last):
            received += await client.receive_chunk()
        arrived = trio.current_time()
        assert await client.read() == b""
        assert client.ended == "broken"
    return trio.current_time() - arrived


async def test_after_the_event_that_tells_why(autojump_clock: Clock) -> None:
    stream = Stream(fails, error_event=TOLD)
    assert await seconds_to_the_break(stream, b"data: it failed\n\n") == pytest.approx(0.25)


async def test_after_a_farewell(autojump_clock: Clock) -> None:
    stream = Stream(fails, max_duration=2, farewell="broken", farewell_event=TOLD)
    assert await seconds_to_the_break(stream, b"data: it failed\n\n") == pytest.approx(0.25)


async def test_not_where_nothing_was_sent_lately(autojump_clock: Clock) -> None:
    assert await seconds_to_the_break(Stream(fails), b"data: one\n\n") == pytest.approx(5)


async def test_a_proper_end_does_not_wait(autojump_clock: Clock) -> None:
    async with connect(Stream(["one"])) as client:
        begun = trio.current_time()
        assert await client.read() == PRIMER + b"data: one\n\n"
        assert client.ended == "complete"
    assert trio.current_time() == begun


async def test_who_leaves_meanwhile_has_heard_all(
    autojump_clock: Clock, no_task_left: NothingLeft
) -> None:
    stream = Stream(fails, error_event=TOLD)
    async with connect(stream, raise_app_exceptions=False) as client:
        while not (await client.receive_chunk()).endswith(b"data: it failed\n\n"):
            pass
        client.disconnect()
    assert stream.outcome == "failed"
    await no_task_left()
