"""Request bodies: nobody reads them, and they must not hide the client's leaving."""

from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing

from tests.stream.helpers import PRIMER, Generator
from tests.support.tasks import NothingLeft
from trio_stream import Stream
from trio_stream.testing import connect

Clock = trio.testing.MockClock


async def endless(seconds: float = 0.5, chunk: bytes = b"x") -> AsyncIterator[bytes]:
    while True:
        yield chunk
        await trio.sleep(seconds)


async def test_behind_an_unread_body_the_disconnect_is_seen(no_task_left: NothingLeft) -> None:
    producer = Generator(1, pause=float("inf"))
    stream = Stream(producer())
    async with connect(stream, method="POST", body=[b"x" * 1000] * 500) as client:
        await client.receive_event()
        client.disconnect()
        await trio.testing.wait_all_tasks_blocked()
        assert stream.outcome == "disconnected"
    await no_task_left()


async def test_also_behind_one_that_never_ends(
    autojump_clock: Clock, no_task_left: NothingLeft
) -> None:
    stream = Stream()
    async with connect(stream, method="POST", body=endless()) as client:
        await trio.sleep(100)
        assert stream.outcome is None
        client.disconnect()
        await trio.sleep(0.1)
        assert stream.outcome == "disconnected"
    await no_task_left()


async def test_a_stream_does_not_end_its_response_while_the_body_arrives(
    autojump_clock: Clock,
) -> None:

    async def body() -> AsyncIterator[bytes]:
        yield b"begin"
        await trio.sleep(0.7)
        yield b"end"

    began = trio.current_time()
    async with connect(Stream(["a"]), method="POST", body=body()) as client:
        assert await client.read() == PRIMER + b"data: a\n\n"
        assert client.ended == "complete"
    assert trio.current_time() - began == pytest.approx(0.7)


async def test_but_not_for_longer_than_a_second(
    autojump_clock: Clock, no_task_left: NothingLeft
) -> None:
    began = trio.current_time()
    stream = Stream(["a"])
    async with connect(stream, method="POST", body=endless()) as client:
        assert await client.read() == PRIMER + b"data: a\n\n"
        assert client.ended == "complete"
    assert trio.current_time() - began == pytest.approx(1)
    assert stream.outcome == "completed"
    await no_task_left()


async def test_nor_for_more_than_64_kib(autojump_clock: Clock) -> None:
    began = trio.current_time()
    body = endless(0.1, b"x" * 2**14)
    async with connect(Stream(["a"]), method="POST", body=body) as client:
        await client.read()
        assert client.ended == "complete"
    assert trio.current_time() - began == pytest.approx(0.4, abs=0.11)


async def test_a_body_that_the_endpoint_has_read_is_not_waited_for(autojump_clock: Clock) -> None:
    async def endpoint(scope, receive, send):  # type: ignore[no-untyped-def]
        received = b""
        while (message := await receive())["more_body"]:
            received += message["body"]
        await Stream([received])(scope, receive, send)

    began = trio.current_time()
    async with connect(endpoint, method="POST", body=b"all of it") as client:
        assert await client.read() == PRIMER + b"data: all of it\n\n"
        assert client.ended == "complete"
    assert trio.current_time() == began
