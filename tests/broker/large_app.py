"""Large events for many: served as a source, or iterated and sent one by one; and the memory."""

import resource
import sys
from collections.abc import AsyncIterator
from typing import Any

import trio

from trio_stream import Broker, EncodedEvent, Stream, Subscription, no_reconnect, open_broker

broker: Broker | None = None


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await live(receive, send)
        return
    assert broker is not None
    if scope["method"] == "POST":
        await broker.publish("t", "x" * int(scope["query_string"]))
        await no_reconnect(scope, receive, send)
    elif scope["path"] == "/peak":
        # In bytes on macOS, in KiB elsewhere.
        unit = 1 if sys.platform == "darwin" else 1024
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
        stream = Stream([str(peak)], format="text", ping=None)
        await stream(scope, receive, send)
    else:
        await WAYS[scope["path"]](broker)(scope, receive, send)


def iterated(subscription: Subscription) -> Stream:
    async def events() -> AsyncIterator[EncodedEvent]:
        async for event in subscription:
            yield event.encoded

    return Stream(events())


def sent(subscription: Subscription) -> Stream:
    async def produce(stream: Stream) -> None:
        async for event in subscription:
            await stream.send(event.encoded)

    return Stream(produce)


WAYS = {
    "/followed": lambda broker: Stream(broker.subscribe("t")),
    "/read": lambda broker: Stream(broker.subscribe("t", after="earliest")),
    "/iterated": lambda broker: iterated(broker.subscribe("t")),
    "/sent": lambda broker: sent(broker.subscribe("t")),
}


async def live(receive: Any, send: Any) -> None:
    global broker
    await receive()
    async with open_broker(history_bytes=2**26) as opened:
        broker = opened
        await send({"type": "lifespan.startup.complete"})
        await receive()
    await send({"type": "lifespan.shutdown.complete"})
    await trio.lowlevel.checkpoint()
