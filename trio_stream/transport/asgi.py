"""The portable transport: any ASGI server that runs its applications on Trio."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import suppress
from typing import Any

import trio

from ..codec import EncodedEvent
from .base import Headers

__all__ = [
    "PIECE",
    "AsgiTransport",
    "Message",
    "Receive",
    "Scope",
    "Send",
    "body_message",
    "pieces",
]

log = logging.getLogger("trio_stream")

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

#: A write is cut into pieces of this size, because a client that takes one piece in time is slow,
#: not stalled. ASGI tells nothing finer.
PIECE = 2**16

#: A response is not ended while the request's body still arrives: Hypercorn closes HTTP/1
#: connections then, which may lose the response's end, and its HTTP/2 wants a request to be over
#: before its response is. So much more of a body is read, and so long.
_BODY_BYTES = 2**16
_BODY_SECONDS = 1.0


class AsgiTransport:
    """Sends through ASGI's ``send``; learns of the client's leaving from ``receive`` alone.

    Hypercorn announces ASGI 2.1, where ``send`` after a disconnect returns silently, so
    ``receive`` is read for the whole life of the stream. The request's body passes there too,
    before the disconnect, and is dropped.
    """

    __slots__ = (
        "_body_arriving",
        "_body_left",
        "_body_waiter",
        "_ending",
        "_http_version",
        "_receive",
        "_send",
        "last_write",
        "stuck_since",
    )

    #: Whether `write_nowait` may be tried.
    direct = False

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._http_version: str = scope.get("http_version", "1.1")
        self._receive = receive
        self._send = send
        self.last_write = trio.current_time()
        self.stuck_since: float | None = None
        #: The last that was heard of the request's body is that more of it comes. False also when
        #: the endpoint has read all of it: nothing comes here then.
        self._body_arriving = False
        #: The last message is on its way. Hypercorn reports a disconnect for it too, from within
        #: that very `send`.
        self._ending = False
        #: What `finish` waits for, and the bytes of body that it still lets arrive.
        self._body_waiter: trio.Event | None = None
        self._body_left = _BODY_BYTES

    async def start(self, status: int, headers: Headers) -> None:
        # ASGI wants lists of lists or tuples; each message gets its own, because middleware
        # appends to it.
        await self._deliver(
            {"type": "http.response.start", "status": status, "headers": list(headers)}
        )

    async def write(self, data: bytes | memoryview) -> None:
        for piece in pieces(data, PIECE):
            await self._deliver(body_message(piece, more=True))

    @property
    def is_free(self) -> bool:
        return False

    def write_nowait(self, data: bytes | EncodedEvent) -> bool:
        return False

    def sender(self) -> Callable[[bytes], int] | None:
        return None

    def note_sent(self, frame: bytes, taken: int) -> None:
        raise AssertionError("there is no sender")

    async def finish(self) -> None:
        if self._body_is_coming():
            self._body_waiter = trio.Event()
            with trio.move_on_after(_BODY_SECONDS):
                await self._body_waiter.wait()
        self._ending = True
        await self._deliver(body_message(b"", more=False))

    def _body_is_coming(self) -> bool:
        """Whether the client has not sent all of the request's body yet."""
        return self._body_arriving

    async def abort(self) -> None:
        # A response that is left without its last message is cut off by the server: Hypercorn
        # closes HTTP/1.1 connections without the final chunk. Its HTTP/2 leaves the stream open
        # for ever, so there a proper end is the lesser evil.
        if self._http_version not in {"1.0", "1.1"}:
            log.warning("HTTP/%s: a failed stream ends as if it were complete", self._http_version)
            await self.finish()

    def close(self) -> None:
        # Hypercorn keeps what an application has not taken, and waits for room. Where `receive` is
        # bare, as there, it can be taken away.
        channel = getattr(self._receive, "__self__", None)
        if isinstance(channel, trio.MemoryReceiveChannel):
            with suppress(trio.WouldBlock, trio.EndOfChannel, trio.ClosedResourceError):
                while True:
                    channel.receive_nowait()

    async def answer(self, status: int, headers: Headers, body: bytes = b"") -> None:
        """A whole response at once, for one that is not streamed."""
        async with trio.open_nursery() as nursery:

            async def watch() -> None:
                await self.wait_disconnected()
                nursery.cancel_scope.cancel()

            nursery.start_soon(watch)
            try:
                await self.start(status, headers)
                await self.write(body)
                await self.finish()
            finally:
                self.close()
            nursery.cancel_scope.cancel()

    async def wait_disconnected(self) -> None:
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self._note_body(b"", more=False)
                if self._ending:
                    await trio.sleep_forever()  # until the end of the response is through
                return
            self._note_body(message.get("body", b""), more=message.get("more_body", False))

    def _note_body(self, body: bytes, *, more: bool) -> None:
        self._body_arriving = more
        if self._body_waiter is not None:
            self._body_left -= len(body)
            if not more or self._body_left < 0:
                self._body_waiter.set()

    def drop(self) -> None:
        """Cut a stalled client off. ASGI has no way to: its server has to notice."""

    def is_gone(self) -> bool:
        """Whether the client is known to be gone, though `receive` has not said so."""
        return False

    async def _deliver(self, message: Message) -> None:
        self.stuck_since = trio.current_time()
        try:
            await self._pass_on(message)
        except (OSError, trio.ClosedResourceError) as error:
            # ASGI 2.4: "send() should raise OSError" after the client has gone.
            raise trio.BrokenResourceError("the client is gone") from error
        finally:
            self.stuck_since = None
        self.last_write = trio.current_time()

    async def _pass_on(self, message: Message) -> None:
        await self._send(message)


def body_message(data: bytes, *, more: bool) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}


def pieces(data: bytes | memoryview, size: int) -> Iterator[bytes]:
    """``data`` cut into pieces of ``size`` bytes, each made when it is asked for."""
    for start in range(0, len(data), size):
        yield bytes(data[start : start + size])
