"""`lifespan`: an app's start-up and shutdown around a test."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

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
