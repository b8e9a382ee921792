"""A large event for many clients who do not read: the server holds it once, not for each."""

import re
import socket
from itertools import chain
from pathlib import Path

import pytest
import trio

from tests.support.hypercorn_process import Server, hypercorn
from tests.support.raw import read_until, send_request
from tests.transport.support import body_of
from trio_stream import open_broker
from trio_stream.broker.contract.topics import EARLIEST, Selection
from trio_stream.transport.base import LARGE

CLIENTS = 40
SIZE = 2**22
#: What is published, in this order: what is small does not take the large ones along.
SIZES = [10, SIZE, 10, SIZE, 20]


async def subscribe(server: Server, path: str) -> trio.SocketStream:
    stream = await server.connect()
    assert isinstance(stream, trio.SocketStream)
    # Before anything is sent: how much the kernel takes for it is settled then.
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**14)
    await send_request(stream, path)
    return stream


async def publish(server: Server, size: int) -> None:
    async with server.client() as http:
        (await http.post(f"/?{size}")).raise_for_status()


async def peak(server: Server) -> int:
    async with server.client() as http:
        return int((await http.get("/peak")).text)


async def read_sizes(stream: trio.SocketStream, start: bytes) -> list[int]:
    """The sizes of the events' data, once the last one has come."""
    received = [start]
    last = b"data: " + b"x" * SIZES[-1] + b"\n\n\r\n"
    with trio.fail_after(30):
        while not received[-1].endswith(last):
            received.append(await stream.receive_some())
            assert received[-1]
    body, _ = body_of(b"".join(received))
    return [len(data) for data in re.findall(rb"^data: (x+)$", body, re.MULTILINE)]


@pytest.mark.parametrize("path", ["/followed", "/iterated", "/sent", "/read"])
async def test_it_is_held_once_and_whoever_reads_on_gets_all_of_it(path: str) -> None:
    async with hypercorn("tests.broker.large_app:app") as server:
        if path == "/read":
            for size in SIZES:
                await publish(server, size)
        before = await peak(server)
        clients = [await subscribe(server, path) for _ in range(CLIENTS)]
        starts = [await read_until(client, b"retry: 3000\n") for client in clients]
        if path != "/read":
            for size in SIZES:
                await publish(server, size)
        reader = await subscribe(server, "/read")  # has them all when everybody else is stuck
        assert await read_sizes(reader, b"") == SIZES
        # The events in the log, and a few times one that is being encoded; a copy for each client
        # would be 160 MiB at least.
        assert await peak(server) - before < 10 * SIZE
        for client, start in list(zip(clients, starts, strict=True))[:3]:
            assert await read_sizes(client, start) == SIZES
        for client in [*clients, reader]:
            await trio.aclose_forcefully(client)


async def test_one_that_is_read_from_a_file_is_there_once_for_all_who_read_it(
    tmp_path: Path,
) -> None:
    sizes = [100, LARGE, 2 * LARGE, 10, 3 * LARGE]
    async with open_broker(
        f"sqlite:///{tmp_path}/log.db", history_bytes=2**26, memory_bytes=14 * LARGE
    ) as broker:
        ids = [int(await broker.publish("t", "x" * size)) for size in sizes]
        feed, selection = broker._feed, Selection(["t"])
        feed.log.restart(0)  # nothing is in memory any more

        async def read() -> dict[int, list[bytes]]:
            found: dict[int, list[bytes]] = {}
            cursor = EARLIEST
            while (page := await feed.read(selection, cursor, 10)).records:
                found |= {page.records[0].id: [record.data for record in page.records]}
                cursor = page.upto
            return found

        first, second = await read(), await read()
        assert first == second
        assert [data.count(b"x") for data in chain(*first.values())] == sizes
        same = [id for id in first if first[id][0] is second[id][0]]
        assert same == [ids[1], ids[2], ids[4]]
        # One that is above the bound is read anew, and makes nothing else go.
        too_large = int(await broker.publish("t", "x" * 7 * LARGE))
        feed.log.restart(0)
        third = await read()
        assert third[too_large][0] is not (await read())[too_large][0]
        assert all(third[id][0] is first[id][0] for id in same)
