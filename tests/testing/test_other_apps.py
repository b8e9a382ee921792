"""The testing kit with applications that are not this library's."""

from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

from tests.support.tasks import NothingLeft
from trio_stream import Stream
from trio_stream.testing import connect, lifespan

Clock = trio.testing.MockClock


async def clock(request: Request) -> Stream:
    async def tick(stream: Stream) -> None:
        while True:
            await stream.send(request.path_params["name"], event="tick")
            await stream.wait(60)

    return Stream(tick)


async def text(request: Request) -> PlainTextResponse:
    return PlainTextResponse((await request.body()).upper())


async def words(request: Request) -> StreamingResponse:
    async def generate() -> AsyncIterator[str]:
        for word in ("one", "two"):
            yield word
            await trio.sleep(1)

    return StreamingResponse(generate(), media_type="text/plain")


def fail(request: Request) -> None:
    raise KeyError("mine")


app = Starlette(
    routes=[
        Route("/clock/{name}", clock),
        Route("/text", text, methods=["POST"]),
        Route("/words", words),
        Route("/fail", fail),
    ]
)


async def test_a_stream_that_an_endpoint_returns(
    autojump_clock: Clock, no_task_left: NothingLeft
) -> None:
    async with lifespan(app), connect(app, "/clock/wall") as client:
        for _ in range(3):
            event = await client.receive_event()
            assert (event.event, event.data) == ("tick", "wall")
    await no_task_left()


async def test_a_response_at_once() -> None:
    async with connect(app, "/text", method="POST", body=[b"a", b"b"]) as client:
        assert client.headers["content-length"] == "2"
        assert await client.read() == b"AB"
        assert client.ended == "complete"


async def test_a_streaming_response_of_starlettes(autojump_clock: Clock) -> None:
    async with connect(app, "/words") as client:
        assert [chunk async for chunk in client.chunks()] == [b"one", b"two"]


async def test_a_path_that_is_not_there() -> None:
    async with connect(app, "/nowhere") as client:
        assert client.status == 404


async def test_what_a_framework_answers_to_an_exception_can_be_looked_at() -> None:
    async with connect(app, "/fail", raise_app_exceptions=False) as client:
        assert client.status == 500
        assert await client.read() == b"Internal Server Error"
    with pytest.raises(KeyError, match="mine"):
        async with connect(app, "/fail"):
            pass
