"""Fan-out by hand: a set of streams, to each of which every event is sent."""

from __future__ import annotations

from benchmarks.servers.asgi import Receive, Scope, Send
from trio_stream import Stream, encode

__all__ = ["Hub"]


class Hub:
    """One `encode` for all of them; a stream that is full, or just ended, misses the event."""

    def __init__(self) -> None:
        self._subscribers: set[Stream] = set()

    def publish(self, data: object) -> None:
        Stream.send_to_all_nowait(self._subscribers, encode(data))

    async def subscriber(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI app of one of them."""
        stream = Stream()
        self._subscribers.add(stream)
        try:
            await stream(scope, receive, send)
        finally:
            self._subscribers.remove(stream)
