"""A client that leaves: at once, unseen, half, or without a word."""

import os
import socket
import struct
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial

import pytest
import trio

from tests.support.certificates import Certificate
from tests.support.hypercorn_process import Server
from tests.support.need import need, unavailable
from tests.support.raw import read_until, send_request

from .h2_client import connect_h2
from .support import (
    NEVER,
    Notes,
    body_of,
    events_of,
    every_transport,
    nothing_left,
    open_stream,
    read_what_is_left,
    state,
    ticks_on,
)

PING = 1.0


@asynccontextmanager
async def open_streams(server: Server, path: str, count: int) -> AsyncIterator[None]:
    """That many other clients with a stream open, read by nobody."""
    streams: list[trio.abc.Stream] = []

    async def open_some(number: int) -> None:
        for _ in range(number):
            streams.append(await open_stream(server, path))

    try:
        async with trio.open_nursery() as nursery:
            for part in range(20):
                nursery.start_soon(open_some, count // 20 + (part < count % 20))
        yield
    finally:
        for stream in streams:
            await trio.aclose_forcefully(stream)


def leave(stream: trio.abc.Stream, how: str) -> None:
    """Close a connection by FIN or by RST."""
    assert isinstance(stream, trio.SocketStream)
    if how == "RST":
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.socket.close()


@every_transport
async def test_producer_and_upstream_are_told_at_once_with_500_other_streams_open(
    transport: str, notes: Notes
) -> None:
    """Not by a ping: none is due before the test has given up. Nor by a look, as `test_leaving`."""
    async with (
        notes.serve(transport, backlog=1000) as server,
        open_streams(server, "/ticks?every=1", 500),
    ):
        for number in range(30):
            stream = await open_stream(server, f"/quiet?ping={NEVER}")
            leave(stream, "FIN" if number % 2 else "RST")
            note = (await notes.wait("finally", "/quiet", count=number + 1))[-1]
            assert note["outcome"] == "disconnected"
        await upstream_is_told(server)


async def upstream_is_told(server: Server) -> None:
    """The upstream of a proxied response sees, though it says nothing, that its client has left."""

    async def upstream(connection: trio.SocketStream) -> None:
        await read_until(connection, b"\r\n\r\n")
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
        await connection.send_all(head + b"data: from upstream\n\n")
        while await connection.receive_some():
            pass
        told.release()
        await connection.aclose()

    told = trio.Semaphore(0)
    async with trio.open_nursery() as nursery:
        serving = partial(trio.serve_tcp, upstream, 0, host="127.0.0.1")
        [listener] = await nursery.start(serving)
        port = listener.socket.getsockname()[1]
        for number in range(20):
            stream = await server.connect()
            await send_request(stream, f"/proxy?port={port}&ping={NEVER}")
            await read_until(stream, b"data: from upstream")
            leave(stream, "FIN" if number % 2 else "RST")
            with trio.fail_after(30):
                await told.acquire()
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("version", ["1.1", "1.1 with TLS", "2"])
async def test_one_of_whom_the_server_does_not_tell_is_noticed_by_the_ping(
    version: str, notes: Notes, certificate: Certificate
) -> None:
    """The kernel is asked whether the client has left; the app here hears of nothing else."""
    options = {"certificate": certificate} if "TLS" in version else {}
    async with notes.serve("deaf", **options) as server:
        before = await state(server)
        for _ in range(3):
            if version == "2":
                async with connect_h2(server) as client:
                    await client.until(await client.request(f"/quiet?ping={PING}"), b"retry: ")
            else:
                stream = await open_stream(server, f"/quiet?ping={PING}")
                await trio.aclose_forcefully(stream)
        ends = await notes.wait("finally", "/quiet", count=3)
        assert all(end["outcome"] == "disconnected" for end in ends)
        await nothing_left(server, before)


@every_transport
async def test_to_hypercorn_a_client_that_half_closes_has_left(
    transport: str, notes: Notes
) -> None:
    async with notes.serve(transport) as server:
        stream = await open_stream(server, f"/ticks?every=0.01&ping={NEVER}")
        assert isinstance(stream, trio.SocketStream)
        await stream.send_eof()
        [end] = await notes.wait("returned")
        assert end["outcome"] == "disconnected"
        assert not (await read_what_is_left(stream)).endswith(b"0\r\n\r\n")


@every_transport
async def test_pipelined_requests_get_their_responses_in_order(
    transport: str, notes: Notes
) -> None:
    async with notes.serve(transport) as server:
        stream = await server.connect()
        for number in (1, 2, 3):
            last = ["connection: close"] * (number == 3)
            await send_request(stream, f"/count?to={number}&every=0.05", *last)
        received = b""
        with trio.fail_after(30):
            while piece := await stream.receive_some():
                received += piece
        heads = received.split(b"HTTP/1.1 200")[1:]
        answers = [body_of(b"HTTP/1.1 200" + head) for head in heads]
        assert [(events_of(body), complete) for body, complete in answers] == [
            (["0"], True),
            (["0", "1"], True),
            (["0", "1", "2"], True),
        ]
        await stream.aclose()


@every_transport
async def test_a_body_may_arrive_while_the_stream_runs(transport: str, notes: Notes) -> None:
    """And need not be over when it ends: what has been sent comes through."""
    async with notes.serve(transport) as server:
        stream = await server.connect()
        await send_request(stream, "/count?to=20&every=0.02", "content-length: 5000", method="POST")
        for _ in range(5):
            await stream.send_all(bytes(1000))
            await trio.sleep(0.02)
        response = await read_until(stream, b"0\r\n\r\n")
        body, complete = body_of(response)
        assert complete
        assert events_of(body) == [str(number) for number in range(20)]
        await stream.aclose()
        begun = time.monotonic()
        unfinished = await server.connect()
        await send_request(unfinished, "/count", "content-length: 1000", method="POST")
        body, complete = body_of(await read_what_is_left(unfinished))
        if transport == "direct":  # which knows that all of the body is still to come
            assert time.monotonic() - begun > 0.9
        assert (events_of(body), complete) == (["0", "1", "2"], True)
        # A client that waits to be asked for its body is asked.
        polite = await server.connect()
        expecting = ("content-length: 5", "expect: 100-continue")
        await send_request(polite, "/count?every=0.1", *expecting, method="POST")
        head = await read_until(polite, b"HTTP/1.1 100 \r\n")
        await polite.send_all(b"hello")
        response = head + await read_until(polite, b"0\r\n\r\n")
        _, _, response = response.partition(b"\r\n\r\n")
        assert events_of(body_of(response)[0]) == ["0", "1", "2"]
        await polite.aclose()


@contextmanager
def vanished(port: int) -> Iterator[None]:
    """Let nothing through from or to this port: no FIN, no RST, no acknowledgement."""
    [iptables] = need("iptables")
    if os.geteuid() != 0:
        unavailable("only root can make a client vanish")

    def change_rules(action: str) -> None:
        for side in ("--sport", "--dport"):
            rule = ["INPUT", "-i", "lo", "-p", "tcp", side, str(port), "-j", "DROP"]
            subprocess.run([iptables, "-w", action, *rule], check=True, timeout=60)

    change_rules("--insert")
    try:
        yield
    finally:
        change_rules("--delete")


@pytest.mark.parametrize("version", ["1.1", "2"])
async def test_one_who_vanishes_without_a_word_is_found_by_pings(
    version: str, notes: Notes
) -> None:
    path = f"/quiet?ping={PING}&stall_timeout=1.5"
    async with notes.serve("direct") as server, connect_h2(server) as client:
        if version == "2":
            await client.until(await client.request(path), b"retry: ")
            stream = client.stream
        else:
            stream = await open_stream(server, path)
        assert isinstance(stream, trio.SocketStream)
        with vanished(stream.socket.getsockname()[1]):
            [end] = await notes.wait("returned")
            assert end["outcome"] == "disconnected"
        if version == "1.1":
            await trio.aclose_forcefully(stream)


async def test_a_producer_that_ignores_its_cancellation_is_named_and_holds_up_nobody(
    notes: Notes,
) -> None:
    async with notes.serve("direct") as server:
        other = await open_stream(server, "/ticks")
        stream = await open_stream(server, "/held")
        leave(stream, "FIN")
        [warning] = await server.process.wait_for_log(r".*held open by a task.*")
        assert "test_disconnect" not in warning
        assert notes.all("finally") == []
        await ticks_on(other, seconds=0)
        async with server.client() as client:
            await client.get("/release")
        [end] = await notes.wait("finally", "/held")
        assert end["outcome"] == "disconnected"
        await other.aclose()
