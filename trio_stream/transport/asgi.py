"""The portable transport: any ASGI server that runs its applications on Trio."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any

import trio

from .base import Headers

__all__ = ["AsgiTransport", "Message", "Receive", "Scope", "Send"]

log = logging.getLogger("trio_stream")

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

#: A write is cut into pieces of this size, because a client that takes one piece in time is slow,
#: not stalled. ASGI tells nothing finer.
_PIECE = 2**16


class AsgiTransport:
    """Sends through ASGI's ``send``; learns of the client's leaving from ``receive`` alone.

    Hypercorn announces ASGI 2.1, where ``send`` after a disconnect returns silently, so
    ``receive`` is read for the whole life of the stream. The request's body passes there too and
    is dropped: Hypercorn queues ten messages for an application, and behind an unread body the
    disconnect would never arrive.
    """

    __slots__ = ("_http_version", "_receive", "_send", "last_write", "stuck_since")

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._http_version: str = scope.get("http_version", "1.1")
        self._receive = receive
        self._send = send
        self.last_write = trio.current_time()
        self.stuck_since: float | None = None

    async def start(self, status: int, headers: Headers) -> None:
        # ASGI wants lists of lists or tuples; each message gets its own, because middleware
        # appends to it.
        await self._deliver(
            {"type": "http.response.start", "status": status, "headers": list(headers)}
        )

    async def write(self, data: bytes) -> None:
        if len(data) <= _PIECE:
            await self._deliver(_body(data, more=True))
            return
        for piece in _pieces(data):
            await self._deliver(_body(piece, more=True))

    async def finish(self) -> None:
        await self._deliver(_body(b"", more=False))

    async def abort(self) -> None:
        # A response that is left without its last message is cut off by the server: Hypercorn
        # closes HTTP/1.1 connections without the final chunk. Its HTTP/2 leaves the stream open
        # for ever, so there a proper end is the lesser evil.
        if self._http_version not in {"1.0", "1.1"}:
            log.warning("HTTP/%s: a failed stream ends as if it were complete", self._http_version)
            await self.finish()

    async def answer(self, status: int, headers: Headers, body: bytes = b"") -> None:
        """A whole response at once, for one that is not streamed."""
        await self.start(status, headers)
        await self._deliver(_body(body, more=False))

    async def wait_disconnected(self) -> None:
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                return

    async def _deliver(self, message: Message) -> None:
        self.stuck_since = trio.current_time()
        try:
            await self._send(message)
        except (OSError, trio.ClosedResourceError) as error:
            # ASGI 2.4: "send() should raise OSError" after the client has gone.
            raise trio.BrokenResourceError("the client is gone") from error
        finally:
            self.stuck_since = None
        self.last_write = trio.current_time()


def _body(data: bytes, *, more: bool) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}


def _pieces(data: bytes) -> Iterator[bytes]:
    view = memoryview(data)
    for start in range(0, len(data), _PIECE):
        yield bytes(view[start : start + _PIECE])
