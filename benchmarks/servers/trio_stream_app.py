"""This project, for `hypercorn --worker-class trio`."""

from __future__ import annotations

from collections.abc import Callable

import trio

from benchmarks.servers import on_trio
from benchmarks.servers.asgi import App, Receive, Scope, Send
from benchmarks.servers.workload import INTERVAL, now
from trio_stream import Stream, encode

subscribers: set[Stream] = set()


async def tick(stream: Stream) -> None:
    while True:
        await stream.wait(INTERVAL)
        await stream.send(now())


async def idle(stream: Stream) -> None:
    await trio.sleep_forever()


async def publish_forever() -> None:
    """One `encode` for all of them; a stream that is full, or just ended, misses the event."""
    next_time = trio.current_time()
    while True:
        next_time += INTERVAL
        await trio.sleep_until(next_time)
        event = encode(now())
        for stream in subscribers:
            try:
                stream.send_nowait(event)
            except (trio.WouldBlock, trio.BrokenResourceError, trio.ClosedResourceError):
                pass


async def fanout(scope: Scope, receive: Receive, send: Send) -> None:
    stream = Stream()
    subscribers.add(stream)
    try:
        await stream(scope, receive, send)
    finally:
        subscribers.remove(stream)


routes: dict[str, Callable[[], App]] = {
    "/flood": lambda: Stream(on_trio.words()),
    "/ticks": lambda: Stream(tick),
    "/idle": lambda: Stream(idle),
    "/fanout": lambda: fanout,
}


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await on_trio.lifespan(receive, send, publish_forever)
    else:
        await routes[scope["path"]]()(scope, receive, send)
