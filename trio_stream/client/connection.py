"""One connection of an event source: an open response, and its body as it arrives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import trio

from ..errors import RemoteProtocolError
from ..stream.foreign import close_response
from .content_coding import CodingError, Undo, open_coding

__all__ = ["Connection"]


class Connection:
    """An open response and its body, as it arrives.

    Args:
      response: of httpx or httpx2.
      http: the module it comes from.
      idle_timeout: how many seconds the server may send nothing at all.
    """

    def __init__(self, response: httpx.Response, http: Any, idle_timeout: float) -> None:
        self.url = str(response.url)
        self.had_bytes = False
        self._response = response
        self._http = http
        self._idle_timeout = idle_timeout
        self._chunks = response.aiter_raw()
        self._undo: Undo | None = None
        self._pieces: Iterator[bytes] = iter(())

    def open(self) -> None:
        """Get ready to read.

        Raises:
          RemoteProtocolError: the body is in a content coding that was not asked for.
        """
        self._undo = open_coding(self._response.headers.get("content-encoding", ""))

    async def read(self) -> bytes:
        """The next bytes, at least one; none at all after a proper end.

        Raises:
          httpx.RequestError: the connection broke, or the body is not in its content coding. It
            is httpx2's when the client is.
          trio.TooSlowError: the server sent nothing for ``idle_timeout`` seconds.
        """
        assert self._undo is not None
        while True:
            try:
                for piece in self._pieces:
                    self.had_bytes = True
                    return piece
                # Only while it is waited for: whoever is slow to take events is no silent server.
                with trio.move_on_after(self._idle_timeout) as scope:
                    self._pieces = self._undo(await anext(self._chunks))
            except CodingError as exc:
                request = self._response.request
                raise self._http.DecodingError(str(exc), request=request) from exc
            except StopAsyncIteration:
                return b""
            if scope.cancelled_caught:
                raise trio.TooSlowError(f"the server sent nothing for {self._idle_timeout:g} s")

    async def read_excerpt(self, size: int, seconds: float) -> str:
        """The beginning of the body as text, as far as it arrives in time."""
        body = b""
        with trio.move_on_after(seconds):
            try:
                self.open()
                while len(body) < size and (piece := await self.read()):
                    body += piece
            except (self._http.RequestError, trio.TooSlowError, RemoteProtocolError):
                pass  # what there is says more than that there was no more
        return body[:size].decode("utf-8", "replace")

    async def aclose(self) -> None:
        """Close it, however much has been read. Shielded and idempotent."""
        await close_response(self._response, self._chunks)
