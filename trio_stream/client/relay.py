"""An `EventSource` as the source of a `Stream`: a proxy whose upstream may come and go."""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from typing import TYPE_CHECKING

import trio

from ..codec import ServerSentEvent
from ..errors import UpstreamStatusError
from ..stream.source import Sink

if TYPE_CHECKING:
    from .event_source import EventSource

__all__ = ["relay_events"]

log = logging.getLogger("trio_stream")


async def relay_events(source: EventSource, sink: Sink) -> None:
    """Put every event into the sink, names and ids kept, until the source ends."""
    try:
        await source.connect()
        if isinstance(source._end, trio.EndOfChannel):
            sink.no_content()
            return
        sink.ready()
        async for event in source:
            if (wait := _put(event, sink)) is not None:
                await wait
            await _relay_waiting(source, sink)
    except UpstreamStatusError as exc:
        # For whoever runs the proxy; a client is never shown what an upstream says.
        log.error("upstream %s answered %d: %s", exc.url, exc.status, exc.body)
        raise


async def _relay_waiting(source: EventSource, sink: Sink) -> None:
    """Put what has arrived together with an event, without a turn of the scheduler for each."""
    while True:
        try:
            event = source.receive_nowait()
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
