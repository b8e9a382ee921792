"""However an `EventSource` is left, its connection is closed, in the same task, at once."""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import httpcore
import httpx
import pytest
import trio
import trio.testing
from trio.testing import MockClock

from tests.client.scripted import Exchange, ScriptedServer, no_content, over_memory, over_tcp
from tests.support.tasks import NothingLeft
from trio_stream import EventSource, ReadyState, ReconnectPolicy

URL = "http://example.org/"


class Endless:
    """Answers with events for ever, and knows when the client has left."""

    def __init__(self) -> None:
        self.left = trio.Event()

    async def __call__(self, exchange: Exchange) -> None:
        await exchange.head(content_type="text/event-stream", transfer_encoding="chunked")
        body = b"id: 1\ndata: a\n\ndata: half an ev"
        await exchange.send(b"%x\r\n%b\r\n" % (len(body), body))
        await exchange.until_closed()
        self.left.set()


@contextmanager
def no_task_ever_started() -> Iterator[None]:
    """Fails when any task but those of the test is started meanwhile: nothing in the background."""

    class Watch(trio.abc.Instrument):
        started: list[str] = []  # noqa: RUF012

        def task_spawned(self, task: trio.lowlevel.Task) -> None:
            if "handle" not in task.name:  # the scripted server's own
                self.started.append(task.name)

    watch = Watch()
    trio.lowlevel.add_instrument(watch)
    yield
    trio.lowlevel.remove_instrument(watch)
    assert watch.started == []


async def test_leaving_in_the_middle_of_an_event_closes_the_connection(
    autojump_clock: MockClock,
    no_task_left: NothingLeft,
) -> None:
    endless = Endless()
    async with over_memory(ScriptedServer(endless)) as client:
        with no_task_ever_started():
            async with EventSource(URL, client=client) as source:
                async for _ in source:
                    break
                assert not endless.left.is_set()
        await endless.left.wait()


async def test_an_exception_in_the_block_closes_the_connection(
    autojump_clock: MockClock, no_task_left: NothingLeft
) -> None:
    endless = Endless()
    async with over_memory(ScriptedServer(endless)) as client:
        with pytest.raises(KeyError):
            async with EventSource(URL, client=client):
                raise KeyError
        await endless.left.wait()


async def test_a_cancelled_receive_closes_the_connection(
    autojump_clock: MockClock, no_task_left: NothingLeft
) -> None:
    endless = Endless()
    async with over_memory(ScriptedServer(endless)) as client:
        source = EventSource(URL, client=client)
        await source.receive()
        with trio.move_on_after(5):
            await source.receive()
        assert source.state is ReadyState.CONNECTING
        await endless.left.wait()
        assert trio.current_time() == 5


async def test_the_next_receive_reconnects_at_once(autojump_clock: MockClock) -> None:
    server = ScriptedServer(Endless(), Endless(), no_content)
    async with (
        over_memory(server) as client,
        EventSource(URL, client=client) as source,
    ):
        for _ in range(2):
            await source.receive()
            with trio.move_on_after(5):
                await source.receive()
    assert server.ids == [None, "1"]
    assert server.waits == [5]


async def test_a_post_is_not_repeated_because_a_receive_was_cancelled(
    autojump_clock: MockClock,
) -> None:
    server = ScriptedServer(Endless())
    async with (
        over_memory(server) as client,
        EventSource(URL, client=client, method="POST") as source,
    ):
        await source.receive()
        with trio.move_on_after(5):
            await source.receive()
        assert source.state is ReadyState.CLOSED
        with pytest.raises(trio.ClosedResourceError, match="cancelled"):
            await source.receive()
    assert len(server.requests) == 1


async def test_cancelled_while_there_is_no_answer(
    autojump_clock: MockClock, no_task_left: NothingLeft
) -> None:
    async def silence(exchange: Exchange) -> None:
        await exchange.until_closed()

    server = ScriptedServer(silence)
    async with over_memory(server) as client:
        with trio.move_on_after(5) as scope:
            async with EventSource(URL, client=client):
                raise AssertionError
        assert scope.cancelled_caught
        await trio.testing.wait_all_tasks_blocked()
        assert server.open == 0


async def test_cancelled_while_it_waits_to_come_back(autojump_clock: MockClock) -> None:
    server = ScriptedServer(no_content)
    server.scripts = (_nothing, no_content)
    async with over_memory(server) as client:
        source = EventSource(URL, client=client, policy=ReconnectPolicy(delay=100, backoff=0))
        with trio.move_on_after(5):
            await source.receive()
        assert len(server.requests) == 1
        # What is left of the wait is still waited for.
        with pytest.raises(trio.EndOfChannel):
            await source.receive()
    assert server.waits == [100]


