"""The body of a response, as it arrives, undone of its content codings in bounded pieces."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any

import trio

from ...codec.content_coding import Coding, CodingError, open_coding
from ...errors import RemoteProtocolError
from .foreign import close_response, http_modules

if TYPE_CHECKING:
    import httpx

__all__ = ["ResponseBody", "read_excerpt"]

#: How many bytes are kept of what is no stream, and how many seconds are spent on reading them.
_EXCERPT, _EXCERPT_SECONDS = 2048, 1.0


class ResponseBody:
    """What a response of httpx or httpx2 brings: an async iterator of bytes, never of none.

    Memory: one piece of what arrived, 64 KiB, and one of what it stands for, 256 KiB (brotli: 512).
    ``aiter_bytes`` has no such bound.

    Args:
      response: may have been read before; its body is there then.
      any_coding: have httpx undo a coding that is not known here, without a bound.
      coded: leave it in its coding.

    Raises:
      RemoteProtocolError: it is in a coding that cannot be undone.
    """

    def __init__(
        self, response: httpx.Response, *, any_coding: bool = False, coded: bool = False
    ) -> None:
        self._response = response
        self.coded = coded
        self._pieces: Iterator[bytes] = iter(())
        self._coding: Coding | None = None
        if not coded and not response.is_stream_consumed:
            try:
                self._coding = open_coding(response.headers.get("content-encoding", ""))
            except RemoteProtocolError:
                if not (any_coding and _is_undone_by_client(response)):
                    raise
        # A body that has been read has been undone, too.
        known = coded or self._coding is not None
        self._chunks = response.aiter_raw() if known else response.aiter_bytes()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        """The next bytes.

        Raises:
          httpx.RequestError: the connection broke, or the body is not in its content coding, or
            ends before that does. It is httpx2's when the client is.
        """
        while True:
            try:
                for piece in self._pieces:
                    return piece
                chunk = await anext(self._chunks, None)
                if chunk is None:
                    self._end()
                    raise StopAsyncIteration
                self._pieces = iter((chunk,)) if self._coding is None else self._coding.undo(chunk)
            except CodingError as exc:
                raise self._decoding_error(str(exc)) from exc

    def unread(self, data: bytes) -> None:
        """Give these bytes again, before all others."""
        if data:
            self._pieces = chain((data,), self._pieces)

    def _end(self) -> None:
        coding, self._coding = self._coding, None
        if coding is not None:
            coding.end()

    def _decoding_error(self, message: str) -> Exception:
        response = self._response
        error: Exception = _module_of(response).DecodingError(message, request=response.request)
        return error

    async def aclose(self) -> None:
        """Close the response, however much has been read. Shielded and idempotent."""
        await close_response(self._response, self._chunks)


async def read_excerpt(response: httpx.Response) -> str:
    """The beginning of a response's body as text, as far as it arrives in time; closes it."""
    text = b""
    body = None
    with trio.move_on_after(_EXCERPT_SECONDS):
        try:
            body = ResponseBody(response)
            async for piece in body:
                text += piece
                if len(text) >= _EXCERPT:
                    break
        except _peers_errors():
            pass  # what there is says more than that there was no more
    await (close_response(response) if body is None else body.aclose())
    return text[:_EXCERPT].decode("utf-8", "replace")


def _peers_errors() -> tuple[type[Exception], ...]:
    return (RemoteProtocolError, *(module.RequestError for module in http_modules()))


def _module_of(response: httpx.Response) -> Any:
    [http] = [module for module in http_modules() if isinstance(response, module.Response)]
    return http


def _is_undone_by_client(response: httpx.Response) -> bool:
    """Whether httpx undoes these codings. It leaves those that it does not know as they are."""
    names = [name.strip().lower() for name in response.headers["content-encoding"].split(",")]
    return all(name in ("", "identity") or _knows(_module_of(response), name) for name in names)


def _knows(http: Any, coding: str) -> bool:
    try:
        # In no coding do these bytes stand for anything.
        http.Response(200, headers={"content-encoding": coding}, content=b"\xff" * 8)
    except http.DecodingError:
        return True
    return False
