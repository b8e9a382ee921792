"""A response begins without a task of its own, where nothing of it has to wait."""

import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from tests.support.hypercorn_here import HypercornHere
from tests.support.raw import AS_EVENT_SOURCE, read_to_end, read_until, send_request
from trio_stream import Stream
from trio_stream.transport.asgi import Receive, Scope, Send
from trio_stream.transport.hypercorn.connection import find_connection
from trio_stream.transport.memory import Application

from .support import body_of


class Writers(trio.abc.Instrument):
    """Counts the tasks of writers."""

    def __init__(self) -> None:
        self.count = 0

    def task_spawned(self, task: trio.lowlevel.Task) -> None:
        self.count += task.name.endswith("Lifetime._write")


@asynccontextmanager
async def counting() -> AsyncIterator[Writers]:
    writers = Writers()
    trio.lowlevel.add_instrument(writers)
    try:
        yield writers
    finally:
        trio.lowlevel.remove_instrument(writers)


@asynccontextmanager
async def asked(app: Application, *headers: str, room: int | None = None) -> AsyncIterator[Any]:
    here = HypercornHere(app, room=room)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(here.run)
        await send_request(here.client, "/", *AS_EVENT_SOURCE, *headers)
        yield here
        await here.client.aclose()


async def greet(stream: Stream) -> None:
    await stream.send("hello")
    await trio.sleep_forever()


def serving(make: Callable[[], Stream]) -> Application:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await make()(scope, receive, send)

    return app


async def test_a_first_event_and_those_behind_it_take_no_writer(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def twice(stream: Stream) -> None:
        await stream.send("hello")
        await stream.wait(1)
        await stream.send("again")
        await trio.sleep_forever()

    async with counting() as writers, asked(serving(lambda: Stream(twice))) as here:
        received = await read_until(here.client, b"again")
        assert received.partition(b"\r\n\r\n")[2].count(b"retry: ") == 1
    assert received.index(b"data: hello") < received.index(b"data: again")
    assert writers.count == 0


async def test_headers_without_an_event_take_none() -> None:
    async with (
        counting() as writers,
        asked(serving(lambda: Stream(lambda stream: trio.sleep_forever()))) as here,
    ):
        assert b"200" in await read_until(here.client, b"retry: ")
    assert writers.count == 0


async def test_a_large_first_event_is_a_writers_which_does_not_copy_it() -> None:
    async with counting() as writers, asked(serving(lambda: Stream(["x" * 70_000]))) as here:
        assert len(await read_until(here.client, b"\r\n0\r\n\r\n")) > 70_000
    assert writers.count


async def test_the_last_word_is_a_writers() -> None:
    async with asked(serving(lambda: Stream(["a", "b"]))) as here:
        received = await read_until(here.client, b"\r\n0\r\n\r\n")
    assert received.count(b"data: ") == 2


async def test_what_the_client_does_not_take_at_once_a_writer_sends(
    autojump_clock: trio.testing.MockClock,
) -> None:
    large = "x" * 60_000

    async def send(stream: Stream) -> None:
        await stream.send(large)
        await stream.send("behind")

    async with counting() as writers, asked(serving(lambda: Stream(send)), room=4096) as here:
        body, whole = body_of(await read_until(here.client, b"\r\n0\r\n\r\n"))
    assert whole
    assert body.endswith(f"data: {large}\n\ndata: behind\n\n".encode())
    assert writers.count


async def test_compressed_it_begins_so_too() -> None:
    make = lambda: Stream(greet, compress=("gzip",))  # noqa: E731
    async with counting() as writers, asked(serving(make), "accept-encoding: gzip") as here:
        received = await read_until(here.client, b"\x1f\x8b")
        head, _, chunked = received.partition(b"\r\n\r\n")
        assert b"content-encoding: gzip" in head
        size, _, first = chunked.partition(b"\r\n")
        unfinished = zlib.decompressobj(31)
        assert b"data: hello\n\n" in unfinished.decompress(first[: int(size, 16)])
    assert writers.count == 0


@pytest.mark.parametrize("kind", ["cancelled", "ended", "failed"])
async def test_what_is_over_before_anything_was_written_is_told_in_full(kind: str) -> None:
    """By a writer, which nothing can cancel, whoever has his turn first."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def produce(stream: Stream) -> None:
            await stream.send("hello")
            if kind == "cancelled":
                scoped.cancel()
            elif kind == "failed":
                raise ZeroDivisionError("the producer's own")

        with trio.CancelScope() as scoped:
            await Stream(produce, farewell="proper")(scope, receive, send)

    for _ in range(20):  # Trio runs those whose turn it is in any order
        async with asked(app, "connection: close") as here:
            received = await read_to_end(here.client)
        body, whole = body_of(received)
        assert b"data: hello\n\n" in body
        assert whole == (kind != "failed")


async def test_what_is_over_at_once_may_take_its_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A client that is slow has more than the half second of a call that is cancelled."""

    def send(stream: Stream) -> None:
        stream.send_nowait("x" * 300_000)

    for _ in range(20):
        async with asked(serving(lambda: Stream(send)), "connection: close", room=4096) as here:
            await trio.sleep(3)
            assert body_of(await read_to_end(here.client))[1]


async def test_while_somebody_else_writes_a_writer_waits_for_its_turn(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Never in the middle of what Hypercorn has to say."""
    held = trio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        connection = find_connection(send)
        assert connection is not None
        lock: trio.Lock = connection.server.send_lock

        async def hold() -> None:
            async with lock:
                held.set()
                await trio.sleep(1)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(hold)
            await held.wait()
            await Stream(greet)(scope, receive, send)

    async with counting() as writers, asked(app) as here:
        await read_until(here.client, b"data: hello")
    assert writers.count == 1
