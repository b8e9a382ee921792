"""A local HTTP/1.1 server whose responses the test writes byte by byte."""

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import trio

Respond = Callable[[trio.SocketStream], Awaitable[None]]


class Upstream:
    """Where it listens, what it was asked, and whether its client hung up."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/"
        self.requests: list[bytes] = []
        self.hung_up = trio.Event()


@asynccontextmanager
async def upstream(respond: Respond, *, unix: Path | None = None) -> AsyncIterator[Upstream]:
    """Serve on a free port; the connection is closed when `respond` returns.

    On a Unix socket there, with Trio's mock clock: what is sent is at once at the other end.
    """
    if unix is None:
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        server = Upstream(listener.socket.getsockname()[1])
    else:
        sock = trio.socket.socket(socket.AF_UNIX)
        await sock.bind(str(unix))
        sock.listen()
        listener, server = trio.SocketListener(sock), Upstream(80)

    async def handle(stream: trio.SocketStream) -> None:
        server.requests.append(await stream.receive_some())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch, stream, nursery.cancel_scope)
            try:
                await respond(stream)
            except trio.BrokenResourceError:
                server.hung_up.set()
            nursery.cancel_scope.cancel()

    async def watch(stream: trio.SocketStream, scope: trio.CancelScope) -> None:
        with suppress(trio.BrokenResourceError):
            while await stream.receive_some():
                pass  # a request's body, which may come behind its head
        server.hung_up.set()
        scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(trio.serve_listeners, handle, [listener]))
        yield server
        nursery.cancel_scope.cancel()


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def head(content_type: str, *more: str, status: str = "200 OK") -> bytes:
    """The head of a chunked response."""
    lines = [f"HTTP/1.1 {status}", f"content-type: {content_type}", "transfer-encoding: chunked"]
    return "".join(f"{line}\r\n" for line in [*lines, *more, ""]).encode()


def answer(content_type: str, *chunks: bytes) -> Respond:
    """A whole response, each chunk a write of its own."""

    async def respond(stream: trio.SocketStream) -> None:
        await stream.send_all(head(content_type))
        for data in chunks:
            await stream.send_all(chunk(data))
            await trio.testing.wait_all_tasks_blocked(0.005)
        await stream.send_all(b"0\r\n\r\n")

    return respond
