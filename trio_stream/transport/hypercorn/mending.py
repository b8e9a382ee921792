"""Defects of Hypercorn 0.18 by which one client can do harm to others, or to itself.

By most of them a connection can end the worker: what its task raises goes through the nursery of
all connections. By another one request can end those beside it. They are mended for a connection
that has carried a stream: nothing of Hypercorn is changed for others.
"""

from __future__ import annotations

import logging
from types import MethodType
from typing import TYPE_CHECKING, Any

import trio

try:
    from hypercorn.events import Closed
except ImportError:  # then no connection is found that could be mended
    pass

from .http3_connection import INTERNAL_ERROR, Http3Connection

if TYPE_CHECKING:
    from .connection import HypercornConnection

__all__ = ["mend"]

log: logging.Logger = logging.getLogger("trio_stream")


def mend(connection: HypercornConnection) -> None:
    """Let nothing that this connection's client does end the whole worker."""
    if isinstance(connection, Http3Connection):
        connection.watch()
        _survive(connection.protocol)
        return
    protocol, server = connection.protocol, connection.server  # type: Any, Any
    if connection.is_http2:
        _take_late_frames(protocol)
        if protocol._flush.__func__ is type(protocol)._flush:
            protocol._flush = _Flush(protocol, server).in_turn
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
        _forget(server)


def _forget(server: Any) -> None:
    """Let go of a connection of which all tasks have ended.

    The server and its protocol know each other: what a crowd leaves would be for the garbage
    collector, which finds it when the next crowd comes.
    """
    if server._task_group._nursery is None:
        del server._close, server.protocol


class _Flush:
    """In place of `H2Protocol._flush`, which takes the bytes first and waits for its turn then.

    Cancelled while it waits, as when its client resets the stream, it would lose them, and with
    them what other streams of the connection have said.
    """

    __slots__ = ("_protocol", "_server")

    def __init__(self, protocol: Any, server: Any) -> None:
        self._protocol = protocol
        self._server = server

    async def in_turn(self) -> None:
        """Send what h2 has to say; cancelled, leave that to another task of the connection."""
        lock: trio.Lock = self._server.send_lock
        try:
            lock.acquire_nowait()  # `async with` would be a checkpoint, also for nothing
        except trio.WouldBlock:
            try:
                await lock.acquire()
            except trio.Cancelled:
                self._protocol.task_group.spawn(self._later)
                raise
        try:
            await self._send()
        finally:
            lock.release()

    async def _later(self) -> None:
        async with self._server.send_lock:
            await self._send()

    async def _send(self) -> None:
        data = self._protocol.connection.data_to_send()
        if data:
            try:
                with trio.CancelScope(shield=True):
                    await self._server.stream.send_all(data)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                await self._server.protocol.handle(Closed())


class _Ended:
    """In place of a stream that has ended: takes what is meant for that."""

    async def handle(self, event: object) -> None:
        """Drop it."""


class _Streams(dict[int, Any]):
    """Hypercorn's streams of a connection, with a stand-in for those that have ended."""

    def __missing__(self, stream_id: int) -> _Ended:
        return _Ended()


def _take_late_frames(protocol: Any) -> None:
    """Let an HTTP/2 or HTTP/3 connection's ended streams do no harm from now on."""
    if type(protocol.streams) is dict:
        protocol.streams = _Streams(protocol.streams)


def _survive(protocol: Any) -> None:
    """Let whatever an HTTP/3 connection's client says be the end of that connection alone."""
    if protocol.handle.__func__ is type(protocol).handle:
        protocol.handle = MethodType(_handle_or_close, protocol)
        _take_late_frames(protocol)


async def _handle_or_close(protocol: Any, event: object) -> None:
    try:
        await type(protocol).handle(protocol, event)
    except Exception as error:  # Hypercorn's own, whatever it is: the worker would end of it
        log.error(
            "an HTTP/3 connection was closed, as Hypercorn failed in it",
            {"version": "3", "error": error},
            exc_info=error,
        )
        protocol.connection._quic.close(error_code=INTERNAL_ERROR)
