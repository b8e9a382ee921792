"""A client of an ASGI application in the same Trio run, which reads while the application runs."""

from __future__ import annotations

from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
)
from contextlib import asynccontextmanager
from typing import Any, Generic, Literal, Self, TypeVar, final
from urllib.parse import unquote, urlencode

import httpx
import trio

from ..checks import (
    check_callable,
    check_choice,
    check_count,
    check_flag,
    check_kind,
    check_seconds,
    check_text,
    naming,
)
from ..codec import EventStreamDecoder, ServerSentEvent
from ..codec.content_coding import open_coding
from ..errors import RemoteProtocolError
from ..transport.asgi import Scope
from ..transport.memory import Application, MemoryConnection, RequestBody
from .background import Alongside
from .clock import run_threads_in_real_time

__all__ = ["Client", "connect"]

T = TypeVar("T")
Headers = Mapping[str, str] | Iterable[tuple[str, str]]


@asynccontextmanager
async def connect(
    app: Application,
    path: str = "/",
    *,
    method: str = "GET",
    query: Mapping[str, str] | str = "",
    headers: Headers | None = None,
    body: RequestBody = b"",
    last_event_id: str | None = None,
    http_version: Literal["1.0", "1.1", "2"] = "1.1",
    scope: Mapping[str, Any] | None = None,
    socket_buffer: int = 2**16,
    shield_sends: bool = False,
    exit_timeout: float = 60.0,
    raise_app_exceptions: bool = True,
) -> AsyncGenerator[Client]:
    """Call an ASGI application with one request, and read its response while it runs.

    The block is entered once the status and headers are there. Leaving it closes the connection
    and waits until the application's call has ended. The server in between behaves as Hypercorn
    does where an application can notice; `trio_stream.transport.memory` says how.

    Works with Trio's autojump clock: a ping that is due after 15 seconds comes at once. From the
    first call on, blocking iterables take real time in that Trio run, as `real_time` explains.

    Args:
      app: the application; a `Stream` is one.
      path: what is asked for, quoted as in a URL; a query may follow.
      query: the query string, or names and values to make it of.
      headers: the request's headers.
      body: the request's body; an iterable, or async iterable, of the chunks as they arrive.
      last_event_id: the ``Last-Event-ID`` header of a client that returns.
      http_version: what the server says in the scope. With ``"2"`` a response whose application
        ends it without its last message is never ended, as on Hypercorn: reading waits for ever.
      scope: more for the ASGI scope, such as ``state``, or instead of what is there.
      socket_buffer: bytes of the response that may be under way before the server's `send` waits
        for this client to read. The default of 64 KiB is less than most sockets have.
      shield_sends: protect the server's `send` from cancellation, as Hypercorn does: no timeout
        around it works then, and a client that reads nothing can hold the application for ever.
      exit_timeout: seconds that the application may go on after the client has left. 60 leaves
        time for everything that this library waits for.
      raise_app_exceptions: what the application raises comes out of this block, as it is, with an
        exception of the block itself as its context. False leaves it at what a client sees of it.

    Raises:
      TypeError, ValueError: an argument of the wrong type, or out of its range.
      trio.TooSlowError: the application went on for more than ``exit_timeout`` seconds after its
        client had left; it has been cancelled.
    """
    _check_request(path, method, query, body, last_event_id, http_version, scope)
    check_callable("app", app, "takes scope, receive and send", takes=3, awaited=True)
    check_count("socket_buffer", socket_buffer)
    check_flag("shield_sends", shield_sends)
    check_seconds("exit_timeout", exit_timeout, zero=True)
    check_flag("raise_app_exceptions", raise_app_exceptions)
    run_threads_in_real_time()
    connection = MemoryConnection(
        {**_scope(path, method, query, headers, last_event_id, http_version), **(scope or {})},
        body,
        socket_buffer=socket_buffer,
        shield_sends=shield_sends,
    )
    try:
        async with Alongside(connection.run, app):
            try:
                await connection.responding.wait()
                if connection.failure is None or not raise_app_exceptions:
                    yield Client(connection)
            finally:
                connection.disconnect()
                await _wait_for_end(connection, exit_timeout)
    finally:
        failure = connection.failure
        # What is no `Exception`, such as KeyboardInterrupt, is not for the client to keep.
        if failure is not None and (raise_app_exceptions or not isinstance(failure, Exception)):
            raise failure


