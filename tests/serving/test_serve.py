"""`serve`: Hypercorn from code, with what many long streams need."""

import re
import resource
import selectors
import signal
import socket
import struct
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
from hypercorn.config import Config

from tests.support.processes import Process
from tests.support.raw import AS_EVENT_SOURCE, EVENT_SOURCE, read_to_end, read_until, send_request
from trio_stream import Stream, StreamMiddleware, serve, stream_app
from trio_stream.transport.asgi import Receive, Scope, Send


@stream_app
async def hello(stream: Stream) -> None:
    await stream.send("hello")


@asynccontextmanager
async def serving(app: object, **settings: object) -> AsyncIterator[list[str]]:
    """`serve` inside a larger program; leaving the block stops it gracefully."""
    stop = trio.Event()

    async def start(task_status: trio.TaskStatus[list[str]]) -> None:
        await serve(
            app,  # type: ignore[arg-type]
            shutdown_trigger=stop.wait,
            errorlog=None,
            task_status=task_status,
            **settings,  # type: ignore[arg-type]
        )

    async with trio.open_nursery() as nursery:
        yield await nursery.start(start)
        stop.set()


async def test_nursery_start_gives_the_bound_addresses() -> None:
    async with (
        serving(hello, bind=["127.0.0.1:0", "127.0.0.1:0"]) as binds,
        httpx.AsyncClient() as client,
    ):
        assert len(set(binds)) == 2
        for bind in binds:
            assert "data: hello\n\n" in (await client.get(bind)).text


async def test_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    async with serving(hello, bind=f"unix:{path}"):
        transport = httpx.AsyncHTTPTransport(uds=str(path))
        async with httpx.AsyncClient(transport=transport) as client:
            assert "data: hello\n\n" in (await client.get("http://localhost/")).text


async def test_streams_inside_go_direct_unless_told_not_to() -> None:
    seen = []

    async def look(stream: Stream) -> None:
        for _ in range(5):  # one more than are looked at before others go past the wrapper
            await stream.send("looked at")
            await stream.wait(0.05)
        seen.append(stream._state.transport is not None and stream._state.transport.direct)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def framework_send(message: object) -> None:  # as every framework wraps it
            await send(message)  # type: ignore[arg-type]

        if scope["type"] == "lifespan":
            await hello(scope, receive, send)
        else:
            await Stream(look)(scope, receive, framework_send)

    for wrapped, direct in ((app, True), (app, False), (StreamMiddleware(app), True)):
        async with (
            serving(wrapped, bind="127.0.0.1:0", direct=direct) as binds,
            httpx.AsyncClient() as client,
        ):
            await client.get(binds[0])
    assert seen == [True, False, True]


@stream_app
async def endless(stream: Stream) -> None:
    while True:
        await stream.send("tick")
        await trio.sleep(0.01)


@pytest.mark.parametrize("how", ["told to stop", "cancelled"])
async def test_of_two_in_one_program_one_ends_in_order_and_the_other_goes_on(how: str) -> None:
    stop, scope = trio.Event(), trio.CancelScope()

    async def run(task_status: trio.TaskStatus[list[str]]) -> None:
        settings: dict[str, Any] = {"bind": "127.0.0.1:0", "errorlog": None}
        with scope:
            await serve(endless, shutdown_trigger=stop.wait, task_status=task_status, **settings)

    async with (
        serving(endless, bind="127.0.0.1:0") as others,
        trio.open_nursery() as nursery,
        await ticking(others) as other,
    ):
        async with await ticking(await nursery.start(run)) as one:
            if how == "cancelled":
                scope.cancel()
            else:
                stop.set()
            farewell = await read_to_end(one)
        assert re.search(rb"\nretry: \d+\n\r\n0\r\n\r\n$", farewell)
        received = b""
        while received.count(b"data: tick") < 50:
            received += await read_until(other, b"data: tick")
        assert b"retry: " not in received, "the other one has ended"


async def ticking(binds: list[str]) -> trio.SocketStream:
    """A connection whose stream has begun."""
    stream = await trio.open_tcp_stream("127.0.0.1", int(binds[0].rpartition(":")[2]))
    await send_request(stream, "/", *AS_EVENT_SOURCE)
    await read_until(stream, b"data: tick")
    return stream


