"""What type checkers must take: every kind of source, and the ways to write an application."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import httpx2
import trio

from trio_stream import Broker, EventSource, Outcome, ServerSentEvent, Stream, StreamApp, stream_app


def numbers() -> Iterator[int]:
    yield 1


async def async_numbers() -> AsyncIterator[int]:
    yield 1


@asynccontextmanager
async def opened() -> AsyncGenerator[list[int]]:
    yield [1]


async def callback(stream: Stream) -> None:
    await stream.send({"n": 1}, event="tick", id=1, retry=5)


def plain_callback(stream: Stream) -> None:
    stream.start_soon(callback, stream)


async def generator_callback(stream: Stream) -> AsyncIterator[str]:
    yield str(stream.last_event_id)


async def callback_with_a_source(stream: Stream) -> list[int]:
    return [1, 2]


async def every_source(
    client: httpx.AsyncClient,
    client2: httpx2.AsyncClient,
    request: httpx.Request,
    broker: Broker,
    channel: trio.MemoryReceiveChannel[int],
    other_channel: trio.abc.ReceiveChannel[str],
    receive_stream: trio.abc.ReceiveStream,
    path: Path,
) -> list[Stream]:
    return [
        Stream(),
        Stream(None),
        Stream([1, "two", {"n": 3}]),
        Stream(range(3)),
        Stream(numbers()),
        Stream(path.open()),
        Stream(async_numbers()),
        Stream(opened()),
        Stream(callback),
        Stream(plain_callback),
        Stream(generator_callback),
        Stream(callback_with_a_source),
        Stream(lambda stream: client.send(request, stream=True)),
        Stream(channel),
        Stream(other_channel),
        Stream(receive_stream),
        Stream(client.stream("GET", "/")),
        Stream(client.send(request, stream=True)),
        Stream(await client.send(request, stream=True)),
        Stream(client2.stream("GET", "/")),
        Stream(await client2.get("/")),
        Stream(broker.subscribe("t")),
        Stream(broker.resumable("key", None)),
        Stream(
            broker.subscribe(
                "t",
                gap=lambda gap: ServerSentEvent(gap.missing),
                place=lambda: None,
                statistics=lambda statistics: ServerSentEvent(statistics.conflated),
            )
        ),
        Stream(
            broker.resumable(
                "key",
                None,
                gap=lambda gap: ServerSentEvent(gap.after),
                done=lambda: ServerSentEvent(""),
                failed=lambda reason: ServerSentEvent(reason.upper()),
            )
        ),
        Stream(EventSource("http://127.0.0.1")),
        Stream(callback, ping=5, event=lambda item: item.type, retry=False, format="ndjson"),
        Stream(callback, headers={"a": "b"}, error_event=ServerSentEvent("failed", event="error")),
    ]


@stream_app
async def plain_app(stream: Stream) -> None:
    outcome: Outcome | None = stream.outcome
    await stream.send(outcome)


@stream_app(ping=5, max_duration=3600)
async def app_with_options(stream: Stream) -> AsyncIterator[int]:
    yield 1


@asynccontextmanager
async def state(app: StreamApp) -> AsyncGenerator[dict[str, int]]:
    yield {"answer": 42}


@stream_app(lifespan=state)
def app_with_state(stream: Stream) -> Iterator[int]:
    yield 1