def _check_request(
    path: object,
    method: object,
    query: object,
    body: object,
    last_event_id: object,
    http_version: object,
    scope: object,
) -> None:
    check_text("path", path)
    check_text("method", method)
    check_kind("query", query, (str, Mapping), "a str, or names and values")
    check_kind("body", body, (bytes, Iterable, AsyncIterable), "bytes, or the chunks of them")
    check_kind("body", "" if isinstance(body, str) else None, bytes, "bytes", or_none=True)
    check_text("last_event_id", last_event_id, or_none=True)
    for name, value in (("path", path), ("query", query)):
        if isinstance(value, str) and not value.isascii():
            raise ValueError(f"{name} is quoted, as in a URL: urllib.parse.quote makes it so")
    check_choice("http_version", http_version, ("1.0", "1.1", "2"))
    check_kind("scope", scope, Mapping, "a mapping", or_none=True)


async def _wait_for_end(connection: MemoryConnection, timeout: float) -> None:
    # Shielded, so that an exception of the block is not replaced by `Cancelled`.
    with trio.move_on_after(timeout, shield=True) as patience:
        await connection.returned.wait()
    if patience.cancelled_caught:
        raise trio.TooSlowError(f"the app still ran {timeout:g} s after its client had left")


def _scope(
    path: str,
    method: str,
    query: Mapping[str, str] | str,
    headers: Headers | None,
    last_event_id: str | None,
    http_version: str,
) -> Scope:
    raw_path, _, own_query = path.partition("?")
    query = query if isinstance(query, str) else urlencode(query)
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.1"},
        "http_version": http_version,
        "method": method.upper(),
        "scheme": "http",
        "path": unquote(raw_path),
        "raw_path": raw_path.encode("ascii"),
        "query_string": "&".join(filter(None, [own_query, query])).encode("ascii"),
        "root_path": "",
        "headers": list(_headers(headers, last_event_id)),
        "client": ("127.0.0.1", 50000),
        "server": ("testserver", 80),
        "state": {},
        "extensions": {},
    }


def _headers(headers: Headers | None, last_event_id: str | None) -> Iterator[tuple[bytes, bytes]]:
    check_kind("headers", headers, Iterable, "a mapping or pairs of str", or_none=True)
    given = headers.items() if isinstance(headers, Mapping) else headers or ()
    pairs = [_header(pair) for pair in given]
    if b"host" not in {name for name, _ in pairs}:
        yield b"host", b"testserver"
    yield from pairs
    if last_event_id is not None:
        yield b"last-event-id", last_event_id.encode()


def _header(pair: object) -> tuple[bytes, bytes]:
    if not (isinstance(pair, tuple | list) and len(pair) == 2):
        raise TypeError(f"headers must be pairs of str, not of type {type(pair).__name__}")
    name, value = pair
    check_text("a name in headers", name)
    check_text("a value in headers", value)
    with naming("headers"):
        return name.lower().encode("ascii"), value.encode("latin-1")


