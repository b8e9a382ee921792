"""`Stream.value`: a stream's bytes, pulled by whoever entered it."""

from __future__ import annotations

from typing import Any, Self, final

import trio

from ...codec import join_events
from ..core.state import StreamState
from ..ending import timers
from ..ending.end_line import tell_end
from ..ends import log_failure
from ..options.principals import current_principals
from ..outcome import Outcome
from ..writing.primer import primer_of
from .producer import produce

__all__ = ["Entered", "StreamValue"]


@final
class StreamValue:
    """An async iterator over the body of an entered stream: `bytes`, as much as is there at once.

    Raises what the producer failed with after the last chunk, and `trio.BusyResourceError` while
    another task is reading: two would each have half of it.
    """

    __slots__ = ("_is_read", "_state")

    def __init__(self, state: StreamState) -> None:
        self._state = state
        self._is_read = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        state = self._state
        await trio.lowlevel.checkpoint()
        events = await self._receive()
        if events is None:
            state.raise_failure()
            raise StopAsyncIteration
        data = self._first() + join_events(events)
        state.note_written(data)
        return data

    async def _receive(self) -> list[bytes | str] | None:
        """All that waits, or None at the end."""
        if self._is_read:
            raise trio.BusyResourceError("another task is reading this stream's value")
        self._is_read = True
        try:
            return await self._state.channel.receive()
        except trio.EndOfChannel:
            return None
        finally:
            self._is_read = False

    def _first(self) -> bytes:
        state = self._state
        if state.headers_out:
            return b""
        state.headers_out = state.primed = True
        return primer_of(state, default_retry=False)


@final
class Entered:
    """Runs the producer of a stream that is used without a server: a context manager."""

    __slots__ = ("_helpers", "_nursery_manager", "_state", "value")

    def __init__(self, state: StreamState) -> None:
        self._state = state
        self._nursery_manager: Any = trio.open_nursery()
        self._helpers: trio.Nursery | None = None
        self.value: StreamValue = StreamValue(state)

    async def __aenter__(self) -> None:
        state = self._state
        self._helpers = await self._nursery_manager.__aenter__()
        state.open()
        principals = current_principals()
        principals.join(state)
        if state.principal is not None and principals.is_refused(state.principal):
            state.end(Outcome.REVOKED)
        state.options.telling.tell("on_open", state.handle, state.facts)
        self._helpers.start_soon(produce, state)
        if timers.ends_by_itself(state):
            self._helpers.start_soon(timers.expire, state)

    async def __aexit__(
        self, exc_type: object, exc: BaseException | None, traceback: object
    ) -> None:
        state = self._state
        state.end(Outcome.CLOSED)
        # Without the body's exception: it goes on as it is, and not in a group of this nursery's.
        # Shielded, so that it isn't replaced by `Cancelled` either. Cancelled first: a shield alone
        # would take a cancellation from outside back from tasks that are about to receive it, and
        # Trio's own checkpoints fail then.
        assert self._helpers is not None
        self._helpers.cancel_scope.cancel()
        self._helpers.cancel_scope.shield = True
        try:
            await self._nursery_manager.__aexit__(None, None, None)
        finally:
            current_principals().leave(state)
            tell_end(state)
        if exc is None:
            state.raise_failure()
        elif state.failure is not exc:
            log_failure(state.failure, "its block was left by an exception", state.facts)
