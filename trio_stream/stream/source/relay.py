"""Events that others have sent, as values of a stream: what a proxy passes on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from typing import Protocol

import trio

from ...codec import ServerSentEvent
from .contract import Sink

__all__ = ["EventChannel", "relay_events"]


class EventChannel(Protocol):
    """Where events arrive one by one or several together: an `EventSource`."""

    def __aiter__(self) -> AsyncIterator[ServerSentEvent]: ...

    def receive_nowait(self) -> ServerSentEvent:
        """An event that has arrived and waits; raises `trio.WouldBlock` if there is none."""


async def relay_events(channel: EventChannel, sink: Sink) -> None:
    """Put every event into the sink, names and ids kept, until the channel ends."""
    async for event in channel:
        if (wait := _put(event, sink)) is not None:
            await wait
        await _relay_waiting(channel, sink)


async def _relay_waiting(channel: EventChannel, sink: Sink) -> None:
    """Put what has arrived together with an event, without a turn of the scheduler for each."""
    while True:
        try:
            event = channel.receive_nowait()
        except trio.WouldBlock:
            return
        if (wait := _put(event, sink)) is not None:
            await wait


def _put(event: ServerSentEvent, sink: Sink) -> Awaitable[None] | None:
    if sink.format == "sse":
        return sink.relay(event)
    if sink.format == "text":
        return sink.put(event.data)
    if sink.format == "bytes":
        return sink.put(event.data.encode())
    try:
        return sink.put(event.json())
    except ValueError:
        return sink.put(event.data)  # text becomes a JSON string
