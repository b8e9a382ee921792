"""Two defects of Hypercorn 0.18 by which one client ends the worker, mended where they are met.

Hypercorn raises both from a connection's task, through the nursery of all connections. What is
mended is this one connection's: nothing of Hypercorn is changed for others.
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
    """In place of `TCPServer._close`, whose `send_eof` must not meet a write.

    When both a request's reader and its application answer, the reader with a 400, the one that is
    done first closes the connection without Hypercorn's `send_lock`. The other's `send_all`, inside
    that lock, would raise `trio.BusyResourceError`, which nobody catches.
    """
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
    """In place of a stream that has ended: takes what its client still sends."""

    async def handle(self, event: object) -> None:
        """A frame that was under way, or that waited for the reader's turn."""


class _Streams(dict[int, Any]):
    """Hypercorn's streams of a connection, without the KeyError for one that has ended.

    It looks for a DATA frame's stream without a guard, and the KeyError ends the whole worker.
    Not to end a response while h2 expects a body does not suffice: h2 is ahead of Hypercorn's
    reader by all the frames that have come at once.
    """

    def __missing__(self, stream_id: int) -> _Ended:
        return _Ended()


def _take_late_frames(protocol: Any) -> None:
    """Let frames for an HTTP/2 connection's ended streams do no harm from now on."""
    if type(protocol.streams) is dict:
        protocol.streams = _Streams(protocol.streams)
