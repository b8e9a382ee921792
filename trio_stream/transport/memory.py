"""The server's side of one request, in memory: what Hypercorn does, and what can go wrong there.

The testing kit puts a client on the other side. What an application can notice of Hypercorn 0.18 is
kept:

* `receive` gives the request's body, then waits; ``http.disconnect`` comes once, when the client
  has gone or the response has ended, and whoever asks again waits for ever.
* The request's body and the client's leaving come one after the other, by a queue of ten messages:
  who wants to hear of the one has to read the other.
* `send` after the client has gone returns silently (ASGI 2.1); after the response's end it raises.
* `send` returns when the socket's buffer has taken all, so a client that reads nothing stops it.
* An application that raises or returns without a response is answered for with a 500; within a
  response, HTTP/1.1 is cut off without its last chunk, HTTP/1.0 looks complete, because there the
  end of the connection is the end of the body, and HTTP/2 is left open for ever.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable
from contextlib import aclosing
from typing import Literal, final

import outcome
import trio

from .asgi import Message, Receive, Scope, Send

__all__ = ["Application", "MemoryConnection", "RequestBody"]

Application = Callable[[Scope, Receive, Send], Awaitable[None]]
RequestBody = bytes | Iterable[bytes] | AsyncIterable[bytes]

#: Hypercorn's ``max_app_queue_size``.
_APP_QUEUE = 10


@final
class _Socket:
    """The way from a server to its client: a buffer of ``max_bytes``, and its faults."""

    def __init__(self, max_bytes: int) -> None:
        self._chunks: deque[bytes] = deque()
        self._room = max_bytes
        self._changed = trio.lowlevel.ParkingLot()
        self._stalled = False
        self._drip: tuple[int, float] | None = None
        self._closed = False

    async def write(self, data: bytes) -> None:
        """Put ``data`` into the buffer, waiting for room; what is left at `close` is dropped."""
        await trio.lowlevel.checkpoint()
        rest = memoryview(data)
        while rest and not self._closed:
            size = len(rest)
            if self._drip is not None:
                size, seconds = self._drip
                await trio.sleep(seconds)
            await self._wait_for_room()
            if not self._closed:
                chunk, rest = bytes(rest[: min(size, self._room)]), rest[min(size, self._room) :]
                self._chunks.append(chunk)
                self._room -= len(chunk)
                self._changed.unpark_all()

    async def write_end(self) -> None:
        """Say that nothing more comes: a few bytes on the wire, which need room like any others."""
        await self._wait_for_room()
        self.close()

    async def _wait_for_room(self) -> None:
        while (self._stalled or self._room <= 0) and not self._closed:
            await self._changed.park()

    async def read(self) -> bytes:
        """The next piece as it was put into the buffer, or ``b""`` at the end."""
        await trio.lowlevel.checkpoint()
        while not self._chunks and not self._closed:
            await self._changed.park()
        if not self._chunks:
            return b""
        chunk = self._chunks.popleft()
        self._room += len(chunk)
        self._changed.unpark_all()
        return chunk

    def close(self) -> None:
        self._closed = True
        self._changed.unpark_all()

    def discard(self) -> None:
        self._chunks.clear()

    def stall(self) -> None:
        self._stalled = True

    def drip(self, size: int, seconds: float) -> None:
        self._drip = (size, seconds)

    def resume(self) -> None:
        self._stalled, self._drip = False, None
        self._changed.unpark_all()


@final
class MemoryConnection:
    """One request on its way through a server, and the response on its way back.

    Args:
      scope: the ASGI scope; the caller makes it.
      body: the request's body: whole, or in chunks as they arrive.
      socket_buffer: how many bytes of the response may be under way, at least 1.
      shield_sends: protect `send` from cancellation, as Hypercorn does.
    """

    def __init__(
        self, scope: Scope, body: RequestBody, *, socket_buffer: int, shield_sends: bool
    ) -> None:
        self.scope = scope
        #: Set once there is a response to look at, be it the server's own 500.
        self.responding: trio.Event = trio.Event()
        self.status: int = 0
        self.headers: list[tuple[bytes, bytes]] = []
        #: How the server ended the response, or None while it has not.
        self.ended: Literal["complete", "broken"] | None = None
        #: Set when the application's call has ended, and what it raised.
        self.returned: trio.Event = trio.Event()
        self.failure: BaseException | None = None
        self._body = body
        self._shield_sends = shield_sends
        self._socket = _Socket(socket_buffer)
        self._finished = False  # the application has sent its last message
        self._over = trio.Event()  # the client has gone, or the response has ended
        self._body_read = False
        self._told = False
        self._arriving = trio.CancelScope()
        self._call = trio.CancelScope()
        self._writes_unseen: int | None = None
        self._to_app, self._for_app = trio.open_memory_channel[Message](_APP_QUEUE)

    # The server.

    async def run(self, app: Application) -> None:
        """Call the application, and end what it leaves open; what it raises goes to `failure`."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._read_request)
                # Captured, so that this nursery does not wrap it in a group.
                result = await outcome.acapture(self._run_app, app)
                nursery.cancel_scope.cancel()
                self._for_app.close()
        finally:
            if isinstance(result, outcome.Error) and not isinstance(result.error, trio.Cancelled):
                self.failure = result.error
            self._end_for_app()
            self.returned.set()
        await trio.lowlevel.checkpoint_if_cancelled()  # `Cancelled` was captured too

    async def _run_app(self, app: Application) -> None:
        with self._call:
            await app(self.scope, self.receive, self.send)

    async def _read_request(self) -> None:
        try:
            with self._arriving:
                async with aclosing(_chunks(self._body)) as chunks:
                    async for chunk in chunks:
                        await self._put({"type": "http.request", "body": chunk, "more_body": True})
                await self._put({"type": "http.request", "body": b"", "more_body": False})
            self._body_read = True
            await self._over.wait()
            if not self._told:
                await self._put({"type": "http.disconnect"})
        except trio.BrokenResourceError:
            pass  # the application has ended

    async def _put(self, message: Message) -> None:
        # Waiting for the application, a server does not read on, and sees no client leave.
        with trio.CancelScope(shield=True):
            await self._to_app.send(message)

    def _set_over(self) -> None:
        """The client has gone or the response has ended: tell the application at once if possible.

        Hypercorn does so before the `send` that noticed it returns.
        """
        self._over.set()
        if self._body_read and not self._told:
            try:
                self._to_app.send_nowait({"type": "http.disconnect"})
                self._told = True
            except (trio.WouldBlock, trio.BrokenResourceError):
                pass  # `_read_request` waits for room, or the application has ended

    async def receive(self) -> Message:
        """ASGI's ``receive``."""
        return await self._for_app.receive()

    async def send(self, message: Message) -> None:
        """ASGI's ``send``."""
        with trio.CancelScope(shield=self._shield_sends):
            if message["type"] == "http.response.start" and not self.status:
                self._start(message)
                await trio.lowlevel.checkpoint()
            elif message["type"] == "http.response.body" and self.status and not self._finished:
                await self._send_body(message)
            else:
                raise RuntimeError(
                    f"the app sent {message['type']!r} out of order: a response is one "
                    "http.response.start, then bodies, the last without more_body"
                )

    def _start(self, message: Message) -> None:
        self.headers = [
            (bytes(name).strip().lower(), bytes(value).strip())
            for name, value in message.get("headers", ())
        ]
        self.status = int(message["status"])
        self.responding.set()

    async def _send_body(self, message: Message) -> None:
        if self.scope["method"] != "HEAD":
            await self._write(bytes(message.get("body", b"")))
        if not message.get("more_body", False):
            self._finished = True
            await self._socket.write_end()
            self._end("complete")
            # Whoever waits in `receive` hears of the end before this returns, as on Hypercorn.
            await trio.lowlevel.checkpoint()
            await trio.lowlevel.checkpoint()

    async def _write(self, data: bytes) -> None:
        if self._writes_unseen is None:
            await self._socket.write(data)
            return
        # The kernel takes one write to a peer that has gone, and learns of it by the answer.
        self._writes_unseen += 1
        if self._writes_unseen == 2:
            self.disconnect()
        await trio.lowlevel.checkpoint()

    def _end_for_app(self) -> None:
        """What the server does for an application that is over without an end of its response."""
        if self._finished or self._over.is_set():
            self.responding.set()
        elif not self.status:
            self._start({"status": 500, "headers": [(b"content-length", b"0")]})
            self._end("complete")
        elif self.scope["http_version"] == "1.0":
            self._end("complete")
        elif self.scope["http_version"] == "1.1":
            self._end("broken")

    def _end(self, how: Literal["complete", "broken"]) -> None:
        if not self._over.is_set():
            self.ended = how
            self._socket.close()
            self._set_over()

    # The client.

    async def read(self) -> bytes:
        """The next piece of the response's body, or ``b""`` at its end."""
        return await self._socket.read()

    def disconnect(self) -> None:
        """The client closes its connection, and the server sees it."""
        self._set_over()
        self._arriving.cancel()
        self._socket.close()
        self._socket.discard()

    def vanish(self) -> None:
        """The client goes, and the server sees it when a second write meets the reset."""
        if self._writes_unseen is None:
            self._writes_unseen = 0
            self._socket.discard()

    def stall(self) -> None:
        """The client takes nothing more, and every buffer on the way is full."""
        self._socket.stall()

    def drip(self, size: int, seconds: float) -> None:
        """The client takes ``size`` bytes every so many seconds."""
        self._socket.drip(size, seconds)

    def resume(self) -> None:
        """The end of `stall` and `drip`."""
        self._socket.resume()

    def cancel(self) -> None:
        """Cancel the application's call, as Hypercorn does once ``graceful_timeout`` is over."""
        self._call.cancel()


async def _chunks(body: RequestBody) -> AsyncGenerator[bytes]:
    if isinstance(body, bytes):
        if body:
            yield body
    elif isinstance(body, AsyncIterable):
        async for chunk in body:
            yield chunk
    else:
        for chunk in body:
            yield chunk
