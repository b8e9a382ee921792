"""Events that others have sent, as values of a stream: what a proxy passes on."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol

import msgspec
import trio

from ...codec import EncodedEvent, ServerSentEvent, is_framed
from ...codec.jsonable import escape_line_ends
from ...errors import EventTooLargeError
from .contract import Sink

__all__ = ["EventChannel", "Place", "as_json", "put_text", "relay_events"]


class HasPlace(Protocol):
    """What knows the id and the retry in force: a decoder, an `EventSource`."""

    @property
    def last_event_id(self) -> str | None: ...

    @property
    def retry(self) -> int | None: ...


class EventChannel(HasPlace, Protocol):
    """Where events arrive one by one or several together: an `EventSource`."""

    async def arrive(self) -> None:
        """Wait until there is an event, or the place has moved without one.

        Raises `trio.EndOfChannel` when there is no more.
        """

    def receive_nowait(self) -> ServerSentEvent:
        """An event that has arrived and waits; raises `trio.WouldBlock` if there is none."""


class Place:
    """The id and retry that a stream's client has: it must hear of those that come without data.

    A block without data is no event, but its id and retry are in force all the same: whoever comes
    back with an older id gets events twice.
    """

    def __init__(self, peer: HasPlace, sink: Sink) -> None:
        self._peer = peer
        self._sink = sink
        self._id: str | int | None = peer.last_event_id
        self._retry = peer.retry

    def passed(self, event: ServerSentEvent) -> None:
        """An event has been passed on."""
        self._id = event.id
        if event.retry is not None:
            self._retry = event.retry

    def catch_up(self) -> Awaitable[None] | None:
        """Pass on what has changed since the last event."""
        peer = self._peer
        if peer.retry == self._retry and peer.last_event_id == self._id:
            return None
        self._retry, self._id = peer.retry, peer.last_event_id
        if self._sink.format != "sse":
            return None
        return self._sink.relay(ServerSentEvent(id=self._id, retry=self._retry))


async def relay_events(channel: EventChannel, sink: Sink) -> None:
    """Put every event into the sink, names and ids kept, until the channel ends."""
    place = Place(channel, sink)
    try:
        while True:
            await channel.arrive()
            await _relay_waiting(channel, sink, place)
            if (wait := place.catch_up()) is not None:
                await wait
    except trio.EndOfChannel:
        return
    except EventTooLargeError:
        if (wait := place.catch_up()) is not None:  # whoever comes back gets past it
            await wait
        raise


async def _relay_waiting(channel: EventChannel, sink: Sink, place: Place) -> None:
    """Put what has arrived together, without a turn of the scheduler for each."""
    while True:
        try:
            event = channel.receive_nowait()
        except trio.WouldBlock:
            return
        place.passed(event)
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


def put_text(text: str, sink: Sink) -> Awaitable[None] | None:
    """Put a piece of a peer's text: it is data, also where it looks like an event."""
    if sink.format == "sse" and text[-1:] in "\r\n" and is_framed(text):
        return sink.put(ServerSentEvent(text))
    return sink.put(text)


def as_json(text: str) -> EncodedEvent | str:
    """Text that is JSON is passed on as it is, where a JSON value is wanted; else a JSON string.

    As it is but for what `to_json` escapes. Not decoded and encoded anew, which would change
    numbers, and drop what is there twice.
    """
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
        line = msgspec.json.format(text, indent=-1) if "\n" in text or "\r" in text else text
    except (msgspec.DecodeError, RecursionError):
        return text
    return EncodedEvent(escape_line_ends(line.encode()) + b"\n", format="ndjson")
