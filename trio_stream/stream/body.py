"""The body of a response, as it arrives, undone of its content codings in bounded pieces."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import httpx

from ..codec.content_coding import CodingError, Undo, open_coding
from ..errors import RemoteProtocolError
from .foreign import close_response, http_modules

__all__ = ["ResponseBody"]


class ResponseBody:
    """What a response of httpx or httpx2 brings: an async iterator of bytes, never of none.

    Memory: one piece of what arrived, 64 KiB, and one of what it stands for, 256 KiB (brotli: 512).
    ``aiter_bytes`` has no such bound.

    Args:
      response: may have been read before; its body is there then.
      any_coding: have httpx undo a coding that is not known here, without a bound; else it is a
        `RemoteProtocolError` of this constructor.
    """

    def __init__(self, response: httpx.Response, *, any_coding: bool = False) -> None:
        self._response = response
        self._pieces: Iterator[bytes] = iter(())
        self._undo: Undo | None = None
        if not response.is_stream_consumed:
            try:
                self._undo = open_coding(response.headers.get("content-encoding", ""))
            except RemoteProtocolError:
                if not any_coding:
                    raise
        # A body that has been read has been undone, too.
        known = self._undo is not None
        self._chunks = response.aiter_raw() if known else response.aiter_bytes()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        """The next bytes.

        Raises:
          httpx.RequestError: the connection broke, or the body is not in its content coding. It
            is httpx2's when the client is.
        """
        while True:
            try:
                for piece in self._pieces:
                    return piece
                chunk = await anext(self._chunks)
                self._pieces = iter((chunk,)) if self._undo is None else self._undo(chunk)
            except CodingError as exc:
                raise self._decoding_error(str(exc)) from exc

    def _decoding_error(self, message: str) -> Exception:
        response = self._response
        [http] = [module for module in http_modules() if isinstance(response, module.Response)]
        error: Exception = http.DecodingError(message, request=response.request)
        return error

    async def aclose(self) -> None:
        """Close the response, however much has been read. Shielded and idempotent."""
        await close_response(self._response, self._chunks)