class Client:
    """The client's end of one request; made by `connect`.

    Events, chunks and `read` share one body: each goes on where the last one stopped.
    """

    def __init__(self, connection: MemoryConnection) -> None:
        self._connection = connection
        self._events: deque[ServerSentEvent] = deque()
        self._pieces: Iterator[bytes] = iter(())
        try:
            self._coding = open_coding(self.headers.get("content-encoding", ""))
        except RemoteProtocolError:  # an unknown one: the body is given as it comes
            self._coding = open_coding("")
        #: The text of each comment line so far; a ping is an empty one.
        self.comments: list[str] = []
        self._decoder = EventStreamDecoder(on_comment=self.comments.append)

    @property
    def status(self) -> int:
        """The response's status."""
        return self._connection.status

    @property
    def headers(self) -> httpx.Headers:
        """The response's headers, by name in any case."""
        return httpx.Headers(self._connection.headers)

    @property
    def scope(self) -> Scope:
        """The ASGI scope that the application was called with."""
        return self._connection.scope

    @property
    def ended(self) -> Literal["complete", "broken"] | None:
        """How the server ended the response, read or not.

        ``"complete"``: properly; ``"broken"``: it was cut off, and a client can tell; None: it has
        not ended, or the client left first.
        """
        return self._connection.ended

    @property
    def retry(self) -> int | None:
        """The reconnection time that was last sent, in milliseconds."""
        return self._decoder.retry

    @property
    def last_event_id(self) -> str | None:
        """What a browser would send as ``Last-Event-ID`` now."""
        return self._decoder.last_event_id

    async def receive_event(self) -> ServerSentEvent:
        """The next event.

        Raises:
          trio.EndOfChannel: the response is over, properly or not: see `ended`.
        """
        while not self._events:
            self._events.extend(self._decoder.feed(await self.receive_chunk()))
        return self._events.popleft()

    async def receive_chunk(self) -> bytes:
        """The next piece of the body, as the application sent it if the buffer had room for it.

        Of a compressed response what that stands for, where its content coding is known.

        Raises:
          trio.EndOfChannel: the response is over, properly or not: see `ended`.
        """
        while True:
            for piece in self._pieces:
                return piece
            chunk = await self._connection.read()
            if not chunk:
                raise trio.EndOfChannel
            self._pieces = iter(self._coding.undo(chunk))

    def events(self) -> AsyncIterator[ServerSentEvent]:
        """All further events, until the response is over, properly or not."""
        return _Each(self.receive_event)

    def chunks(self) -> AsyncIterator[bytes]:
        """All further pieces of the body, until the response is over, properly or not."""
        return _Each(self.receive_chunk)

    async def read(self) -> bytes:
        """The rest of the body, once the response is over, properly or not."""
        return b"".join([chunk async for chunk in self.chunks()])

    def disconnect(self) -> None:
        """Leave: the application's `receive` gives ``http.disconnect``, its `send` says nothing.

        Behind ten chunks of a request body that the application has not read it stays unseen.
        """
        self._connection.disconnect()

    def vanish(self) -> None:
        """Leave unseen, as behind a pipelined request: only the server's second write tells."""
        self._connection.vanish()

    def stall(self) -> None:
        """Take nothing more, with every buffer on the way full: the server's next write waits.

        A client that just doesn't read stalls as well, once ``socket_buffer`` is full.
        """
        self._connection.stall()

    def drip(self, size: int = 1, seconds: float = 1.0) -> None:
        """Take only ``size`` bytes every ``seconds``, from the server's next write on."""
        check_count("size", size)
        check_seconds("seconds", seconds, zero=True)
        self._connection.drip(size, seconds)

    def resume(self) -> None:
        """End `stall` or `drip`."""
        self._connection.resume()

    def cancel_app(self) -> None:
        """Cancel the application's call, as a server does that has no more patience to shut down.

        Hypercorn's ``graceful_timeout`` is over then; the connection still takes what is sent.
        """
        self._connection.cancel()


@final
class _Each(Generic[T]):
    """An async iterator over one call's results; a generator would have to be closed."""

    def __init__(self, receive: Callable[[], Awaitable[T]]) -> None:
        self._receive = receive

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        try:
            return await self._receive()
        except trio.EndOfChannel:
            raise StopAsyncIteration from None
