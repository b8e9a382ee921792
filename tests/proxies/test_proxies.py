"""Behind nginx, HAProxy and Apache, as docs/proxies.md configures them: nothing waits or hides."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from tests.proxies.proxies import proxy
from tests.support.hypercorn_process import Server, hypercorn
from tests.support.raw import AS_EVENT_SOURCE, read_to_end, read_until, send_request

every_proxy = pytest.mark.parametrize("name", ["nginx", "haproxy", "haproxy http2", "apache"])


@asynccontextmanager
async def behind(
    name: str, folder: Path, *, expect_errors: bool = False
) -> AsyncIterator[tuple[Server, int]]:
    app = hypercorn("tests.proxies.apps:behind", expect_errors=expect_errors)
    async with app as server, proxy(name, server.port, folder) as port:
        yield server, port


async def ask(port: int, path: str) -> trio.SocketStream:
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    await send_request(stream, path, *AS_EVENT_SOURCE)
    return stream


@every_proxy
async def test_an_event_comes_at_once(name: str, tmp_path: Path) -> None:
    async with behind(name, tmp_path) as (server, port), server.client() as client:
        stream = await ask(port, "/events/silent")
        async with stream:
            await read_until(stream, b"data: here\n\n")
            took: list[float] = []
            # Where a proxy holds events back it holds each: 200 ms, or until there are some KiB. So
            # one that came sooner is enough, however long a busy machine takes for the others.
            with trio.fail_after(120):
                while not took or took[-1] > 0.15:
                    await client.post("/say")
                    start = trio.current_time()
                    await read_until(stream, b"data: said\n\n")
                    took.append(trio.current_time() - start)


@every_proxy
async def test_a_client_that_leaves_is_noticed(name: str, tmp_path: Path) -> None:
    # Apache tells only who writes; the others tell while the stream is silent.
    path = "/events/pinging" if name == "apache" else "/events/silent"
    async with behind(name, tmp_path) as (server, port):
        async with await ask(port, path) as stream:
            await read_until(stream, b"data: here\n\n")
        await server.process.wait_for_log("ended: disconnected")


@every_proxy
async def test_a_broken_end_arrives_as_one(name: str, tmp_path: Path) -> None:
    async with behind(name, tmp_path, expect_errors=True) as (_, port):
        stream = await ask(port, "/events/failing")
        async with stream:
            received = await read_to_end(stream)
    assert b"transfer-encoding: chunked" in received.lower()
    assert b"data: half\n\n" in received
    assert not received.endswith(b"0\r\n\r\n")


@every_proxy
async def test_a_farewell_arrives_whole(name: str, tmp_path: Path) -> None:
    async with behind(name, tmp_path) as (server, port):
        stream = await ask(port, "/events/silent")
        async with stream:
            await read_until(stream, b"data: here\n\n")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(server.process.stop)
                received = await read_until(stream, b"0\r\n\r\n")
    retry = re.search(rb"retry: (\d+)\n", received)
    assert retry
    assert 3000 <= int(retry[1]) <= 13_000


async def test_clients_of_one_http2_connection_to_the_server_leave_and_stay(tmp_path: Path) -> None:
    async with behind("haproxy http2", tmp_path) as (server, port), server.client() as client:
        streams = [await ask(port, "/events/silent") for _ in range(20)]
        for stream in streams:
            await read_until(stream, b"data: here\n\n")
        for stream in streams[::2]:
            await stream.aclose()
        await server.process.wait_for_log("ended: disconnected", count=10)
        await client.post("/say")
        for stream in streams[1::2]:
            assert b"data: said\n\n" in await read_until(stream, b"data: said\n\n")
            await stream.aclose()
