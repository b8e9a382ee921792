"""HTTP/2: telling a server that nobody reads its response any longer.

httpcore closes a response that was left early without a word to the server, which goes on sending,
or to its own `h2`, which goes on counting it. So this reaches into httpcore, by attributes that may
not be there: then all is as it was.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import h2.connection
import h2.errors
import h2.exceptions

if TYPE_CHECKING:
    import httpx

__all__ = ["reset_stream"]


async def reset_stream(response: httpx.Response) -> None:
    """Send RST_STREAM for an HTTP/2 response that has not ended."""
    connection = _find_connection(response.stream)
    if connection is None:
        return
    stream_id = response.extensions.get("stream_id")
    stream = connection._h2_state.streams.get(stream_id)
    if stream is None or stream.closed:
        return
    core = sys.modules[type(connection).__module__.partition(".")[0]]  # httpcore, or httpcore2
    # The connection may have ended as well, and then there is nothing to tell.
    ended = (core.NetworkError, core.TimeoutException, core.ProtocolError)
    with suppress(h2.exceptions.ProtocolError, *ended):
        connection._h2_state.reset_stream(stream_id, h2.errors.ErrorCodes.CANCEL)
        await connection._write_outgoing_data(response.request)


def _find_connection(stream: Any) -> Any:
    """Httpcore's connection, below the layers that httpx and httpcore put around its body."""
    for _ in range(8):
        connection = getattr(stream, "_connection", None)
        if isinstance(getattr(connection, "_h2_state", None), h2.connection.H2Connection):
            return connection
        stream = getattr(stream, "_stream", None) or getattr(stream, "_httpcore_stream", None)
    return None
