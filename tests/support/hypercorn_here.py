"""Hypercorn's own connection in the test's Trio run, down to a socket, so on Trio's mock clock.

The client is at the other end of a pair of Unix sockets: what one side has written the other can
read in the same turn, so a clock that jumps when every task waits does not jump over anything. A
pair by TCP takes its time for that, and is for a clock that moves only when the test says so.
"""

import socket
import ssl
from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import trio
import trustme
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext

from tests.support.raw import send_request
from tests.transport.h2_client import Response, speak_h2
from trio_stream.transport.hypercorn.idle import IdleConnections
from trio_stream.transport.hypercorn.tcp_server import StreamServer
from trio_stream.transport.memory import Application


class Answer(NamedTuple):
    """What a client has got."""

    received: bytes
    #: With the status 200 and a proper end.
    whole: bool


class _TlsContexts(NamedTuple):
    """A server's, and those of its clients, by protocol."""

    server: ssl.SSLContext
    clients: dict[str, ssl.SSLContext]


@cache
def _tls_contexts() -> _TlsContexts:
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(server)
    server.set_alpn_protocols([*_ALPN.values()])
    clients = {protocol: ssl.create_default_context() for protocol in PROTOCOLS}
    for protocol, context in clients.items():
        authority.configure_trust(context)
        context.set_alpn_protocols([_ALPN[protocol]])
    return _TlsContexts(server, clients)


#: The protocols that it speaks, and what TLS calls them.
_ALPN = {"HTTP/1.1": "http/1.1", "HTTP/2": "h2"}
PROTOCOLS = tuple(_ALPN)


#: The server's and the client's.
SocketPair = tuple[trio.socket.SocketType, trio.socket.SocketType]


def tcp_pair(*, room: int | None = None) -> SocketPair:
    """Connected by TCP; with this room in the client's kernel, roughly."""
    client = socket.socket()
    if room is not None:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client.connect(listener.getsockname())
        server, _ = listener.accept()
    return trio.socket.from_stdlib_socket(server), trio.socket.from_stdlib_socket(client)


class HypercornHere:
    """One connection: the server's side is `run`, the client's is `client`.

    Args:
      app: the application.
      pair: the sockets of the server and the client.
      room: bytes that the kernel may hold for the client, roughly; None leaves it as it is.
      tls: whether it is encrypted.
      beside: another connection, whose worker's this is, too.
      graceful_timeout: that of a worker of its own.
      served: whether it is a connection of `serve`, and not of the `hypercorn` command.
    """

    def __init__(
        self,
        app: Application,
        *,
        pair: "SocketPair | None" = None,
        room: int | None = None,
        tls: bool = False,
        beside: "HypercornHere | None" = None,
        graceful_timeout: float = 3,
        served: bool = False,
    ) -> None:
        ours, theirs = pair or trio.socket.socketpair()
        if room is not None:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, room)
        config = Config()
        config.errorlog = None  # what applications raise, which is what they are to do here
        self.client = trio.SocketStream(theirs)
        config.graceful_timeout = graceful_timeout
        self._context: WorkerContext = WorkerContext(None) if beside is None else beside._context
        self._tls = _tls_contexts() if tls else None
        self._stream: Any = trio.SocketStream(ours)
        if self._tls is not None:
            self._stream = trio.SSLStream(
                self._stream, self._tls.server, server_side=True, https_compatible=True
            )
        wrapped: Any = ASGIWrapper(app)  # type: ignore[arg-type]
        make: Any = partial(StreamServer, IdleConnections()) if served else TCPServer
        self._server = partial(make, wrapped, config, self._context, {}, self._stream)

    async def run(self) -> None:
        """Serve the client until it hangs up, or is hung up on."""
        async with trio.open_nursery() as worker:
            worker.start_soon(self._run, worker.cancel_scope)

    async def _run(self, worker: trio.CancelScope) -> None:
        try:
            await self._server().run()
        finally:  # as Trio's `serve_listeners` does
            await trio.aclose_forcefully(self._stream)
        worker.cancel()  # where several could be served, it would wait for others

    def speak(self, protocol: str, stream: trio.abc.Stream | None = None) -> trio.abc.Stream:
        """The client's side as it is encrypted, if it is."""
        stream = stream or self.client
        if self._tls is None:
            return stream
        context = self._tls.clients[protocol]
        return trio.SSLStream(stream, context, server_hostname="localhost", https_compatible=True)

    async def shut_down(self) -> None:
        """What a server's worker does first of all when it is told to end."""
        await self._context.terminated.set()

    async def read(self, protocol: str, flows: Callable[[], trio.Event] | None = None) -> Answer:
        """Ask for ``/``, read all while this event is set, and hang up."""
        stream = self.speak(protocol, self.client if flows is None else Slow(self.client, flows))
        ask = _ask_http2 if protocol == "HTTP/2" else _ask_http1
        try:
            return await ask(stream)
        finally:
            await trio.aclose_forcefully(stream)


#: The server has hung up, or the client has, by somebody else's hand.
_OVER = (trio.BrokenResourceError, trio.ClosedResourceError)


async def _ask_http1(stream: trio.abc.Stream) -> Answer:
    received = b""
    try:
        await send_request(stream, "/", "connection: close")
        while piece := await stream.receive_some():
            received += piece
    except _OVER:
        pass
    good = received.startswith(b"HTTP/1.1 200 ")
    return Answer(received, good and received.endswith(b"\r\n0\r\n\r\n"))


async def _ask_http2(stream: trio.abc.Stream) -> Answer:
    response = Response()
    try:
        async with speak_h2(stream, window=100) as client:
            response = client.responses[await client.request("/")]
            await client.until_over()
    except* _OVER:
        pass
    good = response.headers.get(b":status") == b"200"
    return Answer(response.body, good and response.ended and response.reset is None)


class Slow(trio.abc.Stream):
    """The client's side, which takes nothing while an event is not set."""

    def __init__(self, stream: trio.SocketStream, flows: Callable[[], trio.Event]) -> None:
        self._stream = stream
        self._flows = flows

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        await self._flows().wait()
        return await self._stream.receive_some(max_bytes)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self._stream.aclose()
