"""A value's way: encoded, then into the channel, or past it, straight to the connection."""

from __future__ import annotations

from typing import Any

from ..codec import EncodedEvent, ServerSentEvent, encode_retry, join_events, unwrap
from ..transport.base import ClientGone
from .state import StreamState

__all__ = ["encode", "flush_now", "send_at_once", "write_express"]


def encode(
    state: StreamState, data: Any, event: str | None, id: str | int | None, retry: int | None
) -> bytes:
    """The bytes for one `send`, the stream's own event, id and pending retry included."""
    if type(data) is EncodedEvent:
        chunk = unwrap(data, state.format.name, event, id, retry)
    else:
        if event is None:
            event = state.event
        if id is None and state.options.ids is not None and not _has_id(data):
            id = state.options.ids()
        chunk = state.format.encode(data, event, id, retry)  # type: ignore[arg-type]
    if state.retry_due and state.retry is not None and state.outcome is None:
        # On its own: it cannot be added to an event that was encoded before, and must not be
        # lost with one that finds no room.
        state.retry_due = False
        state.channel.push(encode_retry(state.retry))
    return chunk


def _has_id(data: Any) -> bool:
    """Whether this is an event with an id; an ``id`` of the user's own data is data."""
    return isinstance(data, ServerSentEvent) and data.id is not None


def send_at_once(state: StreamState, data: Any, chunk: bytes) -> None:
    """Write to the connection if nothing waits before, else queue; or `trio.WouldBlock`."""
    wire = data if type(data) is EncodedEvent else chunk
    if not (state.express and write_express(state, wire, len(chunk))):
        state.channel.send_nowait(chunk)


def flush_now(state: StreamState) -> bool:
    """Write all that is queued from the task that has filled the channel, where that is direct.

    A fast source would otherwise take turns with the writer, which costs 0.2 us an event. What
    the client does not take at once is the writer's, and then the source waits.
    """
    transport = state.transport
    if transport is None or not transport.is_free:
        return False
    chunk = join_events(state.channel.take())
    return write_express(state, chunk, len(chunk), events=0)


def write_express(
    state: StreamState, wire: bytes | EncodedEvent, size: int, events: int = 1
) -> bool:
    """Write past channel and writer, where that overtakes nothing: if `StreamState.express`.

    From the producer's own task: for an event every 50 ms to each of 500 clients the writer's
    turn would be a third of all the work there is.
    """
    transport = state.transport
    assert transport is not None
    try:
        if not transport.write_nowait(wire):
            return False
    except ClientGone:
        raise state.found_gone() from None
    state.note_express(size, events)
    return True
