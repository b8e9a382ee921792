"""What the tests of streams share."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import trio

from trio_stream import ServerSentEvent, Stream
from trio_stream.testing import connect
from trio_stream.transport.memory import Application

#: What every event stream says first.
PRIMER = b"retry: 3000\n"


async def numbers() -> AsyncIterator[int]:
    yield 1
    yield 2


def blocking_numbers() -> Iterator[int]:
    yield 1
    yield 2


def channel() -> trio.MemoryReceiveChannel[int]:
    send, receive = trio.open_memory_channel[int](2)
    send.send_nowait(1)
    send.send_nowait(2)
    send.close()
    return receive


async def body_of(app: Application, **request: Any) -> bytes:
    """The whole body of one response."""
    async with connect(app, **request) as client:
        return await client.read()


async def events_of(app: Application, **request: Any) -> list[ServerSentEvent]:
    """All events of one response, which must end properly."""
    async with connect(app, **request) as client:
        events = [event async for event in client.events()]
        assert client.ended == "complete"
    return events


async def data_of(app: Application, **request: Any) -> list[str]:
    """The data of all events of one response, which must end properly."""
    return [event.data for event in await events_of(app, **request)]


async def read_failure(stream: Stream) -> None:
    """Read a response that must be a 500, to its end; raises what the stream failed with."""
    async with connect(stream) as client:
        assert client.status == 500
        await client.read()


async def read_to_the_break(
    stream: Stream, expected: list[str], then: trio.Event | None = None
) -> None:
    """Read a response that breaks off behind this data; raises what the stream failed with."""
    async with connect(stream) as client:
        assert [(await client.receive_event()).data for _ in expected] == expected
        if then is not None:
            then.set()
        await client.read()
        assert client.ended != "complete"


class Generator:
    """An async generator of numbers that notes how it was closed.

    It never awaits between its values, and awaits in its ``finally``.
    """

    def __init__(self, count: float = float("inf"), *, pause: float | None = None) -> None:
        self.count = count
        self.pause = pause
        self.produced = 0
        self.closed = False
        self.task: object = None
        self.closed_in: object = None

    async def __call__(self) -> AsyncIterator[int]:
        self.task = trio.lowlevel.current_task()
        try:
            while self.produced < self.count:
                self.produced += 1
                yield self.produced
                if self.pause is not None:
                    await trio.sleep(self.pause)
        finally:
            self.closed_in = trio.lowlevel.current_task()
            await trio.sleep(0.01)
            self.closed = True


async def until_ended(stream: Stream) -> None:
    """Wait, on an autojump clock, until the stream knows how it ends."""
    while stream.outcome is None:
        await trio.sleep(0.01)