async def _nothing(exchange: Exchange) -> None:
    pass


async def test_closing_wakes_who_receives(
    autojump_clock: MockClock, no_task_left: NothingLeft
) -> None:
    endless = Endless()
    async with over_memory(ScriptedServer(endless)) as client:
        source = EventSource(URL, client=client)

        async def receive_all() -> None:
            with pytest.raises(trio.ClosedResourceError):
                async for _ in source:
                    pass

        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive_all)
            await trio.testing.wait_all_tasks_blocked()
            await source.aclose()
            assert source.state is ReadyState.CLOSED
        await endless.left.wait()
        assert trio.current_time() == 0


async def test_closing_is_idempotent_and_final(autojump_clock: MockClock) -> None:
    server = ScriptedServer(Endless())
    async with over_memory(server) as client:
        source = EventSource(URL, client=client)
        await source.receive()
        for _ in range(2):
            with trio.testing.assert_checkpoints():
                await source.aclose()
        with pytest.raises(trio.ClosedResourceError):
            await source.receive()
        with pytest.raises(trio.ClosedResourceError):
            async for _ in source:
                pass
    assert len(server.requests) == 1


async def test_closing_while_cancelled_closes_all_the_same(
    autojump_clock: MockClock, no_task_left: NothingLeft
) -> None:
    endless = Endless()
    async with over_memory(ScriptedServer(endless)) as client:
        with trio.CancelScope() as scope:
            async with EventSource(URL, client=client) as source:
                await source.receive()
                scope.cancel()
                await trio.sleep_forever()
        assert source.state is ReadyState.CLOSED
        await endless.left.wait()


@pytest.mark.parametrize("pieces", [1, 400])
async def test_no_generator_of_httpx_is_left_to_the_garbage_collector(pieces: int) -> None:
    """Over a real socket, with much that has arrived and was not read."""

    async def chunks(exchange: Exchange) -> None:
        await exchange.head(content_type="text/event-stream", transfer_encoding="chunked")
        await exchange.send(b"9\r\ndata: 1\n\n\r\n" * pieces)
        await exchange.until_closed()

    left = NothingLeft()
    server = ScriptedServer(chunks)
    async with over_tcp(server) as url, httpx.AsyncClient() as client:
        left.begin()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            async with EventSource(url, client=client) as source:
                await source.receive()
            await left()
        with trio.fail_after(30):
            while server.open:
                await trio.sleep(0.01)


# Such a transport's own generators are left to the garbage collector.
@pytest.mark.filterwarnings("ignore:Exception ignored in.*__aiter__")
@pytest.mark.filterwarnings("ignore:Exception ignored in.*aiter_raw")
async def test_a_transport_that_never_waits_can_be_left() -> None:
    class Endless(httpx.AsyncByteStream):
        closed = False

        async def __aiter__(self) -> AsyncIterator[bytes]:
            while True:
                yield b"data: a\n\n"

        async def aclose(self) -> None:
            self.closed = True

    body = Endless()

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=body)

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        async with EventSource(URL, client=client) as source:
            assert (await source.receive()).data == "a"
        assert body.closed
        await trio.testing.wait_all_tasks_blocked()


# The body of a request that is being sent is a generator of httpx's, which awaits nothing.
@pytest.mark.filterwarnings("ignore:Exception ignored in.*ByteStream.__aiter__")
async def test_a_cancellation_at_any_moment_leaves_nothing(no_task_left: NothingLeft) -> None:
    """Cancel after 0, 1, 2, ... turns of the scheduler: at every checkpoint there is."""
    server = ScriptedServer(Endless())
    received = 0
    for turns in range(60):
        async with over_memory(server) as client:
            source = EventSource(URL, client=client)
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_cancel_after, turns, scope)
                    async with source:
                        async for _ in source:
                            received += 1
            assert source.state is ReadyState.CLOSED
            await trio.testing.wait_all_tasks_blocked()
            # One may be left to the client, in httpcore, and is closed with it.
            forgotten = sum("NEW" in repr(c) for c in _pool(client).connections)
            assert server.open == forgotten <= 1, f"after {turns} turns"
    assert 10 < received < 60


def _pool(client: httpx.AsyncClient) -> httpcore.AsyncConnectionPool:
    transport = client._transport
    assert isinstance(transport, httpx.AsyncHTTPTransport)
    assert isinstance(transport._pool, httpcore.AsyncConnectionPool)
    return transport._pool


async def _cancel_after(turns: int, scope: trio.CancelScope) -> None:
    for _ in range(turns):
        await trio.lowlevel.checkpoint()
    scope.cancel()
