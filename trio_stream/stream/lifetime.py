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
from math import inf

import outcome
import trio

from ..transport.base import ServerConnection, Transport
from . import shutdown, timers
from .outcome import LOST, Outcome
from .producer import produce
from .registry import current_registry
from .state import StreamState
from .writer import write_response

__all__ = ["Lifetime"]

log = logging.getLogger("trio_stream")


class Lifetime(StreamState):
    """What `Stream` does behind its public face."""

    __slots__ = ()

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
            self._connection = connection
            shutdown.check_drain_timeout(self, connection)
            current_registry().join_worker(self, connection.context)
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
        result = await outcome.acapture(self._transport.wait_disconnected)
        if isinstance(result, outcome.Error):
            if isinstance(result.error, Exception):
                # The server's `receive` has failed, or a middleware's: nobody would hear of the
                # client's leaving any more.
                self._failure = self._failure or result.error
                self._end(Outcome.FAILED)
                return
            shutdown.cut_short(self)
            result.unwrap()
        self._lose(Outcome.DISCONNECTED)

    def _start_writer(self) -> None:
        """There is something to write, or the end to be told."""
        self._express = False
        if self._outcome not in LOST:
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

    async def _wait_written(self) -> None:
        if self._writing is not None:
            self._done = trio.Event()
            await self._done.wait()
