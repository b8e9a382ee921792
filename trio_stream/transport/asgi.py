"""The portable transport: any ASGI server that runs its applications on Trio."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import suppress
from functools import partial
from math import inf
from typing import Any

import trio

from ..codec import EncodedEvent
from .base import ClientGone, Headers, Progress
from .while_connected import while_connected

__all__ = [
    "PIECE",
    "AsgiTransport",
    "Message",
    "Receive",
    "Scope",
    "Send",
    "body_message",
    "pieces",
    "taken_from",
]

log: logging.Logger = logging.getLogger("trio_stream")

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

#: A write is cut into pieces of at most this size, because a client that takes one piece in time is
#: slow, not stalled, and ASGI tells nothing finer.
PIECE = 2**16

#: Bytes per second of a client that is not called stalled, however slow it is: so small are the
#: first pieces, and those for clients who need long for larger ones.
_SLOWEST = 8

#: A response is not ended while the request's body still arrives: Hypercorn closes HTTP/1
#: connections then, which may lose the response's end, and its HTTP/2 wants a request to be over
#: before its response is. So much more of a body is read, and so long.
_BODY_BYTES = 2**16
_BODY_SECONDS = 1.0

#: How long `receive` has to say that the client has left when a `send` has failed as if it had.
_WORD_SECONDS = 1.0


class AsgiTransport(Progress):
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
        "_patience",
        "_piece",
        "_receive",
        "_send",
        "_server_raises",
    )

    last_write: float

    sees_progress = False
    coding: str | None = None  # `CompressedTransport` has one

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, stall_timeout: float = inf
    ) -> None:
        self._http_version: str = scope.get("http_version", "1.1")
        self._server_raises = _raises_after_disconnect(scope)
        self._patience = stall_timeout
        self._piece = _least_piece(stall_timeout)
        self._receive = receive
        self._send = send
        super().__init__(trio.current_time())
        #: The last that was heard of the request's body is that more of it comes. False also when
        #: the endpoint has read all of it: nothing comes here then.
        self._body_arriving = False
        #: The last message is on its way. Hypercorn reports a disconnect for it too, from within
        #: that very `send`.
        self._ending = False
        #: What `finish` waits for, and the bytes of body that it still lets arrive.
        self._body_waiter: trio.Event | None = None
        self._body_left = _BODY_BYTES

    @property
    def begins_at_once(self) -> bool:
        return False

    async def begin(self, status: int, headers: Headers, first: Callable[[], bytes]) -> None:
        raise AssertionError("it does not begin at once")

    async def start(self, status: int, headers: Headers) -> None:
        # ASGI wants lists of lists or tuples; each message gets its own, because middleware
        # appends to it.
        await self._start(status, list(headers))

    async def _start(self, status: int, headers: Headers | list[tuple[bytes, bytes]]) -> None:
        await self._deliver({"type": "http.response.start", "status": status, "headers": headers})

    async def write(self, data: bytes | memoryview) -> None:
        rest = data if len(data) <= self._piece else memoryview(data)
        while len(rest) > self._piece:
            piece, rest = bytes(rest[: self._piece]), rest[self._piece :]
            begun = trio.current_time()
            await self._deliver(body_message(piece, more=True))
            took = self.last_write - begun
            if took < self._patience / 8:
                self._piece = min(2 * self._piece, PIECE)
            elif took > self._patience / 4:
                self._piece = max(self._piece // 2, _least_piece(self._patience))
        if rest:
            await self._deliver(body_message(bytes(rest), more=True))

    @property
    def is_free(self) -> bool:
        return False

    def write_nowait(self, data: bytes | EncodedEvent) -> bool:
        return False

    def sender(self, frame: bytes) -> Callable[[bytes], int] | None:
        return None

    def keep_rest(self, frame: bytes, left: int) -> None:
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
        # closes HTTP/1.1 connections without the final chunk. HTTP/1.0 knows no other end than the
        # connection's, and Hypercorn's HTTP/2 leaves the stream open for ever, so that there a
        # proper end is the lesser evil.
        if self._http_version != "1.1":
            _warn_of_whole(self._http_version)
        if self._http_version not in {"1.0", "1.1"}:
            await self.finish()

    def close(self) -> None:
        # Hypercorn keeps what an application has not taken, and waits for room. Where `receive` is
        # bare, as there, it can be taken away.
        taken_from(self._receive)

    async def answer(self, status: int, headers: Headers, body: bytes = b"") -> None:
        """A whole response at once, for one that is not streamed.

        Raises:
          ClientGone: the client has left before its end.
        """
        answer = partial(self._answer, status, headers, body)
        await while_connected(self.wait_disconnected, answer)

    async def _answer(self, status: int, headers: Headers, body: bytes) -> None:
        try:
            await self.start(status, headers)
            await self.write(body)
            await self.finish()
        finally:
            self.close()

    async def wait_disconnected(self) -> None:
        while not self._hear(message := await self._receive()):
            if message.get("body") and _others_wait(self._receive):
                _warn_of_lost_body(len(message["body"]))
        if self._ending:
            await trio.sleep_forever()  # until the end of the response is through

    async def tell_disconnected(self, tell: Callable[[], None]) -> bool:
        return False

    def _hear(self, message: Message) -> bool:
        """Take a message of `receive`'s; whether it is that the client has gone."""
        is_over = bool(message["type"] == "http.disconnect")
        more = not is_over and message.get("more_body", False)
        self._note_body(message.get("body", b""), more=more)
        return is_over

    def _note_body(self, body: bytes, *, more: bool) -> None:
        self._body_arriving = more
        if self._body_waiter is not None:
            self._body_left -= len(body)
            if not more or self._body_left < 0:
                self._body_waiter.set()

    def drop(self) -> None:
        """Cut a stalled client off. ASGI has no way to: its server has to notice."""

    def look(self) -> None:
        """ASGI tells nothing of what the client takes, but by the end of a `send`."""

    def is_gone(self) -> bool:
        """Whether the client is known to be gone, though `receive` has not said so."""
        return False

    async def _deliver(self, message: Message) -> None:
        # Not from within: a server that is cancelled there may have forgotten half of it.
        await trio.lowlevel.checkpoint_if_cancelled()
        self.stuck_since = trio.current_time()
        try:
            await self._pass_on(message)
        except ClientGone:
            raise
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
            self.stuck_since = None
            await self._judge(error)
            raise
        finally:
            self.stuck_since = None
        self.last_write = trio.current_time()

    async def _judge(self, error: Exception) -> None:
        """Find out whether a `send` that failed says that the client has left.

        It may as well be a middleware's own trouble, with its session store or a channel. When the
        client has left `receive` says so too, and whoever waits for that cancels this.
        """
        if isinstance(error, OSError) and not self._server_raises:
            return
        await trio.sleep(_WORD_SECONDS)
        if self._server_raises and _may_say_gone(error):
            facts = {"error": type(error).__name__}
            log.warning("%(error)s of send() taken for the client's leaving", facts)
            raise ClientGone("the client is gone") from error

    async def _pass_on(self, message: Message) -> None:
        await self._send(message)


