"""The sink that an automatic source puts its values into: encoder and channel, handed over."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import replace
from math import inf
from time import perf_counter
from typing import TYPE_CHECKING, Any

import trio

from ..codec import EncodedEvent, ServerSentEvent

if TYPE_CHECKING:
    from .lifetime import Lifetime

__all__ = ["StreamSink"]

#: Seconds an automatic source may keep the processor while others wait.
_SLICE = 0.001


class StreamSink:
    """Where an automatic source puts its values: encodes them, and shares the processor."""

    __slots__ = ("_channel", "_slice_end", "_stream", "format")

    def __init__(self, stream: Lifetime) -> None:
        self._stream = stream
        self._channel = stream._channel
        self._slice_end = inf
        self.format = stream._options.format.name

    def ready(self) -> None:
        self._stream._release_headers()

    def put(self, value: Any) -> Awaitable[None] | None:
        return self._send(self._stream._encode(value, None, None, None))

    def put_nowait(self, event: EncodedEvent) -> bool:
        stream = self._stream
        try:
            stream._send_at_once(stream._encode(event, None, None, None))
        except trio.WouldBlock:
            return False
        return True

    def relay(self, event: ServerSentEvent) -> Awaitable[None] | None:
        stream = self._stream
        name = event.event if stream._event is None else stream._event
        retry = event.retry if stream._retry is None else None
        if event.data is None:
            if retry is None and event.id is None:
                return None
            name = None
        return self._send(stream._encode(replace(event, event=name, retry=retry), None, None, None))

    def _send(self, chunk: bytes) -> Awaitable[None] | None:
        channel = self._channel
        if not channel.queued_events:
            # All that was put before has been taken, so other tasks have run since.
            self._slice_end = perf_counter() + _SLICE
        elif perf_counter() > self._slice_end:
            return self._channel.send(chunk)  # a checkpoint as well
        elif not channel.has_room(len(chunk)):
            return channel.wait_for_room(chunk)
        channel.send_nowait(chunk)
        return None
