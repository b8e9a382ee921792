"""What the servers of the soak serve: topics of a Redis, over HTTP."""

import os
from typing import Any

import trio

from trio_stream import Broker, Stream, TopicEvent, last_event_id, no_reconnect, open_broker

broker: Broker | None = None


def even(event: TopicEvent) -> TopicEvent | None:
    return event if event.json() % 2 == 0 else None


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await live(receive, send)
        return
    assert broker is not None
    if scope["method"] == "POST":
        count = int(scope["query_string"])
        for n in range(count):
            await broker.publish(f"soak/{n % 4}", n)
        await no_reconnect(scope, receive, send)
        return
    view = even if scope["path"] == "/even" else None
    stream = Stream(broker.subscribe("soak/*", after=last_event_id(scope) or "earliest", map=view))
    await stream(scope, receive, send)
    found = stream.statistics()
    if found.outcome != "disconnected":
        print(f"ENDED {found}", flush=True)  # noqa: T201  # into the server's log


async def live(receive: Any, send: Any) -> None:
    global broker
    await receive()
    async with open_broker(os.environ["BROKER"], history=100_000, history_bytes=2**26) as opened:
        broker = opened
        await send({"type": "lifespan.startup.complete"})
        await receive()
    await send({"type": "lifespan.shutdown.complete"})
    await trio.lowlevel.checkpoint()
