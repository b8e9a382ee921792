"""What comes behind a request after which the connection is to close, and what does not come."""

import socket
import struct
from contextlib import suppress

import pytest
import trio

from tests.support.certificates import Certificate
from tests.support.hypercorn_process import Server
from tests.support.raw import read_until, send_request

from .support import Notes, nothing_left, open_stream, read_what_is_left, state

#: The answer of Hypercorn's reader to bytes behind such a request, or to a body that is cut off,
#: may meet the application's: without Hypercorn's lock, the one's end ends the worker then.
CHANCES = 200


async def say_more_than_there_is(server: Server, path: str) -> None:
    connection = await server.connect()
    request = f"GET {path} HTTP/1.0\r\nhost: localhost\r\n\r\n"
    await connection.send_all(request.encode())
    with suppress(trio.BrokenResourceError):
        await connection.send_all(b"x")
    await read_what_is_left(connection)


async def leave_before_the_body(server: Server, path: str) -> None:
    connection = await server.connect()
    await send_request(connection, path, "content-length: 10", method="POST")
    with suppress(trio.BrokenResourceError):
        await connection.send_eof()
    await read_what_is_left(connection)


@pytest.mark.parametrize("app", ["direct", "under_middleware"])
@pytest.mark.parametrize("misbehave", [say_more_than_there_is, leave_before_the_body])
async def test_a_client_that_breaks_off_harms_no_other(
    misbehave: object, app: str, notes: Notes
) -> None:
    async with notes.serve(app) as server:
        other = await open_stream(server, "/ticks")
        before = await state(server)
        paths = ["/count", "/refused"] if app == "direct" else ["/count", "/refused", "/state"]
        for number in range(CHANCES):
            await misbehave(server, paths[number % len(paths)])  # type: ignore[operator]
        assert (await nothing_left(server, before))["pid"] == before["pid"]
        assert await other.receive_some()
        await trio.aclose_forcefully(other)


@pytest.mark.parametrize("kind", ["plain", "tls"])
async def test_a_client_that_resets_a_flood_before_its_next_request_leaves_nothing(
    kind: str, notes: Notes, certificate: Certificate
) -> None:
    """Where Hypercorn writes, it knows that the client has gone, and does not wake its reader."""
    options = {"certificate": certificate} if kind == "tls" else {}
    async with notes.serve("direct", **options) as server:
        before = await state(server)
        for _ in range(20):
            connection = await server.connect()
            await send_request(connection, "/flood")
            await send_request(connection, "/quiet")
            await read_until(connection, b"data: 1")
            reset(connection)
        await nothing_left(server, before)


def reset(connection: trio.abc.Stream) -> None:
    """Leave by a RST, with what has not been read."""
    if isinstance(connection, trio.SSLStream):
        connection = connection.transport_stream
    assert isinstance(connection, trio.SocketStream)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.socket.close()
