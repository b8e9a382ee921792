"""`EventSource`: the events of a URL, over as many connections as it takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self, final

import trio

from ..codec import ServerSentEvent
from ..codec.decoder import DEFAULT_MAX_EVENT_BYTES
from ..codec.readings import ReadAs
from ..errors import ContentTypeError, EventTooLargeError, TrioStreamError, UpstreamStatusError
from ..privacy import log_excerpt, shown_url
from ..stream.source import HeadersWaitFor, Sink
from ..stream.source.dropping import incomplete
from ..stream.source.relay import relay_events
from .connecting.attempts import Attempts, Observer
from .connecting.connection import Connection
from .connecting.connector import IDLE_TIMEOUT, Connector, Headers, make_body
from .connecting.next_request import NextRequest, Requests
from .connecting.reconnect import ReconnectPolicy
from .given import check_manner, check_place, check_request, check_times
from .incoming import Incoming
from .ready_state import ReadyState
from .receiver import OneReceiver

__all__ = ["EventSource"]


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
      reconnect: whether to repeat the request once its stream has ended. None is yes for GET or
        with ``next_request``, else no: what a POST does must not silently be done twice.
      next_request: for servers that are not resumed by ``Last-Event-ID``: called before each
        request but the first with the `StreamRequest` that would be made and the last event, or
        None; returns the one to make, or None when there is no more. Sync or async.
      policy: how long to wait in between, and when to give up.
      idle_timeout: seconds without a byte, comments included, after which a connection is given
        up. None waits for ever.
      answer_timeout: seconds that a server may take to answer. None is as long as ``idle_timeout``,
        for those that think before they do.
      read_as: what answers are taken, and read as: ``"strict"`` takes event streams alone, as
        browsers do; ``"sse"``, ``"json"``, ``"lines"`` and ``"text"`` take any, whatever it says
        that it is; ``"auto"`` goes by content type and first bytes. What is no event stream becomes
        events of its values, lines or chunks.
      max_event_bytes: the most data an event may have; a larger one is an `EventTooLargeError`.
      max_line_bytes: the longest line; None is the same.
      observer: called with an `AttemptOpened` or `AttemptEnded` whenever one happens. Sync.
      on_comment: called with the text of each comment. Sync.

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
        next_request: NextRequest | None = None,
        policy: ReconnectPolicy | None = None,
        idle_timeout: float | None = IDLE_TIMEOUT,
        answer_timeout: float | None = None,
        read_as: ReadAs = "strict",
        max_event_bytes: int = DEFAULT_MAX_EVENT_BYTES,
        max_line_bytes: int | None = None,
        observer: Observer | None = None,
        on_comment: Callable[[str], None] | None = None,
    ) -> None:
        check_request(url, method, content, headers)
        check_manner(reconnect, next_request, policy, observer)
        check_times(idle_timeout, answer_timeout)
        check_place(last_event_id, read_as)
        self._url, method = str(url), method.upper()
        body, defaults = make_body(json, content)
        self._requests = Requests(self._url, body, next_request)
        chosen: list[Headers] = [defaults, headers or {}]
        self._connector = Connector(client, method, chosen, idle_timeout, answer_timeout, read_as)
        self._incoming = Incoming(
            max_event_bytes=max_event_bytes,
            max_line_bytes=max_line_bytes,
            last_event_id=last_event_id,
            on_comment=on_comment,
        )
        if reconnect is None:
            reconnect = method == "GET" or next_request is not None
        self._attempts = Attempts(
            self._url, repeat=reconnect, policy=policy or ReconnectPolicy(), observer=observer
        )
        self._connection: Connection | None = None
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
        return self._incoming.decoder.retry

    @property
    def last_event_id(self) -> str | None:
        """The id in force after the last event that was received; None while there was none.

        What has not been received yet does not count, so that a program that is started anew with
        this as its ``last_event_id`` misses nothing.
        """
        return self._incoming.last_event_id

    def __repr__(self) -> str:
        return f"<trio_stream.EventSource {shown_url(self._url)} {self.state}>"

    # Receiving.

    async def connect(self) -> None:
        """Connect, if it isn't connected; ``async with`` does it.

        Returns when the stream is open, or when the server has said that there is none (204). What
        it raises is what `receive` raises.
        """
        await self._receiver.checkpoint()
        with self._receiver.enter():
            while self.state is ReadyState.CONNECTING:
                await self._connect()
        if not isinstance(self._end, trio.EndOfChannel):
            self._receiver.refuse_at(self._end)

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
        await self._receiver.checkpoint()
        events = self._incoming.events
        if not events:
            with self._receiver.enter():
                while not events:
                    await self._advance()
        return self._incoming.pop()

    def receive_nowait(self) -> ServerSentEvent:
        """An event that has arrived and waits; raises `trio.WouldBlock` if there is none."""
        if not self._incoming.events:
            self._receiver.refuse_at(self._end)
            raise trio.WouldBlock
        return self._incoming.pop()

    async def arrive(self) -> None:
        """Wait until an event waits, or `last_event_id` or `retry` changes; raises as `receive`."""
        await trio.lowlevel.checkpoint()
        place = self.last_event_id, self.retry
        with self._receiver.enter():
            while not self._incoming.events and place == (self.last_event_id, self.retry):
                await self._advance()

    async def aclose(self) -> None:
        """Close the connection, and the event source for good. Idempotent.

        A task that is receiving gets `trio.ClosedResourceError`.
        """
        if not isinstance(self._end, trio.ClosedResourceError):
            self._end = trio.ClosedResourceError("this EventSource was closed")
        self._incoming.discard()
        await self._receiver.evict()
        if self._connection is not None:
            await self._close_connection()
            self._stopped()
        await self._connector.aclose()
        await trio.lowlevel.checkpoint()

    async def __aenter__(self) -> Self:
        self._receiver.check()
        try:
            await self.connect()
        except BaseException:
            await self.aclose()
            raise
        return self

    # Connecting, reading, and what follows.

    async def _advance(self) -> None:
        """Take one step towards the next event."""
        self._receiver.refuse_at(self._end)
        if self._connection is None:
            await self._connect()
        else:
            await self._read(self._connection)

    async def _connect(self) -> None:
        await trio.sleep_until(self._attempts.next_at)
        incoming = self._incoming
        request = await self._requests.make(incoming.decoder.last_event_id, incoming.last_event)
        if request is None:
            self._end = trio.EndOfChannel()
            await self._connector.aclose()
            return
        self._attempts.begin(request.url)
        try:
            connection = await self._connector.connect(request)
        except (self._connector.http.RequestError, trio.TooSlowError, TrioStreamError) as exc:
            await self._ended(exc, had_bytes=False)
            return
        except BaseException:
            self._stopped()
            raise
        if connection is None:
            self._end = trio.EndOfChannel()
            self._stopped()
            await self._connector.aclose()
            return
        self._connection = connection
        incoming.open(connection.kind, connection.url)
        self._attempts.opened(connection.url, request.last_event_id)

    async def _read(self, connection: Connection) -> None:
        incoming = self._incoming
        error: Exception | None = None
        try:
            more = incoming.has_more
            piece = b"" if more else await connection.read()
            if piece or more:
                self._attempts.is_alive()
                incoming.take(piece)
            else:
                incoming.end()
            self._attempts.events += len(incoming.events)
            if piece or more or incoming.events:
                return
        except EventTooLargeError:
            raise  # which is told; the connection goes on behind it
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
        await self._close_connection(properly=error is None)
        end = self._attempts.ended(error, had_bytes=had_bytes, retry=self.retry)
        if isinstance(end, trio.EndOfChannel):
            self._end = trio.EndOfChannel()
        elif end is not None:
            self._end = trio.ClosedResourceError(f"this EventSource has ended: {end}")
        self._attempts.tell(error, self._incoming.dropped)
        if end is not None:
            await self._connector.aclose()
            raise end

    def _stopped(self) -> None:
        """The attempt has ended by the program's own will: cancelled, or closed."""
        if self._end is None and not self._attempts.repeat:
            self._end = trio.ClosedResourceError("receiving was cancelled, and may not be repeated")
        self._attempts.stopped()
        self._attempts.tell(None, self._incoming.dropped)

    async def _close_connection(self, *, properly: bool = False) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._incoming.close(properly=properly)
            await connection.aclose()

    # As the source of a `Stream`.

    #: The stream's headers wait until the event source is open.
    headers_wait_for: HeadersWaitFor = "ready"

    async def run(self, sink: Sink) -> None:
        """Pass every event on, then close: what a `Stream` calls that has this as its source."""
        try:
            await self.connect()
            if isinstance(self._end, trio.EndOfChannel):
                sink.no_content()
                return
            sink.ready()
            try:
                await relay_events(self, sink)
            finally:
                sink.note_dropped(self._incoming.dropped)
            if (error := incomplete(self._url, self._incoming.dropped)) is not None:
                raise error
        except (UpstreamStatusError, ContentTypeError) as exc:
            # For whoever runs the proxy; a client is never shown what an upstream says.
            log_excerpt(f"{exc.url} said", exc.body)
            raise
        finally:
            await self.aclose()

    def close_unawaited(self) -> bool:
        """Close without a Trio run, which only works where nothing is open yet."""
        return self._connection is None and not self._connector.has_own_client
