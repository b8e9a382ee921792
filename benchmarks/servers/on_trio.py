"""What an ASGI server on Trio needs besides its streams; `on_asyncio` is its twin."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import trio
from trio import sleep, sleep_forever

from benchmarks.servers.asgi import Receive, Send
from benchmarks.servers.workload import INTERVAL, TEXT

__all__ = ["Hub", "lifespan", "sleep", "sleep_forever", "until_disconnect", "words"]


async def words() -> AsyncIterator[str]:
    """Short strings, as fast as they go."""
    while True:
        yield TEXT


async def lifespan(
    receive: Receive, send: Send, *background: Callable[[], Awaitable[None]]
) -> None:
    """The ASGI lifespan, with tasks that run between startup and shutdown."""
    async with trio.open_nursery() as nursery:
        await receive()
        for task in background:
            nursery.start_soon(task)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        nursery.cancel_scope.cancel()
    await send({"type": "lifespan.shutdown.complete"})


async def until_disconnect(receive: Receive, produce: Callable[[], Awaitable[None]]) -> None:
    """Runs the producer until the client leaves: the least that a correct ASGI stream does."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(produce)
        while (await receive())["type"] != "http.disconnect":
            pass
        nursery.cancel_scope.cancel()


class Hub:
    """One publisher, a bounded memory channel to every subscriber; a full one misses the event."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._subscribers: set[trio.MemorySendChannel[Any]] = set()

    async def publish_forever(self) -> None:
        """Publishes what `make` gives, twenty times a second."""
        next_time = trio.current_time()
        while True:
            next_time += INTERVAL
            await trio.sleep_until(next_time)
            event = self._make()
            for subscriber in self._subscribers:
                try:
                    subscriber.send_nowait(event)
                except trio.WouldBlock:
                    pass

    async def subscribe(self) -> AsyncIterator[Any]:
        """Yields what is published from now on."""
        send, receive = trio.open_memory_channel[Any](256)
        self._subscribers.add(send)
        try:
            while True:
                yield await receive.receive()
        finally:
            self._subscribers.remove(send)
