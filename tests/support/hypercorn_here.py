"""Hypercorn's own connection in the test's Trio run, down to a socket, so on Trio's mock clock.

The client is at the other end of a pair of Unix sockets: what one side has written the other can
read in the same turn, so a clock that jumps when every task waits does not jump over anything.
"""

import socket

import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext

from tests.support.raw import send_request
from tests.transport.h2_client import speak_h2
from trio_stream.transport.memory import Application

#: The protocols that it speaks, both without TLS.
PROTOCOLS = ("HTTP/1.1", "HTTP/2")


class HypercornHere:
    """One connection: the server's side is `run`, the client's is `client`.

    Args:
      app: the application.
      room: bytes that the kernel may hold for the client, roughly; None leaves it as it is.
    """

    def __init__(self, app: Application, *, room: int | None = None) -> None:
        ours, theirs = trio.socket.socketpair()
        if room is not None:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, room)
        config = Config()
        config.errorlog = None  # what applications raise, which is what they are to do here
        self.client = trio.SocketStream(theirs)
        self._context = WorkerContext(None)
        self._stream = trio.SocketStream(ours)
        self._server = TCPServer(ASGIWrapper(app), config, self._context, {}, self._stream)  # type: ignore[arg-type]

    async def run(self) -> None:
        """Serve the client until it hangs up, or is hung up on."""
        try:
            await self._server.run()
        finally:  # as Trio's `serve_listeners` does
            await trio.aclose_forcefully(self._stream)

    async def shut_down(self) -> None:
        """What a server's worker does first of all when it is told to end."""
        await self._context.terminated.set()

    async def read_whole(self, protocol: str) -> bool:
        """Ask for ``/``, read all, hang up; whether it came with a proper end."""
        if protocol == "HTTP/2":
            async with speak_h2(self.client) as client:
                response = client.responses[await client.request("/")]
                await client.until_over()
            return response.ended and response.reset is None and b"200" in response.headers.values()
        await send_request(self.client, "/", "connection: close")
        received = b""
        try:
            while piece := await self.client.receive_some():
                received += piece
        except trio.BrokenResourceError:
            pass
        await trio.aclose_forcefully(self.client)
        return received.startswith(b"HTTP/1.1 200") and received.endswith(b"\r\n0\r\n\r\n")
