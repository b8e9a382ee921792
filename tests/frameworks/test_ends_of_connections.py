"""A stream in Starlette ends with its connection, where that is how a response ends."""

import pytest
import trio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from tests.support.hypercorn_here import HypercornHere
from trio_stream import Stream, StreamMiddleware
from trio_stream.frameworks.starlette import StreamResponse
from trio_stream.transport.memory import Application


async def stream(request: Request) -> Stream:
    return Stream(["the last"], retry=False)


async def response(request: Request) -> StreamResponse:
    return StreamResponse(await stream(request))


def application(*, by_response: bool, outermost: bool) -> Application:
    app = Starlette(routes=[Route("/", response if by_response else stream)])
    return StreamMiddleware(app) if outermost else app


@pytest.mark.parametrize("request_line", ["GET / HTTP/1.0", "GET / HTTP/1.1\r\nConnection: close"])
@pytest.mark.parametrize("outermost", [True, False])
@pytest.mark.parametrize("by_response", [True, False])
async def test_who_reads_to_the_end_of_the_connection_comes_to_it(
    request_line: str, outermost: bool, by_response: bool
) -> None:
    here = HypercornHere(application(by_response=by_response, outermost=outermost))
    received = b""
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery, here.client:
            nursery.start_soon(here.run)
            await here.client.send_all(f"{request_line}\r\nHost: x\r\n\r\n".encode())
            async for data in here.client:
                received += data
    assert b"data: the last\n\n" in received
