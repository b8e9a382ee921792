"""Two defects of Hypercorn 0.18 by which one connection can end the worker.

What such a connection's task raises goes through the nursery of all connections. It is mended for a
connection that has carried a stream: nothing of Hypercorn is changed for others.
"""

from __future__ import annotations

from types import MethodType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .connection import HypercornConnection

__all__ = ["mend"]


def mend(connection: HypercornConnection) -> None:
    """Let nothing that this connection's client does end the whole worker."""
    if connection.is_http2:
        _take_late_frames(connection.protocol)
    server: Any = connection.server
    if server._close.__func__ is type(server)._close:
        server._close = MethodType(_close_in_turn, server)


async def _close_in_turn(server: Any) -> None:
    """In place of `TCPServer._close`: its `send_eof` takes Hypercorn's lock, as writes do."""
    if server.send_lock.locked():
        # In the middle of a write, perhaps of this very task, which has found the client gone.
        await server.stream.aclose()
        return
    server.send_lock.acquire_nowait()
    try:
        await type(server)._close(server)
    finally:
        server.send_lock.release()


class _Ended:
    """In place of a stream that has ended: takes what is meant for that."""

    async def handle(self, event: object) -> None:
        """Drop it."""


class _Streams(dict[int, Any]):
    """Hypercorn's streams of a connection, with a stand-in for those that have ended."""

    def __missing__(self, stream_id: int) -> _Ended:
        return _Ended()


def _take_late_frames(protocol: Any) -> None:
    """Let an HTTP/2 connection's ended streams do no harm from now on."""
    if type(protocol.streams) is dict:
        protocol.streams = _Streams(protocol.streams)
