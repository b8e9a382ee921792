"""What an ASGI server on asyncio needs besides its streams; `on_trio` is its twin.

For the peers on uvicorn only: trio_stream itself knows nothing of asyncio.
"""

from __future__ import annotations

import asyncio
from asyncio import sleep
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from benchmarks.servers.asgi import Receive, Send
from benchmarks.servers.workload import INTERVAL, TEXT

__all__ = ["Hub", "lifespan", "sleep", "sleep_forever", "until_disconnect", "words"]

Task = Callable[[], Coroutine[Any, Any, None]]

# uvicorn's `send` waits only when the client is slower than the server, so a generator has to step
# back for others from time to time.
BATCH = 64


async def sleep_forever() -> None:
    await asyncio.Event().wait()


async def words() -> AsyncIterator[str]:
    """Short strings, as fast as they go."""
    while True:
        for _ in range(BATCH):
            yield TEXT
        await sleep(0)


async def lifespan(receive: Receive, send: Send, *background: Task) -> None:
    """The ASGI lifespan, with tasks that run between startup and shutdown."""
    await receive()
    tasks = [asyncio.create_task(each()) for each in background]
    await send({"type": "lifespan.startup.complete"})
    await receive()
    for task in tasks:
        task.cancel()
    await send({"type": "lifespan.shutdown.complete"})


async def until_disconnect(receive: Receive, produce: Task) -> None:
    """Runs the producer until the client leaves: the least that a correct ASGI stream does."""
    task = asyncio.create_task(produce())
    while (await receive())["type"] != "http.disconnect":
        pass
    task.cancel()


class Hub:
    """One publisher, a bounded queue to every subscriber; a full one misses the event."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._subscribers: set[asyncio.Queue[Any]] = set()

    async def publish_forever(self) -> None:
        """Publishes what `make` gives, twenty times a second."""
        while True:
            await asyncio.sleep(INTERVAL)
            event = self._make()
            for subscriber in self._subscribers:
                try:
                    subscriber.put_nowait(event)
                except asyncio.QueueFull:
                    pass

    async def subscribe(self) -> AsyncIterator[Any]:
        """Yields what is published from now on."""
        queue: asyncio.Queue[Any] = asyncio.Queue(256)
        self._subscribers.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._subscribers.remove(queue)
