"""For Quart-Trio, whose responses are bodies that it sends itself.

::

    from trio_stream.frameworks.quart_trio import StreamConnection, StreamResponse

    app = QuartTrio(__name__)
    app.asgi_http_class = StreamConnection

    @app.get("/ticks")
    async def ticks() -> StreamResponse:
        return StreamResponse(Stream(numbers(), event="tick"))

Quart pulls the body out of a response in a task that it cancels when the client leaves. A stream
has more to do than to be pulled: it pings, it tells a client that stalled from one that left, and
it may have to answer 502. So the connection hands it the ASGI call instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, cast

import trio
from quart.wrappers import Response
from quart.wrappers.response import ResponseBody
from quart_trio.asgi import TrioASGIHTTPConnection

from ..checks import check_kind
from ..stream import Stream
from .headers import adding_headers

if TYPE_CHECKING:
    from ..transport.asgi import Message, Receive

__all__ = ["StreamConnection", "StreamResponse"]


class StreamResponse(Response):
    """A `Stream` as Quart's kind of response, for apps with ``asgi_http_class = StreamConnection``.

    The stream answers the request itself, with its own status. ``headers`` are the stream's at
    first; what hooks and the session add to them, or replace, goes out. No ``RESPONSE_TIMEOUT``
    applies. The request context is over when the stream begins, as for any response of Quart's:
    take what the stream needs of ``request`` before.
    """

    # Quart computes neither: the stream is not its to read.
    automatically_set_content_length = False
    implicit_sequence_conversion = False

    def __init__(self, stream: Stream) -> None:
        check_kind("stream", stream, Stream, "a Stream")
        own = [(k.decode("latin-1"), v.decode("latin-1")) for k, v in stream.headers]
        super().__init__(_NotQuarts(), status=stream.status)
        self.headers.clear()
        self.headers.extend(own)
        self.stream = stream
        self.timeout: Any = None
        self._own = frozenset(own)

    def added_headers(self) -> list[tuple[bytes, bytes]]:
        """The headers that are not the stream's own."""
        added = [pair for pair in self.headers if pair not in self._own]
        return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in added]


class StreamConnection(TrioASGIHTTPConnection):
    """Quart-Trio's side of one request, which lets a `StreamResponse` answer by itself."""

    _streaming = False

    async def __call__(self, receive: Any, send: Any) -> None:
        self._client_gone = trio.Event()
        failure: BaseException | None = None
        try:
            await super().__call__(self._keeping_disconnect(receive), send)
        except BaseExceptionGroup as group:
            # Of Quart-Trio's own nursery: the log should name what the producer failed with.
            failure = group if len(group.exceptions) > 1 else group.exceptions[0]
        if failure is not None:
            raise failure  # out here, or its context would be lost to the group

    def _keeping_disconnect(self, receive: Receive) -> Any:
        """A ``receive`` for Quart, which would cancel the stream without a word on why."""

        async def receive_for_quart() -> Message:
            message = await receive()
            while self._streaming:
                # A body that nobody reads any more is dropped: Quart would queue all of it.
                if message["type"] == "http.disconnect":
                    self._client_gone.set()
                    await trio.sleep_forever()  # Quart cancels this once the response has ended
                message = await receive()
            return message

        return receive_for_quart

    async def _receive_disconnect(self) -> Message:
        await self._client_gone.wait()
        return {"type": "http.disconnect"}

    async def _send_response(self, send: Any, response: Any) -> None:
        if not isinstance(response, StreamResponse):
            await super()._send_response(send, response)
            return
        self._streaming = True
        scope = cast("dict[str, Any]", self.scope)
        await response.stream(
            scope, self._receive_disconnect, adding_headers(send, response.added_headers())
        )


class _NotQuarts(ResponseBody):
    """The body that Quart finds when it should not look for one."""

    async def __aenter__(self) -> NoReturn:
        raise RuntimeError(
            "Quart tried to read a StreamResponse itself: "
            "set app.asgi_http_class = trio_stream.frameworks.quart_trio.StreamConnection"
        )

    async def __aexit__(self, *exc_info: object) -> None:
        pass
