"""One connection of an event source: an open response, and its body as it arrives."""

from __future__ import annotations

import httpx
import trio

from ...codec.media_type import Kind
from ...stream.upstream.body import ResponseBody, read_excerpt
from ...stream.upstream.foreign import close_response

__all__ = ["Connection"]


class Connection:
    """An open response and its body, as it arrives.

    Args:
      response: of httpx or httpx2.
      idle_timeout: how many seconds the server may send nothing at all.
    """

    def __init__(self, response: httpx.Response, idle_timeout: float) -> None:
        self.url: str = str(response.url)
        self.had_bytes: bool = False
        #: What the body is read as.
        self.kind: Kind = "sse"
        self._response = response
        self._idle_timeout = idle_timeout
        self._body: ResponseBody | None = None

    def open(self) -> None:
        """Get ready to read.

        Raises:
          RemoteProtocolError: the body is in a content coding that was not asked for.
        """
        self._body = ResponseBody(self._response)

    async def read(self) -> bytes:
        """The next bytes, at least one; none at all after a proper end.

        Raises:
          httpx.RequestError: the connection broke, or the body is not in its content coding, or
            ends before that does. It is httpx2's when the client is.
          trio.TooSlowError: the server sent nothing for ``idle_timeout`` seconds.
        """
        assert self._body is not None
        # Only while it is waited for: whoever is slow to take events is no silent server.
        with trio.move_on_after(self._idle_timeout):
            piece = await anext(self._body, b"")
            self.had_bytes = self.had_bytes or bool(piece)
            return piece
        raise trio.TooSlowError(f"the server sent nothing for {self._idle_timeout:g} s")

    def unread(self, data: bytes) -> None:
        """Give these bytes again, before all others."""
        assert self._body is not None
        self._body.unread(data)

    async def read_excerpt(self) -> str:
        """The beginning of the body as text, as far as it arrives in time. Closes it."""
        return await read_excerpt(self._response)

    async def aclose(self) -> None:
        """Close it, however much has been read. Shielded and idempotent."""
        if self._body is None:
            await close_response(self._response)
        else:
            await self._body.aclose()
