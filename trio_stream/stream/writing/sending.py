"""A value's way: encoded, then into the channel, or past it, straight to the connection."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ...checks import check_function, check_several, shown
from ...codec import (
    EncodedEvent,
    Uncompressed,
    as_event,
    check_event_name,
    check_retry,
    encode_retry,
    join_events,
    unwrap,
)
from ...transport.base import ClientGone
from ..apart import own_retry
from ..core.state import StreamState
from ..options.farewell import refuse_without_fields

__all__ = [
    "check_event",
    "check_own_retry",
    "encode",
    "encode_many",
    "event_name",
    "flush_now",
    "refuse_to_wait_unserved",
    "send_at_once",
    "send_together",
    "write_express",
]


def encode(
    state: StreamState, data: Any, event: str | None, id: str | int | None, retry: int | None
) -> bytes:
    """The bytes for one `send`, the stream's own event, id and pending retry included."""
    if type(data) is EncodedEvent:
        chunk = unwrap(data, state.format.name, event, id, retry)
        if not data.compress:
            state.channel.apart = True
    else:
        if event is None:
            name = state.event
            event = name if name is None or type(name) is str else event_name(state, data)
        if id is None and state.options.ids is not None and not _has_id(data):
            id = state.options.ids()
        chunk = state.format.encode(data, event, id, retry)  # type: ignore[arg-type]
    if state.retry_due and state.retry is not None and state.outcome is None:
        # On its own: it cannot be added to an event that was encoded before, and must not be
        # lost with one that finds no room.
        state.retry_due = False
        retry = own_retry(state.retry, state.options.timing.retry_jitter)
        state.channel.push(encode_retry(retry))
    return chunk


def encode_many(state: StreamState, values: Iterable[Any], event: str | None) -> tuple[bytes, int]:
    """The bytes for all of these, and how many they are."""
    check_several(values, "send")
    # What is encoded is as it is: `event` is for those that are not.
    chunks = [
        encode(state, value, None if type(value) is EncodedEvent else event, None, None)
        for value in values
    ]
    joined = b"".join(chunks)
    if state.channel.apart and Uncompressed in map(type, chunks):
        joined = Uncompressed(joined)
    return joined, len(chunks)


def check_event(state: StreamState, event: object) -> None:
    """What a stream's ``event`` may be; else `TypeError` or `ValueError`."""
    if event is not None:
        refuse_without_fields("event", state.format)
        if isinstance(event, str):
            check_event_name(event)
        elif callable(event):
            check_function("an event name's function", event, " of an item", takes=1)
        else:
            what = "a str, or a sync callable that makes it of an item"
            raise TypeError(f"an event name is {what}, not {shown(event)}")


def check_own_retry(state: StreamState, ms: object) -> None:
    """What a stream's ``retry`` may be; else `TypeError` or `ValueError`."""
    if ms is not None:
        refuse_without_fields("retry", state.format)
        if ms is not False:
            check_retry(ms)


def _has_id(data: Any) -> bool:
    """Whether this is an event with an id; an ``id`` of the user's own data is data."""
    return (given := as_event(data)) is not None and given.id is not None


def event_name(state: StreamState, data: Any) -> str | None:
    """The stream's own name for an event without one; an event's data is what a function gets.

    Raises:
      Exception: whatever the function that was given as ``event=`` raises.
      TypeError, ValueError: it gives what is no name.
    """
    name = state.event
    if name is None or isinstance(name, str):
        return name
    given = as_event(data)
    if given is not None:
        if given.event is not None or given.data is None:
            return None
        data = given.data
    try:
        own = name(data)
        return None if own is None else check_event_name(own)
    except Exception as error:  # the user's function may raise anything
        error.add_note("event= is a function, and this is what came of it for an item")
        raise


def send_at_once(state: StreamState, data: Any, chunk: bytes) -> None:
    """Write to the connection if nothing waits before, else queue; or `trio.WouldBlock`."""
    wire = data if type(data) is EncodedEvent else chunk
    if not (state.express and write_express(state, wire, len(chunk))):
        state.channel.send_nowait(chunk)


def send_together(state: StreamState, chunk: bytes, count: int) -> None:
    """The same of so many events, which stay together."""
    if count and not (state.express and write_express(state, chunk, len(chunk), count)):
        state.channel.send_nowait(chunk)
        state.channel.note_sent(count - 1)


def refuse_to_wait_unserved(state: StreamState) -> None:
    """Raise `RuntimeError` if to wait for room would be for ever."""
    if not state.used:
        raise RuntimeError(
            f"buffer={state.options.buffer} events or "
            f"buffer_bytes={state.options.buffer_bytes} are queued and nobody takes them: "
            "the stream is not served yet. Make buffer= larger, or send from a task: "
            "stream.start_soon(producer, stream)"
        )


def flush_now(state: StreamState) -> bool:
    """Write all that is queued from the task that has filled the channel, where that is direct.

    A fast source would otherwise take turns with the writer, which costs 0.2 us an event. What
    the client does not take at once is the writer's, and then the source waits.
    """
    transport = state.transport
    if transport is None or not transport.is_free or state.by_writer_alone:
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
