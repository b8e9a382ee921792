"""What a stream needs of the place where its bytes leave."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import trio

from ..codec import EncodedEvent

__all__ = ["LARGE", "LOOKS", "ClientGone", "Headers", "Progress", "ServerConnection", "Transport"]

Headers = tuple[tuple[bytes, bytes], ...]

#: Bytes. What is larger is not copied on its way to a client, as it may be on its way to thousands
#: who do not read. What is smaller is joined with what comes before and after it.
LARGE = 2**16


#: So often in a `stall_timeout` it is looked whether the client takes any of an unfinished write.
LOOKS = 20


class ClientGone(trio.BrokenResourceError):
    """A transport's own word that the client has left; no other error of a `send` says that."""


class Progress:
    """What of a transport each event touches, together in memory: `Follower` tells why."""

    __slots__ = ("direct", "last_write", "stuck_since")

    def __init__(self, now: float) -> None:
        self.direct: bool = False
        self.last_write: float = now
        self.stuck_since: float | None = None


class Transport(Protocol):
    """One response on its way to one client.

    `start`, `write`, `finish` and `abort` are called by one task, the writer, one after another.
    `start`, `write` and `finish` raise `ClientGone` when the client is known to be gone; a
    transport need not know, `wait_disconnected` is what tells. What else they raise is the
    server's fault, or that of a middleware.
    """

    #: When bytes last left, by any path; Trio's clock, seconds.
    last_write: float
    #: When the unfinished write last made progress, or None while no write is unfinished.
    stuck_since: float | None

    @property
    def coding(self) -> str | None:
        """The content coding of what is sent, or None while it is sent as it is."""

    @property
    def direct(self) -> bool:
        """Whether `write_nowait` is worth a try."""

    @property
    def begins_at_once(self) -> bool:
        """Whether `begin` may be called in place of `start` and the first `write`."""

    async def begin(self, status: int, headers: Headers, first: Callable[[], bytes]) -> None:
        """Send the status, the headers and what ``first`` gives then, without waiting.

        From any task. No checkpoint, but raises `trio.Cancelled` where that has been delivered
        already, and nothing has been done then. As after `write_nowait` a part may be unsent.
        """

    async def start(self, status: int, headers: Headers) -> None:
        """Send the status and the headers."""

    async def write(self, data: bytes) -> None:
        """Send ``data``, waiting for the client to take it (or for the server's buffers to)."""

    @property
    def is_free(self) -> bool:
        """Whether `write_nowait` would take something now: only of a direct transport."""

    def write_nowait(self, data: bytes | EncodedEvent) -> bool:
        """Write from any task without waiting; False when ``data`` must be queued for `write`.

        An `EncodedEvent` goes to many clients, and keeps the form in which HTTP/1.1 writes it.

        When True, a part may still be unsent, which `stuck_since` tells and the next `write`,
        even of nothing, sends. Raises `ClientGone` as the others do.
        """

    def sender(self, frame: bytes) -> Callable[[bytes], int] | None:
        """The `send` of the client's socket, when `write_nowait` would take ``frame`` now.

        For whoever writes the same to many: an HTTP/1.1 chunk. It has to be called with that next,
        because over TLS it is encrypted already. After each `last_write` is to be set, and
        `keep_rest` called when not all of it was taken, as of a client that is stuck then.
        """

    def keep_rest(self, frame: bytes, left: int) -> None:
        """Of this, `sender` left so many bytes: the next `write` sends what there is of them first.

        Kept as a view of ``frame``. Since `last_write` the client is stuck.
        """

    async def finish(self) -> None:
        """End the response properly."""

    async def abort(self) -> None:
        """End it so that the client can tell that something is missing, where that is possible."""

    def close(self) -> None:
        """The stream is over, however it ended: nothing is written any more.

        A response that has begun and was not ended by `finish` is broken off, as by `abort`.
        """

    async def wait_disconnected(self) -> None:
        """Return when the client has gone, or when the response has ended."""

    async def tell_disconnected(self, tell: Callable[[], None]) -> bool:
        """Have ``tell`` called then, by whatever task, so that nobody need wait for it.

        For the stream's life, in which `wait_disconnected` is then not called. False where it
        cannot be told: then it is to be waited for. A checkpoint where there is something to hear.
        """

    def drop(self) -> None:
        """Cut a stalled client off at once, where the transport can; any task may call it."""

    @property
    def sees_progress(self) -> bool:
        """Whether `look` sees anything."""

    def look(self) -> None:
        """Move `stuck_since` if the client has taken any of an unfinished write since last asked.

        However little that is. The first time, what has been taken before counts.
        """

    def is_gone(self) -> bool:
        """Ask whether the client has gone without `wait_disconnected` having noticed."""


class ServerConnection(Protocol):
    """What a stream asks of the server behind its transport, where that is known."""

    @property
    def graceful_timeout(self) -> float:
        """Seconds between the server's shutdown and the moment it cancels what still runs."""

    @property
    def context(self) -> Any:
        """The server's worker, whose ``terminated`` is an event."""
