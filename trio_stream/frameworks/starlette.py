"""For FastAPI, and for Starlette where a response must be a `starlette.responses.Response`.

::

    from trio_stream.frameworks.starlette import StreamResponse

    @app.get("/ticks", response_class=StreamResponse)
    async def ticks() -> StreamResponse:
        return StreamResponse(Stream(numbers(), event="tick"))
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response

from ..checks import check_callable, check_kind
from ..stream import Stream
from ..stream.options.options import check_status
from .headers import adding_headers

if TYPE_CHECKING:
    from starlette.background import BackgroundTask
    from starlette.types import Receive, Scope, Send

__all__ = ["StreamResponse"]


class StreamResponse(Response):
    """A `Stream` as Starlette's and FastAPI's kind of response.

    The stream answers the request itself, with its own status and headers. What is set on this
    object, by ``headers[...]``, ``set_cookie`` or ``status_code``, is added to them.

    Args:
      stream: what to answer with; not served yet.
      background: run after the stream has ended, however it ended but for a failure.
      status_code: in place of the stream's own, unless it fails before its first byte; 200 leaves
        it to the stream.
    """

    #: For FastAPI's OpenAPI. What goes out is the stream's own.
    media_type = "text/event-stream"

    def __init__(
        self, stream: Stream, background: BackgroundTask | None = None, status_code: int = 200
    ) -> None:
        check_kind("stream", stream, Stream, "a Stream")
        check_callable("background", background, "is awaited", takes=0, or_none=True, awaited=True)
        # Without Starlette's own constructor, which would render a body and its length.
        self.stream = stream
        self.status_code: int = stream.status if status_code == 200 else check_status(status_code)
        self.background = background
        self.body = b""
        self.raw_headers: list[tuple[bytes, bytes]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        status = {self.stream.status: self.status_code}
        await self.stream(scope, receive, adding_headers(send, self.raw_headers, status))
        if self.background is not None:
            await self.background()
