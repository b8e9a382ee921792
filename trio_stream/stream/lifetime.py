"""A stream's life: its nursery, its channel, its writer, and who decides how it ends.

Served, a stream is three tasks. The ASGI call itself is the producer's, so that a generator is
closed in the task that ran it. The writer is shielded: whatever cancels the producer, what is
queued still goes out. The watcher waits for the client's leaving. Their order is fixed by two
nurseries, the user's inside the helpers':

    helpers nursery: watcher, writer
      stream.nursery: the source or callback, and every task started there

First the inner one ends, then the writer has sent what was queued, then the watcher is cancelled.
"""

from __future__ import annotations

import logging
import random
import warnings
from collections.abc import Callable
from math import inf
from typing import Any

import outcome
import trio

from ..codec import EncodedEvent, encode_retry, unwrap
from ..transport.base import ServerConnection, Transport
from . import shutdown, timers
from .channel import EventChannel
from .ends import StreamBroken, StreamClosed
from .options import StreamOptions
from .outcome import LOST, Outcome
from .producer import Task, is_callback, produce
from .registry import current_registry
from .source import Source, open_source
from .writer import write_response

__all__ = ["Lifetime"]

log = logging.getLogger("trio_stream")


class Lifetime:
    """What `Stream` does behind its public face."""

    __slots__ = (
        "__weakref__",
        "_answered",
        "_callback",
        "_channel",
        "_connection",
        "_deadline",
        "_delivered",
        "_done",
        "_drained_at",
        "_draining",
        "_encode_value",
        "_ended_at",
        "_event",
        "_express",
        "_failure",
        "_had_task",
        "_headers_held",
        "_headers_out",
        "_helpers",
        "_nursery",
        "_opened_at",
        "_options",
        "_outcome",
        "_retry",
        "_retry_due",
        "_scope",
        "_source",
        "_stall_limit",
        "_task_added",
        "_tasks",
        "_transport",
        "_used",
        "_writing",
        "_written",
    )

    def __init__(self, source: Any, options: StreamOptions) -> None:
        self._options = options
        self._callback: Callable[..., Any] | None = None
        self._source: Source | None = None
        if is_callback(source):
            self._callback = source
        elif source is not None:
            self._source = open_source(source)
        self._channel = EventChannel(options.buffer, options.buffer_bytes)
        self._encode_value = options.format.encode
        self._event: str | None = None
        self._retry: int | None = None
        self._retry_due = False
        self._scope: Any = None
        self._nursery: trio.Nursery | None = None
        self._tasks: list[Task] | None = None
        self._had_task = False
        self._task_added: trio.Event | None = None
        self._transport: Transport | None = None
        self._connection: ServerConnection | None = None
        #: Whether an event may go past the channel: the transport is direct and the writer rests.
        self._express = False
        self._helpers: trio.Nursery | None = None
        self._writing: trio.CancelScope | None = None
        self._headers_held: trio.Event | None = None
        self._done: trio.Event | None = None
        self._draining: trio.Event | None = None
        #: When the producer's time after the server's shutdown is over.
        self._drained_at = inf
        self._stall_limit = options.stall_timeout
        self._used = False
        self._answered = False
        self._headers_out = False
        self._delivered = False
        self._outcome: Outcome | None = None
        self._failure: BaseException | None = None
        self._opened_at = inf
        self._ended_at = inf
        self._deadline = inf
        self._written = 0

    # How it ends.

    def _end(self, outcome: Outcome) -> None:
        """End the stream for this cause, unless another came first; queued events still go out."""
        if self._outcome is not None:
            return
        self._outcome = outcome  # before the producer is cancelled, so that its `finally` can ask
        shutdown.push_farewell(self)
        self._close_channel()
        if self._opened_at is not inf:
            self._ended_at = trio.current_time()
            current_registry().reschedule(self, self._ended_at + timers.SHIELDED)

    def _lose(self, outcome: Outcome) -> None:
        """End the stream because the client cannot be reached, whatever else was under way."""
        if self._delivered:
            return
        if self._outcome is None:
            self._ended_at = trio.current_time()
            current_registry().reschedule(self, self._ended_at + timers.SHIELDED)
        if self._outcome not in LOST:  # cutting a stalled client off makes it a disconnected one
            self._outcome = outcome
        self._close_channel()
        self._channel.discard()
        if outcome is Outcome.STALLED and self._transport is not None:
            self._transport.drop()
        if self._writing is not None:
            self._writing.cancel()

    def _close_channel(self) -> None:
        self._express = False
        self._channel.closed_with = self._end_error
        self._channel.close()
        self._release_headers()
        if self._task_added is not None:
            self._task_added.set()
        if self._nursery is not None:
            self._nursery.cancel_scope.cancel()

    def _end_error(self) -> Exception:
        outcome = self._outcome or Outcome.CLOSED
        if outcome in {Outcome.DISCONNECTED, Outcome.STALLED}:
            return StreamBroken(self, outcome)
        return StreamClosed(self, outcome)

    # Values to bytes.

    def _encode(
        self, data: Any, event: str | None, id: str | int | None, retry: int | None
    ) -> bytes:
        """The bytes for one `send`, the stream's own event, id and pending retry included."""
        if type(data) is EncodedEvent:
            chunk = unwrap(data, self._options.format.name, event, id, retry)
        else:
            if event is None:
                event = self._event
            if id is None and self._options.ids is not None and getattr(data, "id", None) is None:
                id = self._options.ids()
            chunk = self._encode_value(data, event, id, retry)  # type: ignore[arg-type]
        if self._retry_due and self._retry is not None and self._outcome is None:
            # A block of its own: it cannot be added to an event that was encoded before, and must
            # not be lost with one that finds no room.
            self._retry_due = False
            self._channel.push(encode_retry(self._retry))
        return chunk

    def _send_at_once(self, chunk: bytes) -> None:
        """Write to the connection if nothing waits before, else queue; or `trio.WouldBlock`."""
        if not self._express_now(chunk):
            self._channel.send_nowait(chunk)

    def _express_now(self, chunk: bytes) -> bool:
        """Write an event past channel and writer, where that overtakes nothing.

        From the producer's own task: for an event every 50 ms to each of 500 clients the writer's
        turn would be a third of all the work there is.
        """
        if not self._express or not self._channel.is_idle or not self._write_express(chunk):
            return False
        self._channel.note_sent()
        return True

    def _write_express(self, chunk: bytes) -> bool:
        transport = self._transport
        assert transport is not None
        try:
            if not transport.write_nowait(chunk):
                return False
        except trio.BrokenResourceError:
            self._lose(Outcome.DISCONNECTED)
            raise self._end_error() from None
        self._written += len(chunk)
        if transport.stuck_since is not None:
            self._channel.wake()  # for the writer to send the rest
        return True

    # Never run.

    async def _discard(self) -> None:
        """Close a source that will not be run."""
        source, self._source = self._source, None
        if source is not None:
            await source.aclose()

    def __del__(self) -> None:
        # Also called when the constructor has raised: the slot may be empty.
        source = getattr(self, "_source", None)
        if source is not None and not source.close_unawaited():
            warnings.warn(
                f"{self!r} was never served, and its source cannot be closed without awaiting: "
                "serve it, or enter it with `async with`",
                ResourceWarning,
                source=self,
                stacklevel=1,
            )

    # Served.

    async def _serve(
        self, transport: Transport, connection: ServerConnection | None = None
    ) -> None:
        """Run the stream over ``transport`` until it has ended and nothing of it is left."""
        self._open(transport)
        if connection is not None:
            shutdown.join_worker(self, connection)
        try:
            async with trio.open_nursery() as helpers:
                self._helpers = helpers
                helpers.start_soon(self._watch)
                self._start_writer()
                try:
                    await produce(self)
                    await self._wait_written()
                except trio.Cancelled:
                    shutdown.log_failure(self)
                    raise
                helpers.cancel_scope.cancel()
        finally:
            transport.close()
            current_registry().discard(self)
            if connection is not None:
                current_registry().leave_worker(self, connection.context)
            current_registry().outcomes[self._outcome] += 1
            self._call_on_end()
        self._raise_failure()

    def _call_on_end(self) -> None:
        if self._options.on_end is not None:
            result = outcome.capture(self._options.on_end, self)
            if isinstance(result, outcome.Error):
                log.error("on_end= raised", exc_info=result.error)

    def shut_down(self) -> None:
        """Called by the registry when the server begins to shut down."""
        shutdown.begin(self)

    def _seconds_open(self) -> float:
        if self._opened_at is inf:
            return 0.0
        return min(trio.current_time(), self._ended_at) - self._opened_at

    def check(self, now: float) -> float:
        """Called by the registry."""
        return timers.check(self, now)

    def _raise_failure(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None and not self._answered:
            raise failure

    def _open(self, transport: Transport | None) -> None:
        options = self._options
        now = self._opened_at = trio.current_time()
        if options.max_duration is not None:
            # Plus or minus 10 %: clients that came together must not all come back together.
            self._deadline = now + options.max_duration * random.uniform(0.9, 1.1)
        if transport is not None:
            self._transport = transport
            if self._source is not None and self._source.holds_headers:
                self._headers_held = trio.Event()
            current_registry().add(self, timers.next_check(self, now))

    async def _watch(self) -> None:
        assert self._transport is not None
        try:
            await self._transport.wait_disconnected()
        except trio.Cancelled:
            shutdown.cut_short(self)
            raise
        self._lose(Outcome.DISCONNECTED)

    def _start_writer(self) -> None:
        """There is something to write, or the end to be told."""
        if self._outcome not in {Outcome.DISCONNECTED, Outcome.STALLED}:
            assert self._helpers is not None
            self._writing = trio.CancelScope(shield=True)
            self._helpers.start_soon(self._write)

    async def _write(self) -> None:
        assert self._writing is not None
        assert self._transport is not None
        with self._writing:
            try:
                self._delivered = await write_response(self, self._transport)
            except trio.BrokenResourceError:
                self._lose(Outcome.DISCONNECTED)
        self._writing = None
        if self._outcome is None:
            self._express = True
            self._channel.when_ready(self._start_writer)
        elif self._done is not None:
            self._done.set()

    def _release_headers(self) -> None:
        if self._headers_held is not None:
            self._headers_held.set()

    async def _wait_written(self) -> None:
        if self._writing is not None:
            self._done = trio.Event()
            await self._done.wait()
