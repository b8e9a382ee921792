"""A served stream's life: its nurseries, its writer, its watcher.

Served, a stream is three tasks. The ASGI call itself is the producer's, so that a generator is
closed in the task that ran it. The writer is shielded: whatever cancels the producer, what is
queued still goes out. The watcher waits for the client's leaving, where the transport does not
tell it by itself, and for the call's cancellation; before that it begins the response, where that
takes no waiting, and then there is no writer until something has to wait. Their order is fixed by
two nurseries, the user's inside the helpers':

    helpers nursery: watcher, writer
      stream.nursery: the source or callback, and every task started there

First the inner one ends, then the writer has sent what was queued, then the watcher is cancelled.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from math import inf
from types import TracebackType
from typing import Any, final

import trio

from ...transport.base import ClientGone, ServerConnection, Transport
from ..core.state import StreamState
from ..ending import shutdown, timers
from ..ending.ended import counted_name, note_end
from ..ends import ProducerSilent, log_failure
from ..options.principals import current_principals
from ..outcome import LOST, Outcome
from ..registry import current_registry
from ..tally import streams
from ..writing.holding import headers_wait_for, hold_headers
from ..writing.writer import begin_response, write_response
from .admission import Admission
from .recheck import plan_recheck, recheck

__all__ = ["Lifetime"]

#: The watcher's task. Trio would make a name for each.
_WATCHER = f"{__name__}.Lifetime._watch"


@final
class Lifetime:
    """Runs the parts of a stream that is served, around its producer; what the registry watches.

    A context manager, and no function that waits for the producer: that would be a coroutine of
    250 bytes more in each idle stream.
    """

    __slots__ = (
        "_admission",
        "_begun",
        "_done",
        "_helpers",
        "_nursery_manager",
        "counted_as",
        "number",
        "state",
    )

    def __init__(
        self,
        state: StreamState,
        admission: Admission,
        transport: Transport,
        connection: ServerConnection | None,
    ) -> None:
        self.state: StreamState = state
        state.open(transport, connection)
        self._admission = admission
        #: By which it is spoken of, in this Trio run.
        self.number: int = next(current_registry().numbers)
        #: Its label, or its route's template.
        self.counted_as: str = ""
        self._nursery_manager: Any = trio.open_nursery()
        self._helpers: trio.Nursery | None = None
        self._done: trio.Event | None = None
        #: Whether somebody has begun to write.
        self._begun = False

    async def __aenter__(self) -> None:
        transport = self.state.transport
        assert transport is not None
        try:
            self._begin()
        except BaseException:
            self._finish(is_whole=False)
            raise
        self._helpers = await self._nursery_manager.__aenter__()
        self._helpers.start_soon(self._watch, name=_WATCHER)
        if not transport.begins_at_once:
            self._start_writer()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        state, is_whole = self.state, False
        assert self._helpers is not None
        try:
            if exc is None:  # else it is `Cancelled`, which is raised in the failure's place
                self._helpers.cancel_scope.cancel()
            await self._nursery_manager.__aexit__(exc_type, exc, traceback)
            is_whole = exc is None
        finally:
            self._finish(is_whole=is_whole)
        if is_whole and not isinstance(state.failure, ProducerSilent):  # the log knows of that
            state.raise_failure()

    def _begin(self) -> None:
        state, connection = self.state, self.state.connection
        hold_headers(state, headers_wait_for(state))
        current_principals().join(state)
        plan_recheck(state)
        self.counted_as = streams.open(counted_name(state))
        state.watch(self, timers.first_check(state))
        if connection is not None:
            shutdown.check_drain(state.options.timing, connection.graceful_timeout)
            current_registry().join_worker(self, connection.context)
        self._tell("on_open")

    def _tell(self, hook: str) -> None:
        """Call the hooks of this name."""
        state = self.state
        self._in_context(state.options.telling.tell, hook, state.handle, state.facts)

    def _finish(self, *, is_whole: bool) -> None:
        state = self.state
        assert state.transport is not None
        try:
            if not is_whole:  # raises a KeyboardInterrupt
                log_failure(state.failure, "its call was cancelled", state.facts)
        finally:
            try:
                state.transport.close()
                current_principals().leave(state)
                note_end(state, self.number, self.counted_as)
            finally:
                self._admission.release()

    @property
    def worker(self) -> Any:
        """Hypercorn's, if that is known."""
        connection = self.state.connection
        return None if connection is None else connection.context

    def check(self, now: float) -> float:
        """Called by the registry."""
        if now >= self.state.turn_at:
            shutdown.take_turn(self.state, now)
        if now >= self.state.recheck_at:
            self.state.recheck_at = inf
            if self.state.outcome is None:
                self._start_helper(recheck, self.state, self._admission)
        before, again = self.state.outcome, timers.check(self.state, now)
        if self.state.outcome is Outcome.STALLED and before is not Outcome.STALLED:
            self._tell("on_stall")
        return again

    def shut_down(self, share: float) -> None:
        """Called by the registry when the server begins to shut down."""
        self._tell("on_drain")
        shutdown.begin(self.state, share)

    async def _watch(self) -> None:
        state = self.state
        assert state.transport is not None
        try:
            if not self._begun:
                await self._begin_response(state.transport)
            if await state.transport.tell_disconnected(self._disconnect):
                # Nothing wakes it but its cancellation: that of the call, or the stream's end.
                await trio.lowlevel.wait_task_rescheduled(_let_cancel)
            else:
                await state.transport.wait_disconnected()
        except BaseException as error:
            if not isinstance(error, Exception):
                shutdown.cut_short(state)
                raise
            # The server's `receive` has failed, or a middleware's: nobody would hear of the
            # client's leaving any more.
            state.fail(state.failure or error)
        else:
            self._disconnect()

    def _disconnect(self) -> None:
        self.state.lose(Outcome.DISCONNECTED)

    async def _begin_response(self, transport: Transport) -> None:
        """Write what is there by now from the watcher, where that takes no waiting; no checkpoint.

        It spares a crowd's every client a task.
        """
        try:
            self._begun = await begin_response(self.state, transport)
        except ClientGone:
            self.state.lose(Outcome.DISCONNECTED)
        finally:
            if not self._begun or transport.stuck_since is not None:
                self._start_writer()
            else:
                self._rest()

    def _start_writer(self) -> None:
        """There is something to write, or the end to be told."""
        self._begun = True
        if self.state.outcome not in LOST:
            self._start_helper(self._write, self.state.begin_writing())

    def _start_helper(self, async_fn: Callable[..., Awaitable[None]], *args: object) -> None:
        assert self._helpers is not None
        self._in_context(self._helpers.start_soon, async_fn, *args)

    def _in_context(self, function: Callable[..., object], *args: object) -> None:
        """Call it in the request's context, whoever has sent something or ended the stream.

        A hook, or the `send` of a middleware, may look for its own.
        """
        helpers = self._helpers
        if helpers is None or trio.lowlevel.current_task() is helpers.parent_task:
            function(*args)
        else:
            helpers.parent_task.context.run(function, *args)

    async def _write(self, scope: trio.CancelScope) -> None:
        state = self.state
        assert state.transport is not None
        with scope:
            try:
                state.delivered = await write_response(state, state.transport)
            except ClientGone:
                state.lose(Outcome.DISCONNECTED)
        self._rest()
        if state.outcome is not None and self._done is not None:
            self._done.set()

    def _rest(self) -> None:
        """Nothing is to be written now."""
        self.state.end_writing()
        if self.state.outcome is None:
            self.state.channel.when_ready(self._start_writer)

    async def wait_written(self) -> None:
        """The producer has ended: wait until all that it has sent is written, and the end."""
        if not self._begun:  # it has ended before the watcher's first turn
            self._start_writer()
        if self.state.writing is not None:
            self._done = trio.Event()
            await self._done.wait()


def _let_cancel(_: object) -> trio.lowlevel.Abort:
    return trio.lowlevel.Abort.SUCCEEDED
