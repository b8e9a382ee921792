"""The HTTP clients: which there are, and how to leave their responses."""

from __future__ import annotations

import socket
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import trio

from .http2_reset import reset_stream

if TYPE_CHECKING:
    import httpx

__all__ = ["close_response", "hang_up", "http_modules"]

#: Seconds that a response gets to close; it has nothing to wait for but its turn.
_CLOSE_TIMEOUT = 5.0

#: Pieces of a body that may have arrived before it is left: httpcore reads 64 KiB at a time, which
#: a server may have cut into chunks of a few bytes.
_PIECES_IN_HAND = 2**14


def http_modules() -> list[Any]:
    """httpx and httpx2, as far as the program has imported them."""
    # Only one that has can hold their responses, and a server that has not is spared them.
    found = (sys.modules.get(name) for name in ("httpx", "httpx2"))
    return [module for module in found if hasattr(module, "Response")]  # else a thread is at it


async def close_response(
    response: httpx.Response, chunks: AsyncIterator[bytes] | None = None
) -> None:
    """Close a response in this task, whether its body has been read or not.

    ``chunks`` is what ``response.aiter_bytes()`` or ``aiter_raw()`` returned, if one was called.
    Shielded, and over within 5 s.
    """
    with trio.CancelScope(shield=True, deadline=trio.current_time() + _CLOSE_TIMEOUT):
        if chunks is not None:
            await _cancel_reading(chunks)
        await reset_stream(response)
        await response.aclose()


async def _cancel_reading(chunks: AsyncIterator[bytes]) -> None:
    # The iterator is an async generator around half a dozen others, of httpx and of httpcore. To
    # close the outermost, by `aclose`, leaves the others to the garbage collector. But a read that
    # is cancelled ends all of them, from the inside out, and the connection with them.
    errors = [e for module in http_modules() for e in (module.RequestError, module.StreamError)]
    with trio.CancelScope(shield=True) as scope:
        scope.cancel()
        try:
            for _ in range(_PIECES_IN_HAND):
                await anext(chunks)
        except (StopAsyncIteration, *errors):
            pass  # it had ended before: properly, with an error, or by being closed
    if isinstance(chunks, AsyncGenerator):
        await chunks.aclose()  # a transport that never waits, as in tests, cannot be cancelled


def hang_up(source: object) -> bool:
    """End the connection of a sync response that a thread may be reading; False if there is none.

    Args:
      source: the response, or the stream object of an SDK with a `response`, as openai's.
    """
    response: Any = getattr(source, "response", source)
    if not any(isinstance(response, module.Response) for module in http_modules()):
        return False
    stream = response.extensions.get("network_stream")
    sock = None if stream is None else stream.get_extra_info("socket")
    # Over HTTP/2 the connection is others', too; of a closed response it may be.
    is_own = response.http_version != "HTTP/2" and not response.is_closed
    if not is_own or not isinstance(sock, socket.socket):
        return False
    # Not closed, which would leave a thread that waits for bytes waiting. And the socket's own, not
    # an `SSLSocket`'s, which takes TLS away from under the thread.
    with suppress(OSError):  # the server has been faster
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
    return True
