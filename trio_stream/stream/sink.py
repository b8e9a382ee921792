"""The sink that an automatic source puts its values into: encoder and channel, handed over."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any

import trio
from msgspec.structs import replace

from ..codec import EncodedEvent, ServerSentEvent
from .state import StreamState

__all__ = ["StreamSink"]

#: Seconds an automatic source may keep the processor while others wait.
_SLICE = 0.001


class StreamSink:
    """Where an automatic source puts its values: encodes them, and shares the processor."""

    __slots__ = ("_channel", "_may_be_plain", "_offer", "_slice_end", "_stream", "format")

    def __init__(self, stream: StreamState) -> None:
        self._stream = stream
        self._channel = stream._channel
        self._offer = stream._channel.offer
        options = stream._options
        self._may_be_plain = options.ids is None and options.format.has_fields
        self._slice_end = 0.0
        self.format = stream._options.format.name

    def ready(self) -> None:
        self._stream._release_headers()

    def no_content(self) -> None:
        self._stream._no_content = True

    def put(self, value: Any) -> Awaitable[None] | None:
        # The fast path of every automatic source: each call saved is a tenth of an event's cost.
        stream = self._stream
        now = perf_counter()
        if now < self._slice_end:
            # Plain text is encoded by the writer, with all that has gathered: see `join_events`.
            if not (
                type(value) is str
                and self._may_be_plain
                and stream._event is None
                and not stream._retry_due
                and value.isascii()
                and "\n" not in value
                and "\r" not in value
            ):
                value = stream._encode(value, None, None, None)
            if self._offer(value) or (stream._flush_now() and self._offer(value)):
                return None
            return self._wait_for_room(value)
        # The first value in a while, or the last that may come without a checkpoint. A slow
        # source's every value goes straight to the connection here, a fast one's gather.
        chunk = stream._encode(value, None, None, None)
        if stream._express_now(chunk) or self._offer(chunk):
            return self._checkpoint()
        return self._wait_for_room(chunk)

    # The time in which others ran is not the source's: after either its slice begins anew.

    async def _checkpoint(self) -> None:
        await trio.lowlevel.checkpoint()
        self._slice_end = perf_counter() + _SLICE

    async def _wait_for_room(self, chunk: bytes | str) -> None:
        await self._channel.wait_for_room(chunk)
        self._slice_end = perf_counter() + _SLICE

    def put_nowait(self, event: EncodedEvent) -> bool:
        stream = self._stream
        try:
            stream._send_at_once(event, stream._encode(event, None, None, None))
        except trio.WouldBlock:
            return False
        return True

    def sender(self) -> Callable[[bytes], int] | None:
        stream = self._stream
        transport = stream._transport
        if transport is None or not stream._express or stream._retry_due:
            return None
        return transport.sender()

    def sent(self, event: EncodedEvent, taken: int, count: int) -> None:
        stream = self._stream
        if taken < 0:
            raise stream._found_gone()
        if stream._transport is not None:
            stream._transport.note_sent(event.frame, taken)
        stream._note_express(len(event.data), count)

    def add_events(self, count: int) -> None:
        self._channel.note_sent(count)

    def relay(self, event: ServerSentEvent) -> Awaitable[None] | None:
        stream = self._stream
        name = event.event if stream._event is None else stream._event
        retry = event.retry if stream._retry is None else None
        if event.data is None:
            if retry is None and event.id is None:
                return None
            name = None
        return self.put(replace(event, event=name, retry=retry))
