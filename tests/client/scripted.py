"""A scripted HTTP server on raw streams: it answers as told, also as no server should.

Over memory, so that a test's clock may jump, or over TCP. Httpx's and httpcore's own code is used
in both cases.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import httpcore
import httpx
import trio
import trio.testing

EVENT_STREAM = {"content-type": "text/event-stream"}


@dataclass
class Request:
    """What a client asked."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes = b""
    #: When, by Trio's clock.
    at: float = field(default_factory=trio.current_time)


class Exchange:
    """One connection: the request that came over it, and ways to answer."""

    def __init__(self, stream: trio.abc.Stream, request: Request) -> None:
        self.stream = stream
        self.request = request

    async def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        await self.stream.send_all(data)

    async def head(self, status: str = "200 OK", **headers: str) -> None:
        """Send a response's status line and headers; the body ends with the connection."""
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in fields.items())]
        await self.send("\r\n".join([*lines, "connection: close", "", ""]).encode())

    async def events(self, body: bytes = b"") -> None:
        """Open an event stream and send the beginning of its body."""
        await self.head(content_type="text/event-stream")
        await self.send(body)

    async def until_closed(self) -> None:
        """Wait until the client closes the connection."""
        while await self.stream.receive_some():
            pass


Script = Callable[[Exchange], Awaitable[None]]


def events(body: bytes) -> Script:
    """Answer with an event stream of these bytes, and its proper end."""

    async def script(exchange: Exchange) -> None:
        await exchange.events(body)

    return script


def status(line: str, body: bytes = b"", **headers: str) -> Script:
    """Answer with this status, headers and body."""

    async def script(exchange: Exchange) -> None:
        await exchange.head(line, content_length=str(len(body)), **headers)
        await exchange.send(body)

    return script


def redirect(code: int, location: str) -> Script:
    """Answer with a redirect."""
    return status(f"{code} Elsewhere", location=location)


async def no_content(exchange: Exchange) -> None:
    """Answer that there is no more."""
    await exchange.head("204 No Content")


async def reset(exchange: Exchange) -> None:
    """Close without a word."""


def broken(body: bytes) -> Script:
    """Answer with an event stream of these bytes that breaks off."""

    async def script(exchange: Exchange) -> None:
        await exchange.head(content_type="text/event-stream", transfer_encoding="chunked")
        await exchange.send(b"%x\r\n%b\r\n" % (len(body), body))

    return script


class ScriptedServer:
    """Answers its n-th request by the n-th script, and those after the last by the last."""

    def __init__(self, *scripts: Script) -> None:
        self.scripts = scripts
        self.requests: list[Request] = []
        self.open = 0

    @property
    def waits(self) -> list[float]:
        """The seconds between one request and the next."""
        times = [request.at for request in self.requests]
        return [later - earlier for earlier, later in pairwise(times)]

    @property
    def ids(self) -> list[str | None]:
        """What each request had as Last-Event-ID."""
        return [request.headers.get("last-event-id") for request in self.requests]

    async def handle(self, stream: trio.abc.Stream) -> None:
        """Serve one connection."""
        self.open += 1
        try:
            async with stream:
                request = await read_request(stream)
                script = self.scripts[min(len(self.requests), len(self.scripts) - 1)]
                self.requests.append(request)
                await script(Exchange(stream, request))
        except (trio.BrokenResourceError, EOFError):
            pass  # the client went first
        finally:
            self.open -= 1


async def read_request(stream: trio.abc.Stream) -> Request:
    data = b""
    while b"\r\n\r\n" not in data:
        data += await _receive(stream)
    head, _, body = data.partition(b"\r\n\r\n")
    # By UTF-8, as the HTML standard has it for this one header.
    first, *lines = head.decode().split("\r\n")
    pairs = (line.partition(":") for line in lines)
    headers = {name.lower(): value.strip(" \t") for name, _, value in pairs}
    while len(body) < int(headers.get("content-length", 0)):
        body += await _receive(stream)
    method, target, _ = first.split(" ")
    return Request(method, target, headers, body)


async def _receive(stream: trio.abc.Stream) -> bytes:
    data = bytes(await stream.receive_some(2**16))
    if not data:
        raise EOFError
    return data


@asynccontextmanager
async def over_memory(server: ScriptedServer, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client, real but for its sockets, whose every host is this server."""
    async with _background() as nursery:
        transport = httpx.AsyncHTTPTransport(verify=False)  # no certificates to load
        backend = _MemoryBackend(server, nursery)
        transport._pool = httpcore.AsyncConnectionPool(network_backend=backend)
        async with httpx.AsyncClient(transport=transport, trust_env=False, **options) as client:
            yield client


@asynccontextmanager
async def over_tcp(server: ScriptedServer) -> AsyncIterator[str]:
    """The server on a port of its own; its URL."""
    async with _background() as nursery:
        [listener] = await nursery.start(_serve_tcp, server)
        port = listener.socket.getsockname()[1]
        yield f"http://127.0.0.1:{port}"


@asynccontextmanager
async def _background() -> AsyncIterator[trio.Nursery]:
    """A nursery that is cancelled at the end, and whose body's exception is in no group."""
    error: Exception | None = None
    async with trio.open_nursery() as nursery:
        try:
            yield nursery
        except Exception as exc:  # noqa: BLE001
            error = exc
        nursery.cancel_scope.cancel()
    if error is not None:
        raise error


async def _serve_tcp(server: ScriptedServer, *, task_status: Any) -> None:
    await trio.serve_tcp(server.handle, 0, host="127.0.0.1", task_status=task_status)


class _MemoryBackend(httpcore.AsyncNetworkBackend):
    def __init__(self, server: ScriptedServer, nursery: trio.Nursery) -> None:
        self._server = server
        self._nursery = nursery

    async def connect_tcp(self, host: str, port: int, **options: Any) -> Any:
        ours, theirs = trio.testing.memory_stream_pair()
        self._nursery.start_soon(self._server.handle, theirs)
        return _MemoryStream(ours)


class _MemoryStream(httpcore.AsyncNetworkStream):
    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            return bytes(await self._stream.receive_some(max_bytes))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as exc:
            raise httpcore.ReadError(str(exc)) from exc

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        try:
            await self._stream.send_all(buffer)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as exc:
            raise httpcore.WriteError(str(exc)) from exc

    async def aclose(self) -> None:
        await self._stream.aclose()

    def get_extra_info(self, info: str) -> Any:
        return False if info == "is_readable" else None
