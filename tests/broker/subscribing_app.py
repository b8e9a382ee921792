"""What `test_subscribing_served` asks: a view, a state, a run and a source."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs

import trio

from trio_stream import (
    Broker,
    ResumableRun,
    ServerSentEvent,
    SourceRun,
    Stream,
    StreamApp,
    TopicEvent,
    open_broker,
    stream_app,
)

state = {"n": 0}


def tenth(event: TopicEvent) -> ServerSentEvent | None:
    number = event.json()["n"]
    return None if number % 10 else ServerSentEvent(number, event="tenth")


async def read_state() -> ServerSentEvent:
    return ServerSentEvent(dict(state), event="state")


async def ticks(run: SourceRun) -> None:
    for n in range(10**6):
        await run.send(n)
        await trio.sleep(0.01)


async def forever(run: ResumableRun) -> None:
    await run.send("begun")
    await trio.sleep_forever()


@asynccontextmanager
async def lifespan(app: StreamApp) -> AsyncIterator[dict[str, Broker]]:
    async with open_broker(history=8) as broker:
        broker.source("ticks", ticks, linger=0.05)
        yield {"broker": broker}


@stream_app(lifespan=lifespan)
async def app(stream: Stream) -> Any:
    assert stream.scope is not None
    broker: Broker = stream.scope["state"]["broker"]
    after, path = stream.last_event_id, stream.scope["path"]
    query = parse_qs(stream.scope["query_string"].decode())
    if path == "/publish":
        for _ in range(int(query["times"][0])):
            state["n"] += 1
            await broker.publish("numbers", state)
        return None
    if path == "/job":
        return broker.resumable("job", forever, if_running="refuse")
    if path == "/ticks":
        return broker.subscribe("ticks")
    if path == "/view":
        return broker.subscribe("numbers", after=after, map=tenth)
    return broker.subscribe("numbers", after=after, snapshot=read_state)