_warned_of_body: trio.lowlevel.RunVar[bool] = trio.lowlevel.RunVar("body_lost", False)
_warned: trio.lowlevel.RunVar[frozenset[str]] = trio.lowlevel.RunVar("looks_whole", frozenset())


def _warn_of_whole(version: str) -> None:
    """Say once in a Trio run, not for each stream, what would have to be set."""
    warned = _warned.get()
    if version not in warned:
        _warned.set(warned | {version})
        hint = " (nginx: proxy_http_version 1.1)" if version == "1.0" else ""
        log.warning(
            "HTTP/%(version)s: a stream that broke off looks as if it were complete. Let the proxy "
            "in front speak HTTP/1.1%(hint)s, or put StreamMiddleware around the application on "
            "Hypercorn",
            {"version": version, "hint": hint},
        )


def _others_wait(receive: Receive) -> bool:
    """Whether somebody else waits for the request's body, as far as can be seen."""
    channel = _channel_of(receive)
    return channel is not None and channel.statistics().tasks_waiting_receive > 0


def _warn_of_lost_body(size: int) -> None:
    """Say once in a Trio run what a producer that reads the body as it streams does not get."""
    if not _warned_of_body.get():
        _warned_of_body.set(True)
        log.warning(
            "a stream's producer reads the request's body, and has lost %(bytes)d bytes of it: "
            "read it before the stream begins, or put StreamMiddleware around the application on "
            "Hypercorn",
            {"bytes": size},
        )


def _channel_of(receive: Receive) -> trio.MemoryReceiveChannel[Message] | None:
    """The channel whose method it is, as Hypercorn's is."""
    channel = getattr(receive, "__self__", None)
    return channel if isinstance(channel, trio.MemoryReceiveChannel) else None


def taken_from(receive: Receive) -> list[Message]:
    """What waits for an application whose ``receive`` is a channel's, as Hypercorn's is."""
    messages: list[Message] = []
    channel = _channel_of(receive)
    if channel is not None:
        with suppress(trio.WouldBlock, trio.EndOfChannel, trio.ClosedResourceError):
            while True:
                messages.append(channel.receive_nowait())
    return messages


def _least_piece(stall_timeout: float) -> int:
    return int(min(max(_SLOWEST * stall_timeout, 1), PIECE))


def _raises_after_disconnect(scope: Scope) -> bool:
    """Whether the server may do as ASGI 2.4 says: "send() should raise OSError" then."""
    version = str(scope.get("asgi", {}).get("spec_version", ""))
    major, _, minor = version.partition(".")
    return not (major.isdecimal() and minor.isdecimal()) or (int(major), int(minor)) >= (2, 4)


def _may_say_gone(error: Exception) -> bool:
    if not isinstance(error, OSError):
        return True
    lost = (BrokenPipeError, ConnectionAbortedError, ConnectionResetError)
    return isinstance(error, lost) or error.errno is None  # of a server's own class


def body_message(data: bytes, *, more: bool) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}


def pieces(data: bytes | memoryview, size: int) -> Iterator[bytes]:
    """``data`` cut into pieces of ``size`` bytes, each made when it is asked for."""
    for start in range(0, len(data), size):
        yield bytes(data[start : start + size])
