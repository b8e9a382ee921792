"""What is written past Hypercorn over TLS: in order with what others write, no record torn."""

import socket
import ssl
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.support.certificates import Certificate
from trio_stream.transport.base import ClientGone
from trio_stream.transport.hypercorn.wire import Wire, find_wire


class Connected(NamedTuple):
    wire: Wire
    ours: trio.SSLStream[Any]
    theirs: trio.SSLStream[trio.SocketStream]

    async def read(self, size: int) -> bytes:
        received = b""
        with trio.fail_after(60):
            while len(received) < size:
                received += await self.theirs.receive_some(size - len(received))
        return received


@pytest.fixture
async def connection(certificate: Certificate) -> AsyncIterator[Connected]:
    """By TLS; its kernel holds little."""
    server, client = trio.socket.socketpair()
    with server, client:
        yield await connect(server, client, certificate)


async def connect(
    server: trio.socket.SocketType, client: trio.socket.SocketType, certificate: Certificate
) -> Connected:
    server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate.certfile, certificate.keyfile)
    ours: trio.SSLStream[Any] = trio.SSLStream(trio.SocketStream(server), context, server_side=True)
    theirs = trio.SSLStream(
        trio.SocketStream(client),
        certificate.client_context(),
        server_hostname="localhost",
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ours.do_handshake)
        nursery.start_soon(theirs.do_handshake)
    await ours.send_all(b"head ")
    wire = find_wire(SimpleNamespace(stream=ours, send_lock=trio.Lock()))  # type: ignore[arg-type]
    assert wire is not None
    connection = Connected(wire, ours, theirs)
    assert await connection.read(5) == b"head "
    return connection


async def test_what_is_sealed_goes_before_whatever_is_written_next(connection: Connected) -> None:
    wire = connection.wire
    send = wire.seal(b"one ")
    assert send is not None
    assert wire.seal(b"too early ") is None
    assert send(b"one ") == 4
    # These are not sent, as where an exception comes between.
    assert wire.seal(b"two ") is not None
    wire.write(b"three ")
    assert wire.seal(b"four ") is not None
    await connection.ours.send_all(b"five ")
    assert await connection.read(24) == b"one two three four five "


async def test_what_the_kernel_does_not_take_goes_out_first_and_whole(
    connection: Connected,
) -> None:
    wire = connection.wire
    event, count, taken = bytes(range(256)) * 40, 0, -1
    while taken:
        send = wire.seal(event)
        assert send is not None
        taken = send(event)
        assert taken in (len(event), 0)  # never a part: that is the outlet's to know
        count += 1
    assert wire.outlet.stuck_since is not None
    assert wire.seal(b"no room") is None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wire.send_all, b"the end")
        assert await connection.read(len(event) * count + 7) == event * count + b"the end"
    assert wire.outlet.stuck_since is None
    assert wire.seal(b"again") is not None


async def test_nothing_is_sealed_while_tls_itself_is_about_to_write(connection: Connected) -> None:
    """It has encrypted then, and what comes after that may not be written before it."""
    wire, sealed, refused = connection.wire, 0, 0
    for _ in range(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(connection.ours.send_all, b"theirs")
            for _ in range(8):
                await trio.lowlevel.checkpoint()
                if (send := wire.seal(b"ours")) is None:
                    refused += 1
                else:
                    sealed += send(b"ours") // 4
        received = await connection.read(len(b"theirs"))
        received += await connection.read(4 * sealed)
        assert received.count(b"theirs") == 1
        assert received.count(b"ours") == sealed
        sealed = 0
    assert refused >= 5


async def test_what_was_torn_is_followed_by_nothing(connection: Connected) -> None:
    wire = connection.wire
    while wire.push(bytes(10_000)):
        pass
    async with trio.open_nursery() as nursery:
        nursery.start_soon(connection.ours.send_all, b"x")
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    with pytest.raises(ClientGone):
        wire.write(b"x")


async def test_after_the_end_of_tls_nothing_is_sealed_and_a_write_tells(
    connection: Connected,
) -> None:
    await connection.ours.aclose()
    assert connection.wire.seal(b"late") is None
    with pytest.raises(ClientGone):
        connection.wire.write(b"late")


async def test_what_was_sealed_for_a_client_that_has_gone_raises(connection: Connected) -> None:
    await connection.theirs.transport_stream.aclose()
    send = connection.wire.seal(b"x")
    assert send is not None
    with pytest.raises(BrokenPipeError):
        send(b"x")
