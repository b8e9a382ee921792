"""HTTP/3 by hand: aioquic's connection on a UDP socket of Trio's, with windows as a test wants."""

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from math import inf
from typing import Any

import trio
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, H3Event, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import (
    ConnectionTerminated,
    HandshakeCompleted,
    QuicEvent,
    StopSendingReceived,
    StreamReset,
)

from tests.support.certificates import Certificate
from tests.support.hypercorn_process import Server

from .h2_client import Response

MIB = 2**20


async def quic_port(server: Server) -> int:
    """Where a server listens for QUIC, which it says after all else."""
    [port] = await server.process.wait_for_log(r"Running on https://\S+:(\d+) \(QUIC\)")
    return int(port)


@dataclass
class H3Client:
    """One connection, whose task takes what comes and sends what is due."""

    socket: trio.socket.SocketType
    quic: QuicConnection
    responses: dict[int, Response] = field(default_factory=dict)
    #: With which code it was asked to send no more of a request.
    stopped: dict[int, int] = field(default_factory=dict)
    #: Whether the connection has ended, and with which code.
    closed: bool = False
    code: int | None = None
    #: Whether datagrams are neither read nor sent, as if the client had vanished.
    vanished: bool = False
    #: Datagrams that are yet to be lost on their way here.
    losing: int = 0

    def __post_init__(self) -> None:
        self.h3 = H3Connection(self.quic)
        self._changed = trio.Event()
        self._due = trio.CancelScope()
        self._connected = False
        self._granting: set[int] = set()

    async def request(
        self, path: str, *headers: tuple[bytes, bytes], method: str = "GET", end: bool = True
    ) -> int:
        """Send a request; with `end` false its body is still to come."""
        stream_id = self.quic.get_next_available_stream_id()
        pseudo = [
            (b":method", method.encode()),
            (b":scheme", b"https"),
            (b":authority", b"localhost"),
            (b":path", path.encode()),
        ]
        self.responses[stream_id] = Response()
        self.h3.send_headers(stream_id, [*pseudo, *headers], end_stream=end)
        await self.flush()
        return stream_id

    def keep_windows(self) -> None:
        """Open no stream's window by itself any more, as aioquic's connection does."""
        write = self.quic._write_stream_limits

        def write_granted(builder: Any, space: Any, stream: Any) -> None:
            if stream.stream_id in self._granting:
                write(builder, space, stream)

        self.quic._write_stream_limits = write_granted  # type: ignore[method-assign]

    async def grant(self, stream_id: int) -> None:
        """Let the server send as much again as it may have sent so far, if that was most of it."""
        self._granting.add(stream_id)
        await self.flush()
        self._granting.clear()

    async def cancel(self, stream_id: int) -> None:
        """Tell the server that the response is wanted no more."""
        self.quic.stop_stream(stream_id, 0x10C)
        await self.flush()

    async def close(self) -> None:
        self.quic.close()
        await self.flush()

    async def flush(self) -> None:
        for data, address in self.quic.datagrams_to_send(trio.current_time()):
            await self.socket.sendto(data, address)
        timer = self.quic.get_timer()
        self._due.deadline = inf if timer is None else timer

    async def until(self, stream_id: int, wanted: bytes, *, within: float = 60) -> Response:
        """Wait for something in a response's body; with `wanted` empty, for its headers."""
        response = self.responses[stream_id]
        await self.wait(lambda: bool(response.headers) and wanted in response.body, within)
        return response

    async def until_more(self, stream_id: int, *, within: float = 60) -> None:
        """Wait for more of a body, which shows that the stream goes on."""
        response = self.responses[stream_id]
        so_far = len(response.body)
        await self.wait(lambda: len(response.body) > so_far, within)

    async def until_ended(self, stream_id: int, *, within: float = 60) -> Response:
        """Wait until a response has ended, in order or by a reset."""
        response = self.responses[stream_id]
        await self.wait(lambda: response.ended or response.reset is not None, within)
        return response

    async def until_closed(self, *, within: float = 60) -> None:
        with trio.fail_after(within):
            while not self.closed:
                self._changed = trio.Event()
                await self._changed.wait()

    async def until_connected(self, *, within: float = 60) -> None:
        await self.wait(lambda: self._connected, within)

    async def wait(self, condition: Callable[[], bool], within: float = 60) -> None:
        with trio.fail_after(within):
            while not condition():
                assert not self.closed, f"the connection was closed: {self.responses}"
                self._changed = trio.Event()
                await self._changed.wait()

    async def run(self) -> None:
        """Take what comes until it is cancelled; run by `connect_h3`."""
        while True:
            if self.vanished:
                await trio.sleep_forever()
            timer = self.quic.get_timer()
            with trio.CancelScope(deadline=inf if timer is None else timer) as self._due:
                data, address = await self.socket.recvfrom(2**16)
                if self.vanished:
                    continue
                if self.losing:
                    self.losing -= 1
                    continue
                self.quic.receive_datagram(data, address, trio.current_time())
            if self._due.cancelled_caught:
                if self.quic.get_timer() is None:
                    continue
                self.quic.handle_timer(trio.current_time())
            while (event := self.quic.next_event()) is not None:
                self._note_quic(event)
            await self.flush()
            self._changed.set()

    def _note_quic(self, event: QuicEvent) -> None:
        match event:
            case HandshakeCompleted():
                self._connected = True
            case StopSendingReceived(stream_id=stream_id):
                self.stopped[stream_id] = event.error_code
            case StreamReset(stream_id=stream_id):
                self.responses[stream_id].reset = event.error_code
            case ConnectionTerminated():
                self.closed, self.code = True, event.error_code
        for found in self.h3.handle_event(event):
            self._note(found)

    def _note(self, event: H3Event) -> None:
        if isinstance(event, HeadersReceived):
            self.responses[event.stream_id].headers = dict(event.headers)
        elif isinstance(event, DataReceived):
            self.responses[event.stream_id].body += event.data
            self.responses[event.stream_id].ended |= event.stream_ended


@asynccontextmanager
async def connect_h3(
    server: Server, *, window: int = MIB, generous: bool = True
) -> AsyncIterator[H3Client]:
    """A connection that is read all the time, and closed when the block ends.

    Each stream has a window of this size, which is opened again and again only if ``generous``.
    """
    assert server.certificate
    port = await quic_port(server)
    async with speak_h3(port, server.certificate, window=window, generous=generous) as client:
        yield client


@asynccontextmanager
async def speak_h3(
    port: int, certificate: Certificate, *, window: int = MIB, generous: bool = True
) -> AsyncIterator[H3Client]:
    """The same to a port that is known."""
    configuration = QuicConfiguration(
        alpn_protocols=H3_ALPN,
        server_name="localhost",
        max_stream_data=window,
    )
    configuration.load_verify_locations(str(certificate.authority))
    with trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        await udp.bind(("127.0.0.1", 0))
        client = H3Client(udp, QuicConnection(configuration=configuration))
        if not generous:
            client.keep_windows()
        client.quic.connect(("127.0.0.1", port), trio.current_time())
        await client.flush()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.run)
            await client.until_connected()
            yield client
            if not client.vanished and not client.closed:
                await client.close()
            nursery.cancel_scope.cancel()
