"""`Stream`: the handle that users hold; what it handles is its `StreamState`."""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack, final

import trio

from ..checks import check_callable, check_in_its_run, check_seconds
from ..codec import EncodedEvent
from .core.state import StreamState
from .core.statistics import StreamStatistics, statistics_of
from .ending.ended import counted_name
from .life.producer import produce
from .life.serving import answer, last_event_id
from .life.value import Entered, StreamValue
from .options.farewell import EventName
from .options.options import StreamKeywords, StreamKind, StreamOptions, default_options
from .outcome import Outcome
from .registry import current_registry
from .returned import Returned
from .source import NoSource
from .streamable import Streamable
from .writing.sender import Sender
from .writing.together import NotSent, send_to_all

if TYPE_CHECKING:
    from ..transport.asgi import Receive, Scope, Send

__all__ = ["Stream"]


@final
class Stream(Sender, NoSource, Returned):
    """A stream of events to one client, with a nursery and a bounded channel of its own.

    A `Stream` is an ASGI application for one request: return it from an endpoint, or call it with
    ``scope, receive, send``. Or enter it, ``async with stream``, and read `value`.

    Args:
      source: what to stream. A callback that takes the stream, sync or async, and returns None or
        a source, or is a generator; an iterable (one that may block runs in a worker thread); an
        async iterable; a Trio receive channel or receive stream; a streaming response of httpx or
        httpx2; an awaitable or an async context manager of any of these; or None, for a stream
        into which whoever holds it sends. The stream owns it and closes it.
      event: the name of events that have none of their own, or a function that makes it of an item,
        ``lambda item: item.type``, and returns a `str` or None; of an event it gets the data.
      retry: milliseconds that clients should wait before they reconnect. Goes out when it changes.
        None begins with the browsers' 3000; False begins and ends without any, for clients that
        choke on it, such as Gemini's.
      retry_jitter: how much of `retry` is added to it at random, for each client anew, so that not
        all come back at once after a crash. 1 is up to as much again; 0 tells all the same.
      format: ``"sse"``, ``"ndjson"``, ``"text"`` or ``"bytes"``. Only ``"sse"`` has event, id,
        retry and comments; ``"text"`` and ``"bytes"`` have no ping either.
      ping: seconds of silence before a comment is sent, so that proxies keep the connection and a
        client that vanished is found out. None turns it off. 8: no proxy tried calls less silence.
        With ``"ndjson"`` it is a blank line, which many readers fail at: sent only if it is given.
        Each stream's is up to a fifth sooner, so that not all who came together ping together.
      ping_event: an event, or ``(stream) -> event or None``, sent instead of that comment, which no
        page can see: for one that watches for silence. ``ping`` is its name if it has none.
      first_event_timeout: seconds the producer may take to its first event; then it is cancelled as
        ``late``, with a 504 while no headers are out. None waits as long as it takes.
      idle_timeout: seconds it may be silent between events, and before the first unless that has a
        time of its own; then it is cancelled as ``idle``. A client's slowness is no silence.
      flush_every: seconds between two writes at least: what comes faster, as tokens do, gathers and
        goes out together, in its order. The first goes at once, and so does the end. What gathers
        is bounded by `buffer`: a source that sends more in that time waits for the next write.
      stall_timeout: seconds a client may take no byte while a write is unfinished. None waits for
        ever. 30 outlasts a train's tunnel.
      buffer: events that may wait for the client; `send` waits for room beyond that.
      buffer_bytes: bytes that may wait; one larger event is always let in.
      max_duration: seconds after which the stream ends, plus or minus 10 %.
      expires_at: Unix time, in seconds, at which it ends at the latest: a token's expiry.
      ids: called for the id of each event that has none.
      error_event: an event, or ``(exception) -> event or None``, sent when the producer fails; one
        that is late or idle has failed by a `trio.TooSlowError`.
      error_end: how the response ends behind that event: ``"broken"`` or ``"proper"``.
      error_answer: an `ErrorAnswer`, or ``(exception) -> ErrorAnswer or None``, instead of a 502,
        504 or 500 when it fails before anything was sent; `ErrorAnswer` passes a status on.
      drain_over: seconds over which a server that shuts down ends its streams, one after another.
      drain_timeout: seconds the producer may go on after that, once it is its stream's turn.
      farewell: how the response ends at shutdown or when its time is over: ``"proper"``;
        ``"broken"``, which clients can tell; ``"auto"``: proper for an EventSource, which comes
        back after any end, and a GET without ``Accept``, else broken.
      farewell_event: an event, or ``(stream) -> event or None``, sent before that end.
      principal: whose it is, any text or number: for `Broker.disconnect`, `open_streams`, limits.
      authorize: ``(scope) -> verdict``, sync or async, before it opens. Text is its principal, True
        is yes; a status (401, 403), a `Refusal` or None, a 403, is answered instead. A stream that
        is entered has no request, and is refused with it.
      recheck: seconds, plus or minus 10 %, after which `authorize` is asked again: a refusal ends
        the stream, and so does another principal, unless there was none; while it raises, or takes
        as long, the stream goes on.
      limits: how many streams may be open at once; shared between streams. They ask about a
        request, as `authorize` does.
      hooks: a `StreamHooks`: what is called when it opens, its first byte goes out, it ends.
      on_end: called with the stream once all of it has ended; what it raises is logged.
      label: the name that it is counted and logged under, one for many streams. None: its route's
        template, where the framework says that.
      hold_headers: whether headers wait until something is sent, at most for `ping` seconds, so
        that a failure before that is a status. None: for what is awaited or entered and, unless an
        EventSource asks, for what is lazy: generators, async iterables, callbacks.
      status: the response's status; one with a body.
      headers: additional or replacing response headers, a mapping or pairs.
      tell_id: how the client learns the stream's id, for ``publish(but=)``: ``"header"``, which is
        ``X-Stream-Id``, or ``"event"``, the first one, ``stream``; None: the stream has none.
      compress: content codings it may be sent in, the favourite first: ``("gzip", "zstd")``, or
        ``"auto"``. None, as sizes can tell secrets beside what an attacker chooses: as it is.
        ``"upstream"``, for ``"bytes"``: a response stays in the coding in which it comes.
      read_as: what an upstream's response is, whatever it says: ``"sse"``, ``"json"``, ``"lines"``,
        or ``"text"`` in chunks. ``"strict"`` goes by its content type alone, None, as ``"auto"``,
        by its first bytes where that does not tell. What is none of them is a 502.
      max_event_bytes: the largest event, line or value of a response.
      relay_retry: whether an upstream's `retry`, between 500 and 3,600,000, is for our clients too.

    Memory: ``buffer_bytes``, or one larger event, waits at most, plus an unfinished write of that.

    Raises:
      TypeError, RuntimeError: a source that cannot be streamed, or somebody has read already.
      TypeError, ValueError: a keyword that does not fit the format, or out of its range.
    """

    __slots__ = ("__weakref__", "_entered")

    def __init__(
        self,
        source: Callable[[Stream], Any] | Streamable | None = None,
        *,
        event: EventName | None = None,
        retry: int | Literal[False] | None = None,
        **options: Unpack[StreamKeywords],
    ) -> None:
        if isinstance(source, StreamKind):
            kind, source = source, source.callback
            checked, event, retry = kind.options, kind.event, kind.retry
        else:
            checked = StreamOptions.checked(**options) if options else default_options()
        self._state = StreamState(source, checked, weakref.ref(self))
        self._entered: Entered | None = None
        self.event = event
        self.retry = retry

    def __del__(self) -> None:
        # Also called when the constructor has raised: the slot may be empty.
        state: StreamState | None = getattr(self, "_state", None)
        if state is not None and not state.close_unserved():
            text = f"{self!r} was never served, and its source cannot be closed without awaiting: "
            text += "serve it, or enter it with `async with`"
            warnings.warn(text, ResourceWarning, source=self, stacklevel=1)

    @property
    def id(self) -> str | None:
        """What others may call this stream by, if it tells that its client: see ``tell_id``."""
        return self._state.id

    @property
    def principal(self) -> str | None:
        """Whose it is, if that is known: what `authorize` says, first or when asked again."""
        return self._state.principal

    @staticmethod
    def send_to_all_nowait(streams: Iterable[Stream], event: EncodedEvent) -> NotSent:
        """Send one event to each of these that has room, at a topic's speed, and wait for none.

        Returns those that have not got it. 2,000 streams take some 10 ms.

        Raises:
          TypeError: it is no `EncodedEvent`, or not in a stream's format. Then none has got it.
        """
        if isinstance(streams, Stream):
            raise TypeError("streams are several, as in a list: one sends by its own send_nowait")
        return send_to_all((getattr(stream, "_state", stream) for stream in streams), event)

    # The nursery.

    async def wait(self, seconds: float) -> None:
        """`trio.sleep`, for less processor time, for whoever has the stream at hand."""
        check_seconds("seconds", seconds, zero=True)
        await current_registry().sleep(seconds)

    @property
    def nursery(self) -> trio.Nursery:
        """The stream's own nursery: what is started there ends with the stream, always.

        Raises:
          RuntimeError: the stream is not served or entered yet.
        """
        return self._state.tasks.opened()

    def start_soon(
        self, async_fn: Callable[..., Awaitable[object]], *args: Any, name: object = None
    ) -> None:
        """Start a task in the stream's nursery, once there is one.

        Raises:
          TypeError: what is to be started is no function.
          trio.ClosedResourceError: the stream has ended on this side.
          trio.BrokenResourceError: the client left, or stalled.
        """
        self._check_function(async_fn, len(args))
        self._check_run("stream.start_soon")
        self._state.start_soon((async_fn, args, name))

    async def start(
        self, async_fn: Callable[..., Awaitable[object]], *args: Any, name: object = None
    ) -> Any:
        """Start a task in the stream's nursery and wait for its ``task_status.started()``.

        Raises:
          RuntimeError: the stream is not served or entered yet.
          TypeError, trio.ClosedResourceError, trio.BrokenResourceError: as `start_soon`.
        """
        self._check_function(async_fn, None)  # Trio calls it at once, with a `task_status`
        return await self._state.start((async_fn, args, name))

    def _check_run(self, what: str) -> None:
        if self._state.used and self._state.outcome is None:
            check_in_its_run(what)

    @staticmethod
    def _check_function(async_fn: object, takes: int | None) -> None:
        what = "returns an awaitable, its arguments follow it"
        check_callable("async_fn", async_fn, what, takes=takes, awaited=True)

    # Its end, and what is known about it.

    def close(self) -> None:
        """End the stream at once: queued events still go out, its tasks are cancelled.

        Idempotent, and not a checkpoint. Of an open one to be called in its Trio run alone.
        """
        self._check_run("stream.close")
        self._state.end(Outcome.CLOSED)

    @property
    def draining(self) -> trio.Event:
        """Set when the server shuts down, once it is this stream's turn: see ``drain_over``.

        The producer has ``drain_timeout`` seconds to finish.
        """
        state = self._state
        return state.drain_event(over=state.outcome is Outcome.SHUTDOWN)

    @property
    def outcome(self) -> Outcome | None:
        """How the stream ended, or None while it has not; set before the producer is cancelled."""
        return self._state.outcome

    @property
    def label(self) -> str | None:
        """What it is counted as: its ``label``, or its route's template, where that is known."""
        return counted_name(self._state)

    @property
    def status(self) -> int:
        """The response's status, as it was given, or 200."""
        return self._state.options.status

    @property
    def headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """The response's headers, its format's and those that were given; names in lower case."""
        return self._state.options.headers_of(self._state.id)

    @property
    def scope(self) -> Scope | None:
        """The ASGI scope of the request that it answers, or None before it is served."""
        scope: Scope | None = self._state.scope
        return scope

    @property
    def last_event_id(self) -> str | None:
        """What the client sent as ``Last-Event-ID``, or None; None also before it is served.

        Where there is no such header, the query parameter ``last_event_id`` or ``lastEventId``: an
        EventSource cannot set a header on its first request. Untrusted, either way.
        """
        scope = self._state.scope
        return None if scope is None else last_event_id(scope)

    def statistics(self) -> StreamStatistics:
        """Counters, for logs and metrics; a snapshot."""
        return statistics_of(self._state)

    # Being served, or entered.

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request, as an ASGI application, and return when all of it has ended.

        Raises:
          RuntimeError: a second request, an entered stream, or a scope that is not HTTP.
        """
        lifetime = await answer(self._state, scope, receive, send)
        if lifetime is not None:
            async with lifetime:
                await produce(self._state)
                await lifetime.wait_written()

    @property
    def value(self) -> StreamValue:
        """The stream's bytes, for use without a server: ``async for chunk in stream.value``.

        Pull only: no ping, no stall timer, no ``flush_every``; `max_duration`, `expires_at` and the
        timeouts of a silent producer hold, and `Broker.disconnect` ends it. What is about a
        response is for whoever makes one: `status` and `headers`, ``compress``, ``hold_headers``,
        ``error_answer``, and how it ends: no server's shutdown drains it. The stream must have been
        entered.
        """
        if self._entered is None:
            raise RuntimeError("enter the stream first: async with Stream(...) as stream")
        return self._entered.value

    async def __aenter__(self) -> Self:
        state = self._state
        options = {"authorize": state.options.access.authorize, "limits": state.options.limits}
        for name, given in options.items():
            if given is not None:
                raise TypeError(
                    f"{name}= asks about a request, which an entered stream has none of: ask "
                    f"before you enter it, and leave {name}= out"
                )
        state.use_once("use")
        self._entered = Entered(state)
        await self._entered.__aenter__()
        return self

    async def __aexit__(self, *exc_info: Any) -> None:
        assert self._entered is not None
        await self._entered.__aexit__(*exc_info)

    def __repr__(self) -> str:
        state = self._state
        how = state.outcome or ("open" if state.used else "not served yet")
        return f"<trio_stream.Stream {how} at {id(self):#x}>"
