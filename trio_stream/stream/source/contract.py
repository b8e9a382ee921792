"""What a source is, and how it is closed.

A source is run by the stream's own task, so that a generator's ``finally`` runs there too. What a
stream is given it owns: every source is closed when it ends, however it ends, and also when it
never ran.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import trio

from ...codec import DroppedInput, EncodedEvent, ServerSentEvent
from ...codec.groups import SharedEvent
from ...codec.readings import ReadAs

__all__ = [
    "CLOSE_TIMEOUT",
    "HeadersWaitFor",
    "NoSource",
    "Sink",
    "Source",
    "UpstreamOptions",
    "close_within",
]

log: logging.Logger = logging.getLogger("trio_stream")

#: Seconds that a source gets to close itself once its stream has ended. Long enough for a database
#: or an upstream to answer, short enough for a server that is shutting down.
CLOSE_TIMEOUT = 5.0


#: What the response's headers wait for: that the source calls `Sink.ready`; its first item, because
#: only who asks for that hears whether it is refused; or nothing, where that cannot fail.
HeadersWaitFor = Literal["ready", "item", "nothing"]


@dataclass(frozen=True, slots=True)
class UpstreamOptions:
    """What a stream was told about its upstream; see `Stream` for what each means."""

    read_as: ReadAs
    max_event_bytes: int
    relay_retry: bool


class Offered(Protocol):
    """A stream whose client may be written to with others, see `transport.offering`."""

    def sender(self, frame: bytes, /) -> Callable[[bytes], int] | None:
        """The `send` of the client's socket, if this may be written to it now; else None.

        For an event that goes to many: its `EncodedEvent.frame`. It is called with that, and `sent`
        is called, before anything else happens.
        """

    def sent(self, event: EncodedEvent, left: int, count: int, now: float, /) -> None:
        """`sender` was given an event's frame, left so many bytes; these were ``count`` events.

        ``now`` is Trio's clock: one look at it serves many clients.
        """

    def share(self) -> str | None:
        """From now on it is sent mostly what many are: the coding in which, if it is compressed."""

    def shared_sender(self, event: SharedEvent, /) -> Callable[[bytes], int] | None:
        """`sender`, for the frame of the event's ``wire``, if the client can read on with that."""

    def sent_shared(self, event: SharedEvent, left: int, count: int, now: float, /) -> None:
        """`sent`, after `shared_sender`."""

    def write_shared(self, event: SharedEvent, count: int, /) -> bool:
        """Write these events now; False if there is no room, or its client could not read them.

        Raises:
          ClientGone: the client has gone; `Sink.found_gone` is to be called.
        """


class Sink(Protocol):
    """Where a source puts its values."""

    @property
    def upstream(self) -> UpstreamOptions:
        """What the stream was told about its upstream."""

    @property
    def format(self) -> str:
        """The stream's format: ``"sse"``, ``"ndjson"``, ``"text"`` or ``"bytes"``."""

    @property
    def stream_id(self) -> str | None:
        """What others may call the stream by, if it tells that its client."""

    @property
    def flush_every(self) -> float | None:
        """Seconds between two writes at least, if the stream's events gather."""

    @property
    def last_write(self) -> float:
        """When something was written last, on Trio's clock."""

    @property
    def principal(self) -> str | None:
        """Whose the stream is, if that is known."""

    def facts(self) -> dict[str, Any]:
        """Which stream it is, as fields of a line in the log."""

    def put(self, value: Any, /) -> Awaitable[None] | None:
        """Take a value; a result other than None must be awaited before the next `put`."""

    async def wait_for_ebb(self) -> None:
        """Wait while so much waits to be written that its client has enough for now.

        For a source that has more where it takes no memory: it need not fill the stream's buffer.
        """

    def put_nowait(self, event: EncodedEvent, /) -> bool:
        """Take an event from any task, now: written at once where nothing waits before it.

        False when there is no room: the event was not taken. Raises what `Stream.send_nowait`
        raises after the stream's end. Not to be mixed with a `put` that is still awaited.
        """

    @property
    def express(self) -> Offered:
        """The way past what is queued, for one who writes the same to many."""

    def found_gone(self) -> object:
        """`Offered.sender` has found that the client has gone."""

    def add_events(self, count: int, /) -> None:
        """Count ``count`` events more than were put, because several were put as one."""

    def relay(self, event: ServerSentEvent, /) -> Awaitable[None] | None:
        """`put` for an event of an upstream's.

        The stream's own event and retry replace its; its retry is passed on where that is wanted.
        """

    def note_dropped(self, dropped: DroppedInput, /) -> None:
        """Keep what an upstream has sent that is in no event, for the stream's statistics."""

    def ready(self, content_type: str | None = None) -> None:
        """The source is known to be good: the response's headers may go out.

        Args:
          content_type: what it is, where neither the user nor the stream's format says.
        """

    def keep_coding(self, content_encoding: str) -> bool:
        """Whether what is put can stay in the coding of an upstream's response.

        It can if that was asked for, the client reads it, and the headers can still say so. From
        then on nobody but the source can send, and that only `CodedBytes`.
        """

    def found(self, source: Source, /) -> None:
        """What was awaited, entered or returned is this source, which is run next."""

    def no_content(self) -> None:
        """There is nothing, and there never will be: the source returns without `ready` or `put`.

        The answer is a 204 then, unless the headers went out before.
        """


@runtime_checkable
class Source(Protocol):
    """Something that delivers values, once."""

    headers_wait_for: HeadersWaitFor

    async def run(self, sink: Sink, /) -> None:
        """Put every value into ``sink``, then close the source; also when cancelled."""

    async def aclose(self) -> None:
        """Close a source that was never run."""

    def close_unawaited(self) -> bool:
        """Close without a Trio run, from ``__del__``; False when that is not possible."""


class NoSource:
    """Base of what looks like a source and is none, as a `Stream` can be entered and called."""

    __slots__ = ()


async def close_within(resource: object, what: str) -> None:
    """Close ``resource`` by its ``aclose`` or ``close``, shielded, in `CLOSE_TIMEOUT` seconds."""
    close = getattr(resource, "aclose", None) or getattr(resource, "close", None)
    if close is None:
        return
    with trio.CancelScope(shield=True, deadline=trio.current_time() + CLOSE_TIMEOUT) as scope:
        closing = close()
        if inspect.isawaitable(closing):
            await closing
    if scope.cancelled_caught:
        log.warning(
            "closing %(source)s took more than %(timeout)g s and was cancelled",
            {"source": what, "timeout": CLOSE_TIMEOUT},
        )
