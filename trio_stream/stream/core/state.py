"""The state of a stream: what its parts share, and the one place that says how it ends.

`Stream` is its handle, which users hold. The parts (producer, sink, writer, timers, shutdown and
so on) know this state and not each other; `Lifetime` and `Entered` run them. Where more than one
field changes together, a method says what happens.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import inf
from typing import Any, Literal, final

import trio

from ...codec import DroppedInput, Format, encode_retry
from ...codec.formats import coded_format
from ...transport.base import LARGE, ServerConnection, Transport
from ...transport.compressed import CompressedTransport
from ..answers.compression import kept_coding
from ..apart import farewell_retry
from ..ends import end_error, failure_in
from ..options.farewell import EventName, encode_farewell, is_proper
from ..options.options import StreamOptions
from ..outcome import CUT_OFF, FAILURES, LOST, Outcome
from ..requested import request_facts
from ..source import Source, as_callback, open_source
from .clocked import Clocked
from .tap import Tap
from .tasks import StreamTasks, Task

__all__ = ["StreamState"]

_NOTHING_DROPPED = DroppedInput()


@final
class StreamState(Clocked):
    """What the parts of a stream know of each other, and how it ends.

    Args:
      handle: returns the `Stream`, for what users' code is given; None once nobody holds it. Not
        the `Stream` itself: one that is dropped unserved closes its source at once, not when the
        garbage collector finds a circle.
    """

    __slots__ = (
        "answered",
        "callback",
        "coding",
        "compressed",
        "connection",
        "content_type",
        "delivered",
        "dropped",
        "event",
        "failure",
        "failure_told",
        "format",
        "handle",
        "headers_out",
        "id",
        "no_content",
        "outcome",
        "primed",
        "principal",
        "retry",
        "scope",
        "source",
        "tap",
        "tasks",
        "used",
        "writing",
    )

    compressed: CompressedTransport | None
    express: bool
    retry_due: bool

    def __init__(self, source: Any, options: StreamOptions, handle: Callable[[], Any]) -> None:
        super().__init__(options)
        self.handle: Callable[[], Any] = handle

        # What is configured, besides the options: event and retry may change at any time, and a new
        # retry is due with the next event.
        self.id: str | None = options.new_id()
        self.principal: str | None = options.access.principal
        self.format: Format = options.format
        self.event: EventName | None = None
        self.retry: int | Literal[False] | None = None

        # Who produces: a callback, or a source, or tasks alone.
        self.callback: Callable[..., Any] | None = as_callback(source)
        produced = self.callback is not None or source is None
        self.source: Source | None = None if produced else open_source(source)
        self.tasks: StreamTasks = StreamTasks()
        self.tap: Tap | None = None

        self.dropped: DroppedInput = _NOTHING_DROPPED  # by the decoder of an upstream

        # Where it goes: the request, and its response. `writing` is the running writer's; `primed`
        # says that the first bytes have been made, `no_content` makes a 204 of headers not yet out,
        # and `answered` that the response itself has told of the failure.
        self.used: bool = False
        self.scope: Any = None
        self.connection: ServerConnection | None = None
        self.writing: trio.CancelScope | None = None
        self.headers_out: bool = False
        self.primed: bool = False
        self.no_content: bool = False
        self.answered: bool = False
        self.content_type: str | None = None  # the source's own, for `format="bytes"`
        self.coding: str | None = None  # in which an upstream's response is passed on

        # How it ends.
        self.outcome: Outcome | None = None
        self.failure: BaseException | None = None
        self.failure_told: bool = False
        self.delivered: bool = False

    # How it begins.

    def close_unserved(self) -> bool:
        """Close a source that will not be run, without a Trio run; False if it must be awaited."""
        return self.source is None or self.source.close_unawaited()

    def use_once(self, what: str) -> None:
        """It is served or entered from now on; a second time is an error, which names the use."""
        if self.used:
            raise RuntimeError(f"a Stream can be served or entered once: make one for each {what}")
        self.used = True

    def open(
        self, transport: Transport | None = None, connection: ServerConnection | None = None
    ) -> None:
        """It begins, and its response goes there; without a transport it has been entered."""
        self.start_clocks()
        self.transport = transport
        self.connection = connection

    # How it ends.

    def end(self, outcome: Outcome) -> None:
        """End the stream for this cause, unless another came first; queued events still go out."""
        if self.outcome is not None:
            return
        self.outcome = outcome  # before the producer is cancelled, so that its `finally` can ask
        self._push_farewell()
        self._close_channel()
        self.note_end()

    def fail(self, failure: BaseException, outcome: Outcome = Outcome.FAILED) -> None:
        """End it because of this, which its call raises when all of it has ended."""
        self.failure = failure
        self.end(outcome)

    def lose(self, outcome: Outcome) -> None:
        """End the stream because the client cannot be reached, whatever else was under way."""
        if self.delivered:
            return
        if self.outcome is None:
            self.note_end()
        if self.outcome not in LOST:  # cutting a stalled client off makes it a disconnected one
            self.outcome = outcome
        self._close_channel()
        self.channel.discard()
        if outcome is Outcome.STALLED and self.transport is not None:
            self.transport.drop()
        if self.writing is not None:
            self.writing.cancel()

    def found_gone(self) -> Exception:
        """A write has found that the client has gone; returns what its sender is to raise."""
        self.lose(Outcome.DISCONNECTED)
        return self.end_error()

    def _push_farewell(self) -> None:
        """Tell the client when to come back: each a different time, or all would come at once."""
        # Also the client of a producer that has ended by itself when it was asked to.
        shuts_down = self.outcome is Outcome.SHUTDOWN or self.shutdown_at is not inf
        if shuts_down and self.format.has_fields and self.retry is not False:
            self.channel.push(encode_retry(farewell_retry(self.retry)))
        farewell_event = self.options.ends.farewell_event
        if farewell_event is not None and self.outcome in CUT_OFF:
            # Behind the `retry`: some clients obey that at the end of a block with data alone.
            try:
                event = encode_farewell(
                    farewell_event, self.handle(), self.format, self.event, self.facts
                )
            except (KeyboardInterrupt, SystemExit) as error:
                self.failure = error  # raised by its call, not by who ends it: the registry
                return
            if event:
                self.channel.push(event)

    def ends_properly(self) -> bool:
        """Whether the client is to take what it has got for all there is."""
        if self.outcome in CUT_OFF:
            return is_proper(self.options.ends.farewell, self.scope)
        if self.outcome in FAILURES:
            return self.failure_told and self.options.ends.error_end == "proper"
        return True

    def _close_channel(self) -> None:
        self.express = False
        # No method of this state's: the two would be a circle, for the garbage collector to find.
        self.channel.closed_with = partial(end_error, self.handle, self.outcome)
        self.channel.close()
        self.release_headers()
        self.tasks.cancel()

    def end_error(self) -> Exception:
        """What a send raises after the end."""
        return end_error(self.handle, self.outcome)

    def raise_failure(self) -> None:
        """Raise, once, what it failed with, unless the response has told of it."""
        failure, self.failure = self.failure, None
        try:
            if failure is not None and not self.answered:
                raise failure
        finally:
            del failure  # its traceback holds this frame: not a circle

    # Who produces.

    def start_soon(self, task: Task) -> None:
        """Start a task in the stream's nursery, once there is one, unless the stream has ended."""
        if self.outcome is not None or not self.tasks.start_soon(task):
            raise self.end_error()

    async def start(self, task: Task) -> Any:
        """Start a task and wait until it has, unless the stream has ended."""
        if self.outcome is not None:
            raise self.end_error()
        return await self.tasks.start(task)

    async def close_unrun(self) -> None:
        """Close a source that will not be run, and cancel the tasks that wait for their start."""
        source, self.source = self.source, None
        try:
            if source is not None:
                await source.aclose()
        finally:
            try:
                await self.tasks.run_cancelled()
            except BaseExceptionGroup as group:
                self.failure = failure_in(group, self.handle())
        self.raise_failure()

    # Its response.

    def set_retry(self, ms: int | Literal[False] | None) -> None:
        """The client's reconnection time from now on."""
        if ms is None or ms is False:
            self.retry_due = False
        elif ms != self.retry or self.retry is False:  # which is 0 to Python
            # Until the primer has been made, it is the primer that carries it.
            self.retry_due = self.primed
        self.retry = ms

    def hold_headers(self, until: float = inf) -> None:
        """The headers wait until something is sent, it ends, or this time has come."""
        self.held_until = until
        if until is not inf:
            self.look_again(until)

    def keep_coding(self, content_encoding: str) -> bool:
        """See `source.contract.Sink`."""
        sent_before = self.headers_out or self.channel.total_events > 0
        if self.options.keeps_coding and not sent_before:
            self.coding = kept_coding(self.scope, content_encoding)
        if self.coding is not None:
            self.format = coded_format(self.coding)
        return self.coding is not None

    def release_headers(self) -> None:
        """The headers may go out."""
        if self.held_until is not None:
            self.held_until = None
            self.channel.wake()

    def share(self) -> str | None:
        """See `source.contract.Offered`."""
        gathers = self.options.timing.flush_every is not None  # with a window of its own
        if gathers or not isinstance(self.transport, CompressedTransport):
            return None
        self.compressed = self.transport
        return self.transport.share()

    def waits_to_begin(self) -> bool:
        """Whether its headers wait for something, or it is for the writer how its bytes go out."""
        waits = self.held_until is not None and not self.channel.queued_events
        ended = self.outcome is not None or self.no_content
        # What is large, or not to be compressed, is not joined with the rest.
        alone = self.channel.queued_bytes > LARGE or self.channel.apart
        # A task that fails at its first step is to be told by a status.
        return waits or ended or alone or self.tasks.had_one() or self.by_writer_alone

    def begin_writing(self) -> trio.CancelScope:
        """A writer runs, in this scope: no event goes past it. Whatever is cancelled, it is not."""
        self.express = False
        self.writing = trio.CancelScope(shield=True)
        return self.writing

    def end_writing(self) -> None:
        """The writer has nothing more to write; until the end events may go past the channel."""
        self.writing = None
        # The first byte is the writer's, who tells of it.
        self.express = self.written > 0 and self.outcome is None and not self.by_writer_alone

    def note_written(self, data: bytes) -> None:
        """This is written next, or read as its `value`."""
        is_first = self.note_bytes(len(data))
        if self.tap is not None:
            self.tap.note(data)
        if is_first:
            self.options.telling.tell("on_first_byte", self.handle, self.facts)

    @property
    def by_writer_alone(self) -> bool:
        """Whether all goes by the writer, who gathers it or shows it to somebody."""
        return self.tap is not None or self.options.timing.flush_every is not None

    def facts(self) -> dict[str, Any]:
        """Which stream it is, as fields of a line in the log."""
        return request_facts(self.scope, self.options.telling.label)

    def listen(self) -> Tap:
        """Have what is written kept for somebody to see: all goes by the writer meanwhile."""
        self.express = False
        self.tap = self.tap or Tap()
        self.tap.users += 1
        return self.tap

    def listen_no_more(self) -> None:
        """Undo `listen`. Events go past the writer again when it has written once more."""
        if self.tap is not None:
            self.tap.users -= 1
            if not self.tap.users:
                self.tap = None
