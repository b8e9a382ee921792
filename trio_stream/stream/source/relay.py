"""Events that others have sent, as values of a stream: what a proxy passes on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from typing import Protocol

import msgspec
import trio

from ...codec import EncodedEvent, ServerSentEvent
from .contract import Sink

__all__ = ["EventChannel", "as_json", "relay_events"]


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
    return sink.put(as_json(event.data))


def as_json(text: str) -> EncodedEvent | str:
    """Text that is JSON is passed on as it is, where a JSON value is wanted; else a JSON string.

    Not decoded and encoded anew, which would change numbers, and drop what is there twice.
    """
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
        line = msgspec.json.format(text, indent=-1) if "\n" in text or "\r" in text else text
    except (msgspec.DecodeError, RecursionError):
        return text
    return EncodedEvent(line.encode() + b"\n", format="ndjson")
