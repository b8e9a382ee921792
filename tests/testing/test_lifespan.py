"""`lifespan`: an app's start-up and shutdown around a test."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing

from tests.support.tasks import NothingLeft
from trio_stream import Stream, StreamApp, stream_app
from trio_stream.testing import connect, lifespan
from trio_stream.transport.asgi import Receive, Scope, Send


async def test_start_up_and_shutdown_are_around_the_block(no_task_left: NothingLeft) -> None:
    steps = []

    @asynccontextmanager
    async def database(app: StreamApp) -> AsyncIterator[dict[str, Any]]:
        steps.append("up")
        yield {"db": "the database"}
        steps.append("down")

    @stream_app(lifespan=database)
    async def app(stream: Stream) -> None:
        assert stream.scope is not None
        await stream.send(stream.scope["state"]["db"])

    async with lifespan(app) as state:
        assert steps == ["up"]
        async with connect(app, scope={"state": state}) as client:
            assert (await client.receive_event()).data == "the database"
    assert steps == ["up", "down"]
    await no_task_left()


async def test_an_app_that_cannot_start_says_why() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    with pytest.raises(RuntimeError, match=r"lifespan.startup.failed: no database"):
        async with lifespan(app):
            pytest.fail("entered")


async def test_what_the_app_raises_comes_out_as_it_is() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise KeyError("no lifespan here")

    with pytest.raises(KeyError, match="no lifespan here"):
        async with lifespan(app):
            pytest.fail("entered")


def failing(when: str) -> StreamApp:
    @asynccontextmanager
    async def database(app: StreamApp) -> AsyncIterator[None]:
        if when == "startup":
            raise ConnectionError("no database")
        async with trio.open_nursery() as nursery:
            if when == "while it runs":
                nursery.start_soon(lose_it)
            yield
            if when == "shutdown":
                raise ConnectionError("no database")

    async def lose_it() -> None:
        raise ConnectionError("no database")

    @stream_app(lifespan=database)
    async def app(stream: Stream) -> None:
        await trio.sleep_forever()

    return app


@pytest.mark.parametrize("when", ["startup", "while it runs", "shutdown"])
async def test_a_lifespan_that_fails_says_so_to_the_test(when: str) -> None:
    # The exception itself, whichever task has its turn first.
    with pytest.raises((ConnectionError, ExceptionGroup)) as raised:
        async with lifespan(failing(when)):
            await trio.testing.wait_all_tasks_blocked()
    assert "no database" in str(raised.value) or raised.group_contains(ConnectionError)


@pytest.mark.parametrize("when", ["startup", "while it runs", "shutdown"])
async def test_and_to_the_server_in_the_words_of_the_protocol(when: str) -> None:
    requests, receive = trio.open_memory_channel[dict[str, Any]](2)
    replies, received = trio.open_memory_channel[Any](5)
    requests.send_nowait({"type": "lifespan.startup"})
    scope = {"type": "lifespan", "state": {}}

    async def run() -> None:
        with replies, pytest.raises((ConnectionError, ExceptionGroup)):
            await failing(when)(scope, receive.receive, replies.send)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        if when != "startup":
            assert await received.receive() == {"type": "lifespan.startup.complete"}
            await trio.testing.wait_all_tasks_blocked()
            requests.send_nowait({"type": "lifespan.shutdown"})
        step = "startup" if when == "startup" else "shutdown"
        assert [message async for message in received] == [
            {"type": f"lifespan.{step}.failed", "message": "ConnectionError: no database"}
        ]


async def test_an_app_that_returns_without_an_answer_is_told_of() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()

    with pytest.raises(RuntimeError, match="returned without an answer to startup"):
        async with lifespan(app):
            pytest.fail("entered")


async def test_an_exception_of_the_block_comes_out_as_it_is(no_task_left: NothingLeft) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await trio.sleep_forever()

    with pytest.raises(KeyError, match="mine"):
        async with lifespan(app):
            raise KeyError("mine")
    await no_task_left()
