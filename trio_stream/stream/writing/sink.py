"""The sink that an automatic source puts its values into: encoder and channel, handed over."""

from __future__ import annotations

from collections.abc import Awaitable
from time import perf_counter
from typing import Any

import trio
from msgspec.structs import replace

from ...codec import DroppedInput, EncodedEvent, ServerSentEvent
from ..core.state import StreamState
from ..source import Source
from ..source.contract import UpstreamOptions
from .holding import hold_headers
from .sending import encode, event_name, flush_now, send_at_once, write_express

__all__ = ["StreamSink"]

#: Seconds an automatic source may keep the processor while others wait.
_SLICE = 0.001

#: Bytes that wait and keep the client busy, while a source fetches more from where it is anyway.
_ENOUGH = 2**15

#: Milliseconds between which an upstream's `retry` is passed on: it is one server's wish for its
#: own clients, who may be few, and not for ours.
_SHORTEST_RETRY, _LONGEST_RETRY = 500, 3_600_000


class StreamSink:
    """Where an automatic source puts its values: encodes them, and shares the processor."""

    __slots__ = (
        "_may_be_plain",
        "_slice_end",
        "express",
        "format",
        "upstream",
    )

    def __init__(self, state: StreamState) -> None:
        #: Its state, for the fan-out no more than the part of it that an event touches.
        self.express: StreamState = state
        options = state.options
        self._may_be_plain = options.ids is None and options.format.has_fields
        self._slice_end = 0.0
        self.format: str = state.options.format.name
        self.upstream: UpstreamOptions = options.upstream

    @property
    def stream_number(self) -> int | None:
        return getattr(self.express.watched, "number", None)

    @property
    def stream_id(self) -> str | None:
        return self.express.id

    @property
    def flush_every(self) -> float | None:
        return self.express.options.timing.flush_every

    @property
    def last_write(self) -> float:
        transport = self.express.transport
        return 0.0 if transport is None else transport.last_write

    @property
    def principal(self) -> str | None:
        return self.express.principal

    def facts(self) -> dict[str, Any]:
        return self.express.facts()

    def ready(self, content_type: str | None = None) -> None:
        self.express.content_type = content_type
        self.express.release_headers()

    def keep_coding(self, content_encoding: str) -> bool:
        return self.express.keep_coding(content_encoding)

    def note_dropped(self, dropped: DroppedInput) -> None:
        state = self.express
        state.dropped = dropped
        if dropped:
            state.options.telling.tell("on_drop", state.handle, state.facts)

    def found(self, source: Source) -> None:
        hold_headers(self.express, source.headers_wait_for)

    def no_content(self) -> None:
        self.express.no_content = True

    def put(self, value: Any) -> Awaitable[None] | None:
        # The fast path of every automatic source: each call saved is a tenth of an event's cost.
        state = self.express
        channel = state.channel
        now = perf_counter()
        if now < self._slice_end:
            # Plain text is encoded by the writer, with all that has gathered: see `join_events`.
            if not (
                type(value) is str
                and self._may_be_plain
                and state.event is None
                and not state.retry_due
                and value.isascii()
                and "\n" not in value
                and "\r" not in value
            ):
                value = encode(state, value, None, None, None)
            if channel.offer(value) or (flush_now(state) and channel.offer(value)):
                return None
            return self._wait_for_room(value)
        # The first value in a while, or the last that may come without a checkpoint. A slow
        # source's every value goes straight to the connection here, a fast one's gather.
        chunk = encode(state, value, None, None, None)
        if (state.express and write_express(state, chunk, len(chunk))) or channel.offer(chunk):
            return self._checkpoint()
        return self._wait_for_room(chunk)

    # The time in which others ran is not the source's: after either its slice begins anew.

    async def _checkpoint(self) -> None:
        await trio.lowlevel.checkpoint()
        self._slice_end = perf_counter() + _SLICE

    async def _wait_for_room(self, chunk: bytes | str) -> None:
        await self.express.channel.wait_for_room(chunk)
        self._slice_end = perf_counter() + _SLICE

    async def wait_for_ebb(self) -> None:
        if self.flush_every is None:  # else all that gathers goes with the next write
            await self.express.channel.wait_for_ebb(_ENOUGH)

    def put_nowait(self, event: EncodedEvent) -> bool:
        state = self.express
        try:
            send_at_once(state, event, encode(state, event, None, None, None))
        except trio.WouldBlock:
            return False
        return True

    def found_gone(self) -> Exception:
        return self.express.found_gone()

    def add_events(self, count: int) -> None:
        self.express.channel.note_sent(count)

    def relay(self, event: ServerSentEvent) -> Awaitable[None] | None:
        state = self.express
        name = None if state.event is None else event_name(state, event.data)
        if name is None:
            name = event.event
        retry = None
        if event.retry is not None and self.upstream.relay_retry and state.retry is None:
            retry = min(max(event.retry, _SHORTEST_RETRY), _LONGEST_RETRY)
        if event.data is None:
            if retry is None and event.id is None:
                return None
            name = None
        return self.put(replace(event, event=name, retry=retry))
