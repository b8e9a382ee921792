"""`EventSource`: the events of a URL, over as many connections as it takes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final, Self, final

import httpx
import trio

from ..codec import EventStreamDecoder, ServerSentEvent
from ..codec.decoder import DEFAULT_MAX_EVENT_BYTES
from ..errors import ContentTypeError, TrioStreamError, UpstreamStatusError
from ..privacy import log_excerpt, shown_url
from ..stream.source import Sink
from ..stream.source.contract import close_within
from ..stream.source.relay import relay_events
from .attempts import Attempts, Observer
from .connection import Connection
from .connector import Connector, Headers, make_body, module_of_client
from .given import check_manner, check_request
from .http_client import make_client
from .last_event_id import check_last_event_id, to_header
from .ready_state import ReadyState
from .receiver import OneReceiver
from .reconnect import ReconnectPolicy

__all__ = ["EventSource"]

#: Five minutes of silence, twenty of the comments that the standard asks servers for "every 15
#: seconds or so". Other clients of endless streams wait as long.
IDLE_TIMEOUT: Final = 300.0


@final
class EventSource(trio.abc.ReceiveChannel[ServerSentEvent]):
    """The events of a URL; it reconnects as the HTML standard's ``EventSource`` does.

    A Trio receive channel: ``async with`` connects and closes, ``async for`` gives the events::

        async with EventSource("https://example.org/prices") as source:
            async for event in source:
                print(event.event, event.json())

    Iteration ends when the server says 204, or, for a request that may not be repeated, when its
    response ends. No task runs in the background: the connection is read while you receive and
    not ahead of it, so that a slow program slows its server down. To cancel a `receive` closes
    the connection, in the same task; the next `receive` reconnects with the last event's id.

    Memory: the events of 256 KiB of body, and what the decoder holds of an unfinished event, which
    is ``max_event_bytes + max_line_bytes``.

    Args:
      url: where to connect; relative if the client has a base URL.
      client: an ``AsyncClient`` of httpx or httpx2, which stays the caller's. None makes one of
        httpx, closed with the event source.
      method: the request's. Only GET is repeated unasked.
      json: the request's body as a value, whatever `Stream.send` would take as JSON.
      content: the request's body as it is.
      headers: additional or replacing request headers, or a function, sync or async, that is
        called for those of each attempt, to get a fresh token for example.
      last_event_id: the id of the last event that was seen, to go on from there.
      reconnect: whether to repeat the request once its stream has ended. None is yes for GET and
        no for any other: what a POST does must not silently be done twice.
      policy: how long to wait in between, and when to give up.
      idle_timeout: seconds without a byte, comments included, after which a connection is given
        up. None waits for ever.
      max_event_bytes: the most data an event may have; a larger one is an `EventTooLargeError`.
      max_line_bytes: the longest line; None is the same.
      observer: called with an `AttemptOpened` or `AttemptEnded` whenever one happens.
      on_comment: called with the text of each comment.

    Raises:
      TypeError: a client that is not httpx's or httpx2's asynchronous one, two bodies, or an option
        of another type.
      ValueError: a ``last_event_id`` that no event can have had, or a number out of its range.
    """

    def __init__(
        self,
        url: str,
        *,
        client: Any = None,
        method: str = "GET",
        json: Any = None,
        content: str | bytes | None = None,
        headers: Headers | None = None,
        last_event_id: str | None = None,
        reconnect: bool | None = None,
        policy: ReconnectPolicy | None = None,
        idle_timeout: float | None = IDLE_TIMEOUT,
        max_event_bytes: int = DEFAULT_MAX_EVENT_BYTES,
        max_line_bytes: int | None = None,
        observer: Observer | None = None,
        on_comment: Callable[[str], None] | None = None,
    ) -> None:
        if client is not None:
            module_of_client(client)
        check_request(url, method, content, headers)
        check_manner(reconnect, policy, idle_timeout, observer)
        check_last_event_id(last_event_id)
        self._url = str(url)
        self._client = client
        self._own_client: httpx.AsyncClient | None = None
        self._connector: Connector | None = None
        self._method = method.upper()
        self._content, defaults = make_body(json, content)
        self._headers: list[Headers] = [defaults, {} if headers is None else headers]
        self._idle_timeout = idle_timeout
        self._decoder = EventStreamDecoder(
            max_event_bytes=max_event_bytes,
            max_line_bytes=max_line_bytes,
            last_event_id=last_event_id,
            on_comment=on_comment,
        )
        self._attempts = Attempts(
            self._url,
            repeat=self._method == "GET" if reconnect is None else reconnect,
            policy=ReconnectPolicy() if policy is None else policy,
            observer=observer,
        )
        self._connection: Connection | None = None
        # What has arrived and waits, and the id in force before the first of it.
        self._events: deque[ServerSentEvent] = deque()
        self._last_event_id = last_event_id
        self._end: Exception | None = None
        self._receiver = OneReceiver()

    # What is known about it.

    @property
    def state(self) -> ReadyState:
        """Whether it is connecting, open or closed."""
        if self._end is not None:
            return ReadyState.CLOSED
        return ReadyState.CONNECTING if self._connection is None else ReadyState.OPEN

    @property
    def retry(self) -> int | None:
        """The reconnection time that the server asked for last, in milliseconds."""
        return self._decoder.retry

    @property
    def last_event_id(self) -> str | None:
        """The id in force after the last event that was received; None while there was none.

        What has not been received yet does not count, so that a program that is started anew with
        this as its ``last_event_id`` misses nothing.
        """
        return self._last_event_id if self._events else self._decoder.last_event_id

    def __repr__(self) -> str:
        return f"<trio_stream.EventSource {shown_url(self._url)} {self.state}>"

    # Receiving.

    async def connect(self) -> None:
        """Connect, if it isn't connected; ``async with`` does it.

        Returns when the stream is open, or when the server has said that there is none (204). What
        it raises is what `receive` raises.
        """
        await trio.lowlevel.checkpoint()
        with self._receiver.enter():
            while self.state is ReadyState.CONNECTING:
                await self._connect()

    async def receive(self) -> ServerSentEvent:
        """Wait for the next event, connecting and reconnecting as needed.

        Raises:
          trio.EndOfChannel: the server said that there is no more (204); or the response of a
            request that may not be repeated has ended.
          UpstreamStatusError: the server answered with a status that is not 200, and the request
            may not be repeated, or the status is neither 429 nor 500 and above.
          ContentTypeError: the answer is not an event stream.
          RedirectError: its redirects lead nowhere.
          EventTooLargeError: an event or a line is larger than allowed.
          ConnectionLostError: the connection failed and the request may not be repeated, or the
            policy has given up.
          trio.ClosedResourceError: it was closed, here or in another task, or has raised before.
          trio.BusyResourceError: another task is receiving.
          InvalidRequestError: the request cannot be sent as it is: a header's value, or the URL.
        """
        await trio.lowlevel.checkpoint()
        if not self._events:
            with self._receiver.enter():
                while not self._events:
                    await self._advance()
        return self._pop()

    def receive_nowait(self) -> ServerSentEvent:
        """An event that has arrived and waits; raises `trio.WouldBlock` if there is none."""
        if not self._events:
            raise trio.WouldBlock
        return self._pop()

    def _pop(self) -> ServerSentEvent:
        event = self._events.popleft()
        self._last_event_id = event.id
        return event

    async def aclose(self) -> None:
        """Close the connection, and the event source for good. Idempotent.

        A task that is receiving gets `trio.ClosedResourceError`.
        """
        if self._end is None:
            self._end = trio.ClosedResourceError("this EventSource was closed")
        self._decoder.last_event_id = self.last_event_id
        self._events.clear()
        await self._receiver.evict()
        if self._connection is not None:
            await self._close_connection()
            self._stopped()
        await self._close_own_client()
        await trio.lowlevel.checkpoint()

    async def __aenter__(self) -> Self:
        try:
            await self.connect()
        except BaseException:
            await self.aclose()
            raise
        return self

    # Connecting, reading, and what follows.

    async def _advance(self) -> None:
        """Take one step towards the next event."""
        if self._end is not None:
            raise type(self._end)(*self._end.args)
        if self._connection is None:
            await self._connect()
        else:
            await self._read(self._connection)

    async def _connect(self) -> None:
        await trio.sleep_until(self._attempts.next_at)
        connector = self._get_connector()
        last_event_id = to_header(self._decoder.last_event_id)
        self._attempts.begin()
        try:
            connection = await connector.connect(last_event_id)
        except (connector.http.RequestError, trio.TooSlowError, TrioStreamError) as exc:
            await self._ended(exc, had_bytes=False)
            return
        except BaseException:
            self._stopped()
            raise
        if connection is None:
            self._end = trio.EndOfChannel()
            self._stopped()
            await self._close_own_client()
            return
        self._connection = connection
        self._decoder.reset()
        self._attempts.opened(connection.url, last_event_id)

    def _get_connector(self) -> Connector:
        if self._connector is None:
            if self._client is None:
                self._client = self._own_client = make_client(self._url)
            self._connector = Connector(
                self._client,
                self._method,
                self._url,
                self._content,
                self._headers,
                self._idle_timeout,
            )
        return self._connector

    async def _read(self, connection: Connection) -> None:
        assert self._connector is not None
        error: Exception | None = None
        try:
            if piece := await connection.read():
                self._attempts.is_alive()
                self._last_event_id = self._decoder.last_event_id
                self._events.extend(self._decoder.feed(piece))
                self._attempts.events += len(self._events)
                return
        except (self._connector.http.RequestError, trio.TooSlowError, TrioStreamError) as exc:
            error = exc
        except BaseException:
            # Cancelled, or an error in a callback: what was being read is lost.
            await self._close_connection()
            self._stopped()
            raise
        await self._ended(error, had_bytes=connection.had_bytes)

    async def _ended(self, error: Exception | None, *, had_bytes: bool) -> None:
        """The attempt has ended by itself: get ready for the next one, or raise."""
        await self._close_connection()
        end = self._attempts.ended(error, had_bytes=had_bytes, retry=self._decoder.retry)
        if isinstance(end, trio.EndOfChannel):
            self._end = trio.EndOfChannel()
        elif end is not None:
            self._end = trio.ClosedResourceError(f"this EventSource has ended: {end}")
        self._attempts.tell(error)
        if end is not None:
            await self._close_own_client()
            raise end

    def _stopped(self) -> None:
        """The attempt has ended by the program's own will: cancelled, or closed."""
        if self._end is None and not self._attempts.repeat:
            self._end = trio.ClosedResourceError("receiving was cancelled, and may not be repeated")
        self._attempts.stopped()
        self._attempts.tell(None)

    async def _close_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.aclose()

    async def _close_own_client(self) -> None:
        if self._own_client is not None:
            await close_within(self._own_client, "the client of an EventSource")

    # As the source of a `Stream`.

    #: The stream's headers wait until the event source is open.
    holds_headers = True

    async def run(self, sink: Sink) -> None:
        """Pass every event on, then close: what a `Stream` calls that has this as its source."""
        try:
            await self.connect()
            if isinstance(self._end, trio.EndOfChannel):
                sink.no_content()
                return
            sink.ready()
            await relay_events(self, sink)
        except (UpstreamStatusError, ContentTypeError) as exc:
            # For whoever runs the proxy; a client is never shown what an upstream says.
            log_excerpt(f"{exc.url} said", exc.body)
            raise
        finally:
            await self.aclose()

    def close_unawaited(self) -> bool:
        """Close without a Trio run, which only works where nothing is open yet."""
        return self._connection is None and self._own_client is None
