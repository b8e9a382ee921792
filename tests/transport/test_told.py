"""How a stream hears what Hypercorn has for its application: without a task that waits for it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing

from tests.serving.test_serve import serving
from tests.support.raw import read_to_end, read_until, send_request
from trio_stream import Outcome, Stream
from trio_stream.transport.asgi import Message, Receive, Scope, Send

LIMIT = 30


class Told:
    """An app of one stream, whose `receive` is Hypercorn's own, or somebody's around it."""

    def __init__(self, *, wrapped: bool) -> None:
        self.wrapped = wrapped
        self.opened, self.may_end, self.ended = trio.Event(), trio.Event(), trio.Event()
        self.channel: Any = None
        self.outcome: Outcome | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.channel = getattr(receive, "__self__", None)

        async def around() -> Message:
            return await receive()

        stream = Stream(self._produce, hold_headers=False)
        try:
            await stream(scope, around if self.wrapped else receive, send)
        finally:
            self.outcome = stream.outcome
            self.ended.set()

    async def _produce(self, stream: Stream) -> None:
        await stream.send("begun")
        self.opened.set()
        await self.may_end.wait()
        await stream.send("last")

    @asynccontextmanager
    async def asked(self, *headers: str, method: str = "GET") -> AsyncIterator[trio.SocketStream]:
        """A client whose stream has begun."""
        with trio.fail_after(LIMIT):
            async with serving(self, bind="127.0.0.1:0") as binds:
                port = int(binds[0].rpartition(":")[2])
                async with await trio.open_tcp_stream("127.0.0.1", port) as client:
                    await send_request(client, "/", *headers, method=method)
                    await read_until(client, b"data: begun\n\n")
                    await self.opened.wait()
                    await trio.testing.wait_all_tasks_blocked()
                    yield client


@pytest.mark.parametrize("wrapped", [False, True])
async def test_the_clients_leaving_is_told(wrapped: bool) -> None:
    """As the pinned Hypercorn is: when no wrapper fails, an idle stream holds 1 KiB too much."""
    told = Told(wrapped=wrapped)
    async with told.asked() as client:
        assert told.channel.statistics().tasks_waiting_receive == wrapped
        await client.aclose()
        await told.ended.wait()
    assert told.outcome is Outcome.DISCONNECTED


@pytest.mark.parametrize("wrapped", [False, True])
async def test_more_of_a_body_than_hypercorn_keeps_passes_while_it_streams(wrapped: bool) -> None:
    """And the response ends in order, behind all of it."""
    told = Told(wrapped=wrapped)
    pieces, size = 30, 2**16  # Hypercorn keeps ten
    length = f"content-length: {pieces * size}"
    async with told.asked(length, "connection: close", method="POST") as client:
        for _ in range(pieces):
            await client.send_all(bytes(size))
        told.may_end.set()
        answer = await read_to_end(client)
    assert b"data: last\n\n" in answer
    assert answer.endswith(b"0\r\n\r\n")
    assert told.outcome is Outcome.COMPLETED


async def test_the_calls_cancellation_is_heard_of_first() -> None:
    """By the task that does nothing else where the leaving is told."""
    seen: list[Outcome | None] = []
    called = trio.Event()

    async def produce(stream: Stream) -> None:
        called.set()
        try:
            await trio.sleep_forever()
        finally:
            seen.append(stream.outcome)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async with trio.open_nursery() as nursery:

            async def cancel() -> None:
                await called.wait()
                await trio.testing.wait_all_tasks_blocked()
                nursery.cancel_scope.cancel()

            nursery.start_soon(cancel)
            await Stream(produce, hold_headers=False)(scope, receive, send)

    with trio.fail_after(LIMIT):
        async with serving(app, bind="127.0.0.1:0") as binds:
            port = int(binds[0].rpartition(":")[2])
            async with await trio.open_tcp_stream("127.0.0.1", port) as client:
                await send_request(client, "/", "connection: close")
                await read_to_end(client)
    assert seen == [Outcome.SHUTDOWN]


PIECES, SIZE = 30, 2**16  # of a body; Hypercorn keeps ten


def reads_its_body(
    sizes: list[int], *, first: trio.Event | None = None, greets: bool = True
) -> Any:
    """An app whose producer reads the request's body as it streams, or when this is set."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def produce(stream: Stream) -> None:
            if greets:
                await stream.send("begun")
            else:
                stream.nursery.start_soon(greet, stream)
            if first is not None:
                await first.wait()
            more = True
            while more:
                message = await receive()
                sizes.append(len(message.get("body", b"")))
                more = message.get("more_body", False)
                await stream.send(sum(sizes))
            await stream.send(message["type"])

        await Stream(produce, hold_headers=False)(scope, receive, send)

    async def greet(stream: Stream) -> None:
        await trio.testing.wait_all_tasks_blocked()
        await stream.send("begun")

    return app


@asynccontextmanager
async def posted(app: Any) -> AsyncIterator[trio.SocketStream]:
    """A client that sends a body when its stream has begun, and all of it."""
    with trio.fail_after(LIMIT):
        async with serving(app, bind="127.0.0.1:0") as binds:
            port = int(binds[0].rpartition(":")[2])
            async with await trio.open_tcp_stream("127.0.0.1", port) as client:
                length = f"content-length: {PIECES * SIZE}"
                await send_request(client, "/", length, "connection: close", method="POST")
                await read_until(client, b"data: begun\n\n")
                for _ in range(PIECES):
                    await client.send_all(bytes(SIZE))
                yield client


@pytest.mark.parametrize("greets", [True, False])
async def test_a_producer_that_reads_the_body_as_it_streams_gets_all_of_it(greets: bool) -> None:
    """Also one that waits for it before the stream has begun."""
    sizes: list[int] = []
    async with posted(reads_its_body(sizes, greets=greets)) as client:
        answer = await read_to_end(client)
    assert sum(sizes) == PIECES * SIZE
    assert b"data: http.request\n\n" in answer


async def test_one_that_asks_when_too_much_has_come_is_told_that_the_client_has_gone() -> None:
    """And does not wait for ever: what came was dropped, to hear of the client's leaving."""
    sizes: list[int] = []
    first = trio.Event()
    async with posted(reads_its_body(sizes, first=first)) as client:
        await trio.testing.wait_all_tasks_blocked()
        first.set()
        answer = await read_to_end(client)
    assert sizes == [0]
    assert b"data: http.disconnect\n\n" in answer
