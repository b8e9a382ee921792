"""The ASGI call is cancelled from outside: what Hypercorn does when its patience is over."""

import logging
import re
from contextlib import AsyncExitStack

import pytest
import trio
import trio.testing

from tests.stream.helpers import Generator
from tests.support.raw import EVENT_SOURCE
from tests.support.tasks import NothingLeft
from trio_stream import Stream
from trio_stream.testing import connect
from trio_stream.testing.client import Client

Clock = trio.testing.MockClock


async def cancelled_rest(client: Client) -> bytes:
    """What still comes when the call is cancelled now."""
    client.cancel_app()
    return await client.read()


def farewell_in(body: bytes) -> int:
    match = re.fullmatch(rb"retry: (\d+)\n", body)
    assert match, body
    return int(match[1])


async def forever(stream: Stream) -> None:
    await stream.send("one")
    await trio.sleep_forever()


async def test_it_says_farewell_and_ends_properly(no_task_left: NothingLeft) -> None:
    producer = Generator(1, pause=float("inf"))
    stream = Stream(producer())
    async with connect(stream, headers=EVENT_SOURCE) as client:
        await client.receive_event()
        assert 3000 <= farewell_in(await cancelled_rest(client)) < 13_000
        assert client.ended == "complete"
    assert stream.outcome == "shutdown"
    await no_task_left()


async def test_clients_are_told_different_times() -> None:
    times = []
    for _ in range(20):
        async with connect(Stream(forever, retry=100_000)) as client:
            await client.receive_event()
            times.append(farewell_in(await cancelled_rest(client)))
    assert all(100_000 <= time < 110_000 for time in times)
    assert len(set(times)) > 10


async def test_what_is_queued_goes_out_first() -> None:
    go = trio.Event()

    async def burst(stream: Stream) -> None:
        await go.wait()
        for number in range(3):
            stream.send_nowait(number)
        assert stream.statistics().queued == 3
        client.cancel_app()
        await trio.sleep_forever()

    async with connect(Stream(burst), headers=EVENT_SOURCE) as client:
        go.set()
        assert [event.data async for event in client.events()] == ["0", "1", "2"]
        assert client.retry is not None
        assert client.retry >= 3000
        assert client.ended == "complete"


@pytest.mark.parametrize("format", ["ndjson", "text", "bytes"])
async def test_other_formats_know_no_farewell(format: str) -> None:
    async def pause(stream: Stream) -> None:
        await stream.send(b"1\n" if format == "bytes" else "1")
        await trio.sleep_forever()

    stream = Stream(pause, format=format)  # type: ignore[arg-type]
    async with connect(stream, headers={"accept": "*/*"}) as client:
        await client.receive_chunk()
        assert await cancelled_rest(client) == b""
        assert client.ended == "broken"


async def test_the_producer_knows_why() -> None:
    seen = []

    async def curious(stream: Stream) -> None:
        try:
            await forever(stream)
        finally:
            seen.append(stream.outcome)

    for _ in range(20):  # whichever of its tasks Trio happens to run first
        async with connect(Stream(curious)) as client:
            await client.receive_event()
            await cancelled_rest(client)
    assert seen == ["shutdown"] * 20


async def test_draining_is_set_for_whoever_waits_outside_of_the_stream() -> None:
    stream = Stream()
    assert not stream.draining.is_set()
    async with connect(stream) as client, trio.open_nursery() as nursery:
        nursery.start_soon(stream.draining.wait)
        await trio.testing.wait_all_tasks_blocked()
        client.cancel_app()
    assert stream.draining.is_set()


async def test_no_other_end_is_a_shutdown() -> None:
    stream = Stream(["a"])
    async with connect(stream) as client:
        await client.read()
    assert not stream.draining.is_set()


async def test_a_slow_client_gets_a_second(
    autojump_clock: Clock, no_task_left: NothingLeft
) -> None:
    stream = Stream(forever)
    async with connect(stream) as client:
        await client.receive_event()
        client.stall()
        began = trio.current_time()
        client.cancel_app()
        assert await client.read() == b""
        assert trio.current_time() - began == pytest.approx(1, abs=0.01)
        assert client.ended == "broken"
    await no_task_left()


async def test_in_a_crowd_it_gets_the_time_that_all_the_others_take(
    autojump_clock: Clock, no_task_left: NothingLeft
) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(500):
            await stack.enter_async_context(connect(Stream(forever)))
        client = await stack.enter_async_context(connect(Stream(forever)))
        await client.receive_event()
        client.stall()
        began = trio.current_time()
        client.cancel_app()
        assert await client.read() == b""
        assert trio.current_time() - began == pytest.approx(2, abs=0.01)
    await no_task_left()


async def test_a_stuck_write_gets_nothing(autojump_clock: Clock, no_task_left: NothingLeft) -> None:
    async def flood(stream: Stream) -> None:
        while True:
            await stream.send("x" * 1000)

    async with connect(Stream(flood)) as client:
        await client.receive_event()
        client.stall()
        await trio.sleep(1)
        began = trio.current_time()
        client.cancel_app()
        await client.read()
        assert trio.current_time() == began
        assert client.ended == "broken"
    await no_task_left()


async def test_a_failure_meanwhile_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def fails_when_cancelled(stream: Stream) -> None:
        try:
            await forever(stream)
        finally:
            raise KeyError("while ending")

    async with connect(Stream(fails_when_cancelled), raise_app_exceptions=False) as client:
        await client.receive_event()
        await cancelled_rest(client)
    records = [(r.name, r.levelno) for r in caplog.records]
    assert records == [("trio_stream", logging.ERROR)]
    assert "KeyError: 'while ending'" in caplog.text


async def test_a_timeout_around_the_app_is_a_timeout(autojump_clock: Clock) -> None:
    """A middleware's `trio.fail_after` sees its own cancellation come back, and no group."""
    stream = Stream(forever)

    async def limited(*request: object) -> None:
        with trio.fail_after(5):
            await stream(*request)  # type: ignore[arg-type]

    async with connect(limited, headers=EVENT_SOURCE, raise_app_exceptions=False) as client:
        await client.receive_event()
        assert farewell_in(await client.read()) >= 3000
        assert client.ended == "complete"
    assert stream.outcome == "shutdown"
