"""A request's body that the producer reads as it streams, on a server that is not known."""

import logging

import pytest
import trio
import trio.testing

from tests.support.tasks import NothingLeft
from trio_stream import Stream
from trio_stream.transport.asgi import Message, Scope

#: Of a server's that says nothing of itself.
SCOPE: Scope = {"type": "http", "http_version": "1.1", "method": "POST", "headers": []}


async def test_what_the_stream_took_from_the_producer_is_told(
    caplog: pytest.LogCaptureFixture, no_task_left: NothingLeft
) -> None:
    """Who hears of the client's leaving is handed the body, too, and cannot hand it back."""
    puts, takes = trio.open_memory_channel[Message](0)

    async def send(message: Message) -> None:
        await trio.lowlevel.checkpoint()

    async def produce(stream: Stream) -> None:
        await stream.send("begun")
        await trio.testing.wait_all_tasks_blocked()  # the stream listens first
        await takes.receive()

    for _ in range(2):
        async with trio.open_nursery() as nursery:
            stream = Stream(produce, hold_headers=False)
            nursery.start_soon(stream, dict(SCOPE), takes.receive, send)
            while takes.statistics().tasks_waiting_receive < 2:
                await trio.testing.wait_all_tasks_blocked()
            for _ in range(2):
                await puts.send({"type": "http.request", "body": b"part", "more_body": True})
                await trio.testing.wait_all_tasks_blocked()
        assert stream.outcome == "completed"
    [record] = [record for record in caplog.records if record.levelno >= logging.WARNING]  # once
    assert record.getMessage().startswith("a stream's producer reads the request's body")
    await no_task_left()
