"""Connections of `serve` that wait for a request, with no task of their own for that."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from types import SimpleNamespace
from typing import Any

import hypercorn.trio.run
import pytest
import trio
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import EventWrapper
from trio.testing import wait_all_tasks_blocked

from tests.serving.test_serve import serving
from tests.support.hypercorn_here import HypercornHere
from tests.support.raw import AS_EVENT_SOURCE, read_until, send_request
from trio_stream import Stream, stream_app
from trio_stream.transport.hypercorn import worker
from trio_stream.transport.hypercorn.idle import IdleConnections, IdleTimer

SECONDS = 5.0


@stream_app
async def hello(stream: Stream) -> None:
    await stream.send("hello")


class Idle:
    """Connections that note when their time was over."""

    def __init__(self) -> None:
        self.connections = IdleConnections()
        self.terminated = EventWrapper()
        self.ended: list[tuple[str, float]] = []

    async def begin(self) -> None:
        self.connections.begin(SECONDS, self.terminated)

    async def restart(self, name: str, timer: IdleTimer | None = None) -> IdleTimer:
        timer = timer or IdleTimer(self.connections)

        async def end() -> None:
            self.ended.append((name, trio.current_time()))

        await timer.restart(None, end)  # type: ignore[arg-type]  # in which nursery is not its own
        return timer


async def test_each_waits_for_its_own_time(autojump_clock: object) -> None:
    idle, start = Idle(), trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(idle.begin)
        await wait_all_tasks_blocked()
        await idle.restart("first")
        await trio.sleep(1)
        again = await idle.restart("again")
        stopped = await idle.restart("stopped")
        await trio.sleep(1)
        await idle.restart("third")
        await idle.restart("again", again)
        await stopped.stop()
        await trio.sleep(10)
        await idle.restart("later")
        await trio.sleep(10)
        await idle.terminated.set()
    ended = {name: when - start for name, when in idle.ended}
    assert ended == pytest.approx({"first": 5, "third": 7, "again": 7, "later": 17})
    assert len(idle.ended) == 4


async def test_none_waits_once_the_worker_ends(autojump_clock: object) -> None:
    idle, start = Idle(), trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(idle.begin)
        await wait_all_tasks_blocked()
        await idle.restart("before")
        await idle.terminated.set()
        await wait_all_tasks_blocked()
        await idle.restart("after")
    assert idle.ended == [("before", start), ("after", start)]


async def test_a_request_that_comes_in_the_turn_in_which_the_time_is_over() -> None:
    idle = Idle()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(idle.begin)
        await wait_all_tasks_blocked()
        await idle.terminated.set()
        timer = await idle.restart("idle")  # what ends it has been started
        await timer.stop()
    assert idle.ended == []


async def _is_closed(client: trio.SocketStream) -> bool:
    return await client.receive_some() == b""


async def _connect(bind: str) -> trio.SocketStream:
    host, _, port = bind.removeprefix("http://").rpartition(":")
    return await trio.open_tcp_stream(host, int(port))


async def _closes_unasked(bind: str) -> bool:
    """Whether a client that asks for nothing is hung up on."""
    async with await _connect(bind) as client:
        return await _is_closed(client)


async def _ask(client: trio.abc.Stream) -> bytes:
    await send_request(client, "/", *AS_EVENT_SOURCE)
    return await read_until(client, b"\r\n0\r\n\r\n")


async def test_a_connection_is_kept_for_further_requests() -> None:
    async with (
        serving(hello, bind="127.0.0.1:0", keep_alive_timeout=3600) as (bind,),
        await _connect(bind) as client,
    ):
        for _ in range(3):
            assert b"data: hello" in await _ask(client)


@pytest.mark.parametrize("asks", [True, False])
async def test_and_not_for_ever(asks: bool, autojump_clock: object) -> None:
    here, start = HypercornHere(hello, served=True), trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(here.run)
        if asks:
            await _ask(here.client)
        assert await _is_closed(here.client)
        await here.client.aclose()
    assert trio.current_time() - start == pytest.approx(5)  # Hypercorn's own default


async def test_a_stream_is_not_idle(autojump_clock: object) -> None:
    event = trio.Event()

    @stream_app
    async def silent(stream: Stream) -> None:
        await event.wait()
        await stream.send("said at last")

    here = HypercornHere(silent, served=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(here.run)
        await send_request(here.client, "/", *AS_EVENT_SOURCE)
        await read_until(here.client, b"retry: ")
        await trio.sleep(60)
        event.set()
        assert b"said at last" in await read_until(here.client, b"\r\n0\r\n\r\n")
        await here.client.aclose()


async def test_an_idle_connection_does_not_hold_up_the_end() -> None:
    times: dict[str, Any] = {"keep_alive_timeout": 3600, "graceful_timeout": 3600}
    async with AsyncExitStack() as clients:
        async with serving(hello, bind="127.0.0.1:0", **times) as (bind,):
            client = await clients.enter_async_context(await _connect(bind))
            await _ask(client)
        assert await _is_closed(client)


async def test_a_request_in_pieces() -> None:
    async with (
        serving(hello, bind="127.0.0.1:0") as (bind,),
        await _connect(bind) as client,
    ):
        for piece in (b"GET / HT", b"TP/1.1\r\nHost:", b" x\r\nAccept: text/event-stream\r\n"):
            await client.send_all(piece)
            await wait_all_tasks_blocked(0.01)
        await client.send_all(b"\r\n")
        assert b"data: hello" in await read_until(client, b"\r\n0\r\n\r\n")


async def test_the_limit_of_a_silence_is_hypercorns_own() -> None:
    times: dict[str, Any] = {"keep_alive_timeout": 3600, "read_timeout": 0.1}
    async with serving(hello, bind="127.0.0.1:0", **times) as (bind,):
        assert await _closes_unasked(bind)


async def test_one_whose_client_has_left_is_let_go_of(autojump_clock: object) -> None:
    here, start = HypercornHere(hello, served=True), trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(here.run)
        await _ask(here.client)
        await here.client.aclose()
    assert trio.current_time() == start  # Hypercorn would wait for 5 s


def test_hypercorn_is_known_and_stays_as_it_is() -> None:
    assert worker.hypercorn_serve() is not hypercorn.trio.serve
    assert vars(hypercorn.trio.run)["TCPServer"] is TCPServer


def _other() -> Callable[..., Any]:
    async def serve(app: object, config: object) -> None:
        """Names no worker."""

    return serve


@pytest.mark.parametrize("name", ["hypercorn.trio.serve", "trio_stream.worker_serve"])
def test_another_hypercorn_serves_by_itself(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if name == "hypercorn.trio.serve":
        monkeypatch.setattr(hypercorn.trio, "serve", _other())
    else:
        monkeypatch.setattr(worker, "worker_serve", SimpleNamespace())
    assert worker.hypercorn_serve() is hypercorn.trio.serve