async def test_the_defaults_are_for_many_long_streams() -> None:
    configs = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            config = scope["extensions"]["trio_stream.connection"].server.config
            configs.append((config.backlog, config.keep_alive_max_requests > 1_000_000))
        await hello(scope, receive, send)

    async with serving(app, bind="127.0.0.1:0") as binds, httpx.AsyncClient() as client:
        await client.get(binds[0])
    assert configs == [(4096, True)]


async def test_a_config_of_ones_own_is_taken_as_it_is() -> None:
    config = Config()
    config.bind = ["127.0.0.1:0"]
    config.include_server_header = False
    async with serving(hello, config=config) as binds, httpx.AsyncClient() as client:
        assert "server" not in (await client.get(binds[0])).headers
    assert config.backlog == 100


async def test_a_setting_that_hypercorn_does_not_have_is_refused() -> None:
    with pytest.raises(TypeError, match="Hypercorn has no setting 'backlogg'"):
        await serve(hello, backlogg=5)


async def test_an_address_in_use_is_said_at_once() -> None:
    # In a process of its own: Hypercorn leaves the socket that it could not bind to the collector.
    async with serving(hello, bind="127.0.0.1:0") as binds:
        program = PROGRAM.replace("127.0.0.1:0", binds[0].removeprefix("http://"))
        process = await trio.run_process(
            [sys.executable, "-c", program], capture_stderr=True, check=False
        )
    assert process.returncode != 0
    last_line = process.stderr.decode().strip().splitlines()[-1]
    assert last_line.startswith("OSError")
    assert "in use" in last_line


PROGRAM = """
import trio
from functools import partial
from trio_stream import serve, stream_app

@stream_app
async def app(stream):
    await stream.send("hello")
    await trio.sleep_forever()

trio.run(partial(serve, app, bind="127.0.0.1:0"))
print("served", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_a_whole_server_gracefully(
    tmp_path: Path, number: signal.Signals
) -> None:
    process = await Process.start([sys.executable, "-c", PROGRAM], tmp_path / "log")
    try:
        (bind,) = await process.wait_for_log(r"Running on (\S+) \(CTRL", count=1)
        async with (
            httpx.AsyncClient(headers=EVENT_SOURCE) as client,
            client.stream("GET", bind) as response,
        ):
            lines = response.aiter_lines()
            assert re.fullmatch(r"retry: [345]\d{3}", await anext(lines))
            assert await anext(lines) == "data: hello"
            process.send_signal(number)
            rest = [line async for line in lines]  # a proper end: httpx does not complain
        assert any(line.startswith("retry: ") for line in rest)
        await process.wait_for_log("served", count=1)
    finally:
        await process.kill()


CROWDED = """
import os
from functools import partial

import trio
from trio_stream import serve, stream_app

if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

@stream_app
async def streams(stream):
    await stream.send("hello")
    await trio.sleep_forever()

trio.run(partial(serve, streams, bind="127.0.0.1:0", keep_alive_timeout=3600))
"""


async def test_2000_clients_at_once_are_served_without_a_lost_syn(tmp_path: Path) -> None:
    """By a server that has one processor: whom it has no room for asks again seconds later."""
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(now, min(most, 4096)), most))
    process = await Process.start([sys.executable, "-c", CROWDED], tmp_path / "log")
    try:
        (bind,) = await process.wait_for_log(r"Running on (\S+) \(CTRL", count=1)
        with ExitStack() as sockets, selectors.DefaultSelector() as selector:
            clients = [sockets.enter_context(socket.socket()) for _ in range(2000)]
            for client in clients:
                client.setblocking(False)
                client.connect_ex(("127.0.0.1", int(bind.rpartition(":")[2])))
                selector.register(client, selectors.EVENT_WRITE)
            while selector.get_map():
                for key, events in selector.select(10):
                    assert isinstance(key.fileobj, socket.socket)
                    if events & selectors.EVENT_WRITE:
                        key.fileobj.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                        selector.modify(key.fileobj, selectors.EVENT_READ)
                    elif b"data: hello\n\n" in key.fileobj.recv(2**16):
                        selector.unregister(key.fileobj)
            assert sum(sent_again(client) > 0 for client in clients) == 0
    finally:
        await process.kill()


def sent_again(connection: socket.socket) -> int:
    """How many segments the kernel has sent again for it: ``tcpi_total_retrans``."""
    if sys.platform != "linux":
        return 0
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    (count,) = struct.unpack_from("I", info, 100)
    return int(count)
