"""The state of a stream: what its parts share, and the one place that says how it ends.

`Lifetime` runs the parts; the producer, the sink, the writer, the timers and the shutdown know
this state and not each other.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from math import inf
from typing import Any

import trio

from ..codec import EncodedEvent, encode_retry, join_events, unwrap
from ..transport.base import ServerConnection, Transport
from .channel import EventChannel
from .ends import StreamBroken, StreamClosed
from .options import StreamOptions
from .outcome import LOST, Outcome
from .registry import current_registry
from .source import Source, is_callback, open_source

__all__ = ["DEFAULT_RETRY", "FAREWELL_WINDOW", "SHIELDED", "StreamState"]

#: What a browser waits before it reconnects is set by the last `retry` it was sent, and a stream
#: that is shut down says a long one: so every stream says its own first. 3000 ms is what Firefox
#: and Chromium wait when told nothing.
DEFAULT_RETRY = 3000

#: Milliseconds over which a shutdown spreads the clients' return, evenly, after their own `retry`.
#: Ten seconds make ten thousand clients a thousand a second, which one worker takes in its stride.
FAREWELL_WINDOW = 10_000

#: Seconds after which a producer that does not let itself be cancelled is named in the log.
SHIELDED = 5.0

Task = tuple[Callable[..., Awaitable[Any]], tuple[Any, ...], object]


class StreamState:
    """What the parts of a stream know of each other, and how it ends."""

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
        "_ended_at",
        "_event",
        "_express",
        "_expressed",
        "_failure",
        "_format",
        "_had_task",
        "_headers_held",
        "_headers_out",
        "_helpers",
        "_no_content",
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
        self._format = options.format
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
        #: Whether an event may go past the channel: the transport is direct, the writer rests, and
        #: nothing is queued.
        self._express = False
        self._expressed = 0
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
        #: Whether the answer is a 204, if the headers are not out yet.
        self._no_content = False
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
        self._push_farewell()
        self._close_channel()
        if self._opened_at is not inf:
            self._ended_at = trio.current_time()
            current_registry().reschedule(self, self._ended_at + SHIELDED)

    def _lose(self, outcome: Outcome) -> None:
        """End the stream because the client cannot be reached, whatever else was under way."""
        if self._delivered:
            return
        if self._outcome is None:
            self._ended_at = trio.current_time()
            current_registry().reschedule(self, self._ended_at + SHIELDED)
        if self._outcome not in LOST:  # cutting a stalled client off makes it a disconnected one
            self._outcome = outcome
        self._close_channel()
        self._channel.discard()
        if outcome is Outcome.STALLED and self._transport is not None:
            self._transport.drop()
        if self._writing is not None:
            self._writing.cancel()

    def _push_farewell(self) -> None:
        """Tell the client when to come back: each a different time, or all would come at once."""
        if self._outcome is Outcome.SHUTDOWN and self._options.format.has_fields:
            base = DEFAULT_RETRY if self._retry is None else self._retry
            self._channel.push(encode_retry(base + random.randrange(FAREWELL_WINDOW)))

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
        if outcome in LOST:
            return StreamBroken(self, outcome)
        return StreamClosed(self, outcome)

    def _release_headers(self) -> None:
        if self._headers_held is not None:
            self._headers_held.set()

    # Values to bytes.

    def _encode(
        self, data: Any, event: str | None, id: str | int | None, retry: int | None
    ) -> bytes:
        """The bytes for one `send`, the stream's own event, id and pending retry included."""
        if type(data) is EncodedEvent:
            chunk = unwrap(data, self._format.name, event, id, retry)
        else:
            if event is None:
                event = self._event
            if id is None and self._options.ids is not None and getattr(data, "id", None) is None:
                id = self._options.ids()
            chunk = self._format.encode(data, event, id, retry)  # type: ignore[arg-type]
        if self._retry_due and self._retry is not None and self._outcome is None:
            # On its own: it cannot be added to an event that was encoded before, and must not be
            # lost with one that finds no room.
            self._retry_due = False
            self._channel.push(encode_retry(self._retry))
        return chunk

    def _send_at_once(self, data: Any, chunk: bytes) -> None:
        """Write to the connection if nothing waits before, else queue; or `trio.WouldBlock`."""
        wire = data if type(data) is EncodedEvent else chunk
        if not (self._express and self._write_express(wire, len(chunk))):
            self._channel.send_nowait(chunk)

    def _express_now(self, chunk: bytes) -> bool:
        """Write an event past channel and writer, where that overtakes nothing.

        From the producer's own task: for an event every 50 ms to each of 500 clients the writer's
        turn would be a third of all the work there is.
        """
        return self._express and self._write_express(chunk, len(chunk))

    def _flush_now(self) -> bool:
        """Write all that is queued from the task that has filled the channel, where that is direct.

        A fast source would otherwise take turns with the writer, which costs 0.2 us an event. What
        the client does not take at once is the writer's, and then the source waits.
        """
        transport = self._transport
        if transport is None or not transport.is_free:
            return False
        chunk = join_events(self._channel.take())
        return self._write_express(chunk, len(chunk), events=0)

    def _write_express(self, wire: bytes | EncodedEvent, size: int, events: int = 1) -> bool:
        transport = self._transport
        assert transport is not None
        try:
            if not transport.write_nowait(wire):
                return False
        except trio.BrokenResourceError:
            raise self._found_gone() from None
        self._note_express(size, events)
        return True

    def _found_gone(self) -> Exception:
        self._lose(Outcome.DISCONNECTED)
        return self._end_error()

    def _note_express(self, size: int, events: int) -> None:
        transport = self._transport
        assert transport is not None
        self._written += size
        self._expressed += events
        if transport.stuck_since is not None:
            self._channel.wake()  # for the writer to send the rest
