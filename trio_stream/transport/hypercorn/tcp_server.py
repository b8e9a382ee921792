"""A connection as `serve` runs it: Hypercorn's own, with less in it that only waits.

While a stream is silent, what waits beside it is Hypercorn's reader, for the next request, and that
is a tenth of the memory. Protocols, applications and writes are Hypercorn's.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import trio
from hypercorn.events import Closed, RawData
from hypercorn.trio.tcp_server import MAX_RECV, TCPServer

from .idle import IdleConnections, IdleTimer

if TYPE_CHECKING:
    from hypercorn.config import Config
    from hypercorn.trio.worker_context import WorkerContext
    from hypercorn.typing import AppWrapper, ConnectionState

__all__ = ["StreamServer"]


class StreamServer(TCPServer):
    """Hypercorn's side of a connection.

    Args:
      idle: those of its worker that wait for a request.
    """

    def __init__(
        self,
        idle: IdleConnections,
        app: AppWrapper,
        config: Config,
        context: WorkerContext,
        state: ConnectionState,
        stream: Any,
    ) -> None:
        super().__init__(app, config, context, state, stream)
        idle.begin(config.keep_alive_timeout, context.terminated)
        self.idle_task: Any = IdleTimer(idle)

    async def _read_data(self) -> None:
        if self.config.read_timeout is not None:
            await super()._read_data()
            return
        stream: Any = self.stream
        # In clear from the socket itself: four coroutines of Trio's stream would wait with it.
        socket = stream.socket if type(stream) is trio.SocketStream else None
        while True:
            try:
                if socket is None:
                    data = bytes(await stream.receive_some(MAX_RECV))
                elif (read := _read_nowait(socket)) is not None:
                    data = read
                    await trio.lowlevel.checkpoint()
                else:
                    await trio.lowlevel.wait_readable(socket)
                    continue
            except (trio.ClosedResourceError, trio.BrokenResourceError):
                break
            await self.protocol.handle(RawData(data))
            if not data:
                break
        await self.protocol.handle(Closed())

    async def _close(self) -> None:
        await self.idle_task.stop()
        await super()._close()

    async def _idle_timeout(self) -> None:
        with trio.CancelScope(shield=True):
            await self._initiate_server_close()


def _read_nowait(socket: trio.socket.SocketType) -> bytes | None:
    """What has come, or None; nothing when the client has sent its last.

    Raises:
      trio.BrokenResourceError: it is closed, on this side or the other.
    """
    try:
        return os.read(socket.fileno(), MAX_RECV)
    except BlockingIOError:
        return None
    except OSError as error:
        raise trio.BrokenResourceError("the connection is closed") from error
