"""What a stream needs of the place where its bytes leave."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Headers", "Transport"]

Headers = tuple[tuple[bytes, bytes], ...]


class Transport(Protocol):
    """One response on its way to one client.

    `start`, `write`, `finish` and `abort` are called by one task, the writer, one after another.
    `start`, `write` and `finish` raise `trio.BrokenResourceError` when the client is known to be
    gone; a transport need not know, `wait_disconnected` is what tells.
    """

    #: When bytes last left, by any path; Trio's clock, seconds.
    last_write: float
    #: When the unfinished write last made progress, or None while no write is unfinished.
    stuck_since: float | None

    async def start(self, status: int, headers: Headers) -> None:
        """Send the status and the headers."""

    async def write(self, data: bytes) -> None:
        """Send ``data``, waiting for the client to take it (or for the server's buffers to)."""

    async def finish(self) -> None:
        """End the response properly."""

    async def abort(self) -> None:
        """End it so that the client can tell that something is missing, where that is possible."""

    async def wait_disconnected(self) -> None:
        """Return when the client has gone, or when the response has ended."""
