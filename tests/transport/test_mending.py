"""What keeps one connection from harming the worker, or its own tasks: each guard by itself."""

import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import h11
import pytest
import trio
import trio.testing

from tests.serving.test_serve import serving
from tests.support.certificates import Certificate
from tests.support.raw import read_to_end, read_until, send_request
from trio_stream import Stream
from trio_stream.transport.asgi import AsgiTransport, Message, Receive, Scope, Send
from trio_stream.transport.hypercorn import HypercornConnection

from .h2_client import speak_h2
from .support import Notes, nothing_left, state

Look = Callable[[HypercornConnection], Awaitable[None]]


@asynccontextmanager
async def looking(look: Look) -> AsyncIterator[int]:
    """A server of short streams, each of which has ended when its connection is looked at."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        connection = scope.get("extensions", {}).get("trio_stream.connection")
        try:
            await Stream(fail if scope["path"] == "/fail" else ["a"])(scope, receive, send)
        finally:
            if connection is not None:
                await look(connection)

    async with serving(app, bind="127.0.0.1:0") as binds:
        yield int(binds[0].rpartition(":")[2])


async def fail(stream: Stream) -> None:
    await stream.send("begun")
    raise ZeroDivisionError("the producer's own")


async def ask(port: int, path: str = "/") -> bytes:
    async with await trio.open_tcp_stream("127.0.0.1", port) as client:
        await send_request(client, path)
        return await read_to_end(client)


async def test_a_connection_is_closed_by_hypercorns_lock() -> None:
    """So that no write meets the end, which would be an error of the whole worker's."""
    locked = []

    async def look(connection: HypercornConnection) -> None:
        server: Any = connection.server
        send_eof = server.stream.send_eof

        async def watched() -> None:
            locked.append(server.send_lock.locked())
            await send_eof()

        server.stream.send_eof = watched
        await server._close()

    async with looking(look) as port:
        assert (await ask(port)).endswith(b"0\r\n\r\n")
    assert locked[0]


async def test_in_the_middle_of_a_write_it_is_closed_at_once() -> None:
    """By whoever holds the lock, or by another task: neither meets the other."""
    ended = trio.Event()

    async def look(connection: HypercornConnection) -> None:
        server: Any = connection.server

        async def write() -> None:
            async with server.send_lock:
                with pytest.raises(trio.ClosedResourceError):
                    await server.stream.send_all(bytes(2**26))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(write)
            await trio.testing.wait_all_tasks_blocked()
            await server._close()
        ended.set()

    async with looking(look) as port, await trio.open_tcp_stream("127.0.0.1", port) as client:
        await send_request(client, "/")
        with trio.fail_after(30):
            await ended.wait()


async def test_what_is_meant_for_an_http2_stream_that_has_ended_is_dropped() -> None:
    """Hypercorn's own table has only those that run, which it finds as before."""
    looked = trio.Event()

    async def look(connection: HypercornConnection) -> None:
        streams: Any = connection.protocol.streams
        assert connection.http.stream_id not in streams
        await streams[connection.http.stream_id].handle(object())
        running = object()
        streams[99] = running
        assert streams.pop(99) is running
        assert len(streams) == 0
        looked.set()

    async with (
        looking(look) as port,
        speak_h2(await trio.open_tcp_stream("127.0.0.1", port)) as client,
    ):
        response = await client.until_ended(await client.request("/"))
        assert response.ended
        with trio.fail_after(30):
            await looked.wait()


async def test_a_request_that_is_cancelled_while_another_task_writes_ends_alone() -> None:
    """Before its head is out; what the streams beside it say is sent all the same."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/beside":
            await Stream(beat)(scope, receive, send)
            return
        lock = scope["extensions"]["trio_stream.connection"].server.send_lock
        async with lock, trio.open_nursery() as nursery:
            nursery.start_soon(Stream(["a"]), scope, receive, send)
            while not lock.statistics().tasks_waiting:
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()

    async with (
        serving(app, bind="127.0.0.1:0") as binds,
        speak_h2(
            await trio.open_tcp_stream("127.0.0.1", int(binds[0].rpartition(":")[2]))
        ) as client,
    ):
        beside = await client.request("/beside")
        await client.until_more(beside)
        for _ in range(3):
            response = await client.until_ended(await client.request("/cancelled"))
            assert response.headers[b":status"] == b"200"
            assert not response.ended  # but reset
            await client.until_more(beside)


async def beat(stream: Stream) -> None:
    while True:
        await stream.send("beat")
        await stream.wait(0.01)


async def test_a_response_that_breaks_off_lets_hypercorns_reader_go_on_and_end() -> None:
    """Whatever it waits for: woken, it finds no more requests, and then that all is over."""
    states = []

    async def look(connection: HypercornConnection) -> None:
        protocol = connection.protocol
        protocol.connection.receive_data(b"of no interest")
        states.append((protocol.connection.next_event(), protocol.can_read._event.is_set()))
        assert protocol.connection.send(h11.EndOfMessage()) == b""

    async with looking(look) as port:
        response = await ask(port, "/fail")
    assert b"data: begun" in response
    assert not response.endswith(b"0\r\n\r\n")
    assert states == [(h11.NEED_DATA, True)]


async def test_what_hypercorn_keeps_for_the_app_is_gone_with_the_stream() -> None:
    """It waits for room otherwise, and with it the connection."""
    to_app, from_server = trio.open_memory_channel[Message](1)
    transport = AsgiTransport({}, from_server.receive, nobody)
    await to_app.send({"type": "http.request"})
    async with trio.open_nursery() as nursery:
        nursery.start_soon(to_app.send, {"type": "http.disconnect"})
        await trio.testing.wait_all_tasks_blocked()
        transport.close()


async def nobody(message: Message) -> None:
    raise AssertionError("nothing is sent")


@pytest.mark.parametrize("kind", ["plain", "tls"])
async def test_a_client_that_resets_a_flood_leaves_nothing(
    kind: str, notes: Notes, certificate: Certificate
) -> None:
    options = {"certificate": certificate} if kind == "tls" else {}
    async with notes.serve("direct", **options) as server:
        before = await state(server)
        for _ in range(20):
            connection = await server.connect()
            await send_request(connection, "/flood")
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
