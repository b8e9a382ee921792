"""What a failure came of stays as its program has set it, through every nursery of ours."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
import trio
from quart_trio import QuartTrio

from tests.support.tasks import NothingLeft
from trio_stream import Stream, open_broker, serve
from trio_stream.frameworks.quart_trio import StreamConnection, StreamResponse
from trio_stream.testing import connect
from trio_stream.transport.asgi import Receive, Scope, Send


def chained() -> NoReturn:
    try:
        raise OSError("the context")
    except OSError:
        raise KeyError("mine") from LookupError("the cause")


def hidden() -> NoReturn:
    try:
        raise OSError("the context")
    except OSError:
        raise KeyError("mine") from None


def in_an_except() -> NoReturn:
    try:
        raise OSError("the context")
    except OSError:
        raise KeyError("mine")  # noqa: B904 - what is tested


Fail = Callable[[], NoReturn]


async def in_a_stream(fail: Fail, tmp_path: Path) -> None:
    async with connect(Stream(lambda stream: fail())) as client:
        await client.read()


async def behind_the_first_event(fail: Fail, tmp_path: Path) -> None:
    async def producer(stream: Stream) -> None:
        await stream.send("one")
        await trio.testing.wait_all_tasks_blocked()
        fail()

    async with connect(Stream(producer)) as client:
        await client.read()


async def in_quart_trio(fail: Fail, tmp_path: Path) -> None:
    app = QuartTrio(__name__)
    app.asgi_http_class = StreamConnection

    async def producer(stream: Stream) -> None:
        await stream.send("one")
        await trio.testing.wait_all_tasks_blocked()
        fail()

    @app.get("/")
    async def endpoint() -> StreamResponse:
        return StreamResponse(Stream(producer))

    async with connect(app, "/") as client:
        await client.read()


async def in_serve(fail: Fail, tmp_path: Path) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for step in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{step}.complete"})

    async def trigger() -> None:
        fail()

    await serve(app, bind="127.0.0.1:0", errorlog=None, shutdown_trigger=trigger)


async def beside_a_broker(fail: Fail, tmp_path: Path) -> None:
    async with open_broker():
        fail()


async def beside_sqlite(fail: Fail, tmp_path: Path) -> None:
    async with open_broker(f"sqlite:///{tmp_path}/events.db"):
        fail()


@pytest.mark.parametrize(
    "where",
    [
        in_a_stream,
        behind_the_first_event,
        in_quart_trio,
        in_serve,
        beside_a_broker,
        beside_sqlite,
    ],
)
@pytest.mark.parametrize(
    ("fail", "cause", "hides"),
    [(chained, "LookupError('the cause')", True), (hidden, "None", True)]
    + [(in_an_except, "None", False)],
)
async def test_it_is_raised_as_it_was(
    where: Any, fail: Fail, cause: str, hides: bool, tmp_path: Path, no_task_left: NothingLeft
) -> None:
    with trio.fail_after(30), pytest.raises(KeyError) as caught:
        await where(fail, tmp_path)
    failure = caught.value
    assert repr(failure.__cause__) == cause
    assert failure.__suppress_context__ == hides
    assert repr(failure.__context__) == "OSError('the context')"
