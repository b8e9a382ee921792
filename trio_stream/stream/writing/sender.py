"""How whoever holds a stream sends into it: a part of `Stream`, which is made of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import trio

from ...checks import check_in_its_run
from ..core.state import StreamState
from ..options.farewell import EventName
from .sending import (
    check_event,
    check_own_retry,
    encode,
    encode_many,
    refuse_to_wait_unserved,
    send_at_once,
    send_together,
)

__all__ = ["Sender"]


class Sender:
    """Sends one event, or several, into the stream whose state this is."""

    __slots__ = ("_state",)

    _state: StreamState

    async def send(
        self,
        data: Any,
        *,
        event: str | None = None,
        id: str | int | None = None,
        retry: int | None = None,
    ) -> None:
        """Send one event, waiting while the client is slower than its producer.

        Always a checkpoint; `trio.Cancelled` means that the event was not accepted.

        Args:
          data: `str` and UTF-8 `bytes` as text, a `ServerSentEvent` as it says (or that of httpx2,
            httpx-sse, sse-starlette or FastAPI), an `EncodedEvent` as it is, else JSON.
          event: this event's name, instead of the stream's.
          id: what the client will return as ``Last-Event-ID``.
          retry: the client's reconnection time from now on, in milliseconds.

        Raises:
          trio.ClosedResourceError: the stream has ended on this side.
          trio.BrokenResourceError: the client left, or stalled.
          TypeError: the data or a field cannot be sent in this format.
          ValueError: a name or id would break out of its field, text is not valid Unicode, or is an
            event in wire form, which goes in as an `EncodedEvent`.
          RuntimeError: the stream has not been served yet and its buffer is full, so that waiting
            would be for ever.
        """
        state = self._state
        chunk = encode(state, data, event, id, retry)
        await trio.lowlevel.checkpoint_if_cancelled()
        try:
            send_at_once(state, data, chunk)
        except trio.WouldBlock:
            refuse_to_wait_unserved(state)
            await state.channel.wait_for_room(chunk)
        else:
            await trio.lowlevel.cancel_shielded_checkpoint()

    def send_nowait(
        self,
        data: Any,
        *,
        event: str | None = None,
        id: str | int | None = None,
        retry: int | None = None,
    ) -> None:
        """Like `send`, but if there is no room, raises `trio.WouldBlock` instead of waiting.

        Once it is served to be called in its Trio run alone: from a thread it is a `RuntimeError`.
        """
        state = self._state
        if state.used and state.outcome is None:
            check_in_its_run("stream.send_nowait")
        send_at_once(state, data, encode(state, data, event, id, retry))

    async def send_many(self, values: Iterable[Any], *, event: str | None = None) -> None:
        """Send several events in one write, with nothing between them, or none of them.

        Waits likewise, as for one event as large as all of them, and raises the same; none has been
        accepted then. For what is there at once: a page of history, a table's rows.

        Args:
          values: each as `send` takes it; a `ServerSentEvent` has its own name and id.
          event: the name of those that have none of their own, instead of the stream's.
        """
        state = self._state
        chunk, count = encode_many(state, values, event)
        await trio.lowlevel.checkpoint_if_cancelled()
        try:
            send_together(state, chunk, count)
        except trio.WouldBlock:
            refuse_to_wait_unserved(state)
            await state.channel.wait_for_room(chunk)
            state.channel.note_sent(count - 1)
        else:
            await trio.lowlevel.cancel_shielded_checkpoint()

    def send_many_nowait(self, values: Iterable[Any], *, event: str | None = None) -> None:
        """Like `send_many`, but if there is no room for all, raises `trio.WouldBlock` for all."""
        state = self._state
        if state.used and state.outcome is None:
            check_in_its_run("stream.send_many_nowait")
        send_together(state, *encode_many(state, values, event))

    @property
    def event(self) -> EventName | None:
        """The name, or what makes it, of events sent from now on that have none of their own."""
        return self._state.event

    @event.setter
    def event(self, name: EventName | None) -> None:
        check_event(self._state, name)
        self._state.event = name

    @property
    def retry(self) -> int | Literal[False] | None:
        """The client's reconnection time, in milliseconds; a new one goes with the next event.

        False: none is sent unasked, neither first nor last.
        """
        return self._state.retry

    @retry.setter
    def retry(self, ms: int | Literal[False] | None) -> None:
        check_own_retry(self._state, ms)
        self._state.set_retry(ms)
