"""Crowds of clients that come and go, some before they have said what they want."""

import socket
import ssl
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
import trio

from tests.support.certificates import Certificate
from tests.support.hypercorn_process import Server
from tests.support.raw import send_request

from .support import Notes, nothing_left, read_what_is_left, state

REQUEST = b"GET /quiet HTTP/1.1\r\nhost: localhost\r\n\r\n"
MIB = 2**20

#: Seconds after which Hypercorn lets go of who has asked for nothing.
KEEP_ALIVE = 0.5


def leave_at_once(connection: socket.socket) -> None:
    pass


def leave_within_the_head(connection: socket.socket) -> None:
    connection.sendall(REQUEST[:20])


def leave_before_the_answer(connection: socket.socket) -> None:
    connection.sendall(REQUEST)


def leave_the_stream(connection: socket.socket) -> None:
    connection.sendall(REQUEST)
    answer = connection.recv(2**16)
    if not answer:
        raise ConnectionError("hung up on before the answer")
    assert answer.startswith(b"HTTP/1.1 200")


def reset_the_stream(connection: socket.socket) -> None:
    leave_the_stream(connection)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def leave_within_the_handshake(connection: socket.socket, context: ssl.SSLContext) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    hello = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        hello.do_handshake()
    connection.sendall(outgoing.read()[:-1])


def leave_the_secure_stream(connection: socket.socket, context: ssl.SSLContext) -> None:
    with context.wrap_socket(connection, server_hostname="localhost") as secure:
        leave_the_stream(secure)


def reset_the_secure_stream(connection: socket.socket, context: ssl.SSLContext) -> None:
    with context.wrap_socket(connection, server_hostname="localhost") as secure:
        reset_the_stream(secure)


async def come_and_go(
    server: Server, ways: list[Callable[[socket.socket], None]], count: int
) -> None:
    """That many clients, each of which leaves in one of these ways; eight at a time."""

    def some(clients: range) -> None:
        for number in clients:
            while not visit(ways[number % len(ways)]):
                pass

    def visit(way: Callable[[socket.socket], None]) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
                connected = time.monotonic()
                way(connection)
        except OSError:
            # It came to ask too late: as on a busy machine, and only there.
            assert time.monotonic() - connected > KEEP_ALIVE
            return False
        return True

    async with trio.open_nursery() as nursery:
        for first in range(8):
            nursery.start_soon(trio.to_thread.run_sync, some, range(first, count, 8))


@pytest.mark.parametrize(("kind", "count"), [("plain", 18_000), ("tls", 2_000)])
async def test_20_000_clients_come_and_go_and_leave_nothing(
    kind: str, count: int, notes: Notes, certificate: Certificate
) -> None:
    ways = [leave_at_once, leave_within_the_head] * 6
    if kind == "tls":
        context = certificate.client_context()
        for secure in (
            leave_within_the_handshake,
            leave_the_secure_stream,
            reset_the_secure_stream,
        ):
            ways.append(partial(secure, context=context))
    else:
        ways += [leave_before_the_answer, leave_the_stream, reset_the_stream]
    options: dict[str, Any] = {"certificate": certificate} if kind == "tls" else {}
    options["keep_alive_timeout"] = KEEP_ALIVE
    async with notes.serve("direct", backlog=4096, **options) as server:
        await come_and_go(server, ways, 2000)  # what Python keeps for the next time, it has then
        await trio.sleep(1)
        before = await state(server)
        rss, grown = before["rss"], []
        for _ in range(3):
            await come_and_go(server, ways, count // 3)
            after = await nothing_left(server, before)
            grown.append(after["rss"] - rss)
            rss = after["rss"]
        # By how many are there at once it may grow in one round; what leaks grows in each.
        assert min(grown) < 8 * MIB / 3
        # Trio forgets deadlines that were taken back when there are 1000 of them, each with its
        # cancel scope; a client leaves a hundred objects to be forgotten.
        assert after["objects"] - before["objects"] < max(2500, count / 6)


async def dribble(stream: trio.abc.Stream) -> None:
    for byte in REQUEST:
        await stream.send_all(bytes([byte]))
        await trio.sleep(0.1)


async def test_a_head_that_never_ends_is_cut_off_by_hypercorn(notes: Notes) -> None:
    """After `keep_alive_timeout`, however it dribbles; a long one with 431."""
    async with notes.serve("direct", keep_alive_timeout=1) as server:
        begun = time.monotonic()
        slow = await server.connect()
        with pytest.raises(trio.BrokenResourceError):
            await dribble(slow)
        assert time.monotonic() - begun > 0.9
        await trio.aclose_forcefully(slow)
    async with notes.serve("direct") as server:
        long = await server.connect()
        with suppress(trio.BrokenResourceError):
            await send_request(long, "/count", f"x-long: {'x' * 100_000}")
        assert (await read_what_is_left(long)).startswith(b"HTTP/1.1 431 ")
        assert notes.all("finally") == []
