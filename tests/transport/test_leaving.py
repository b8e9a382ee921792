"""Who leaves is noticed by that alone: here the clock stands, so that nothing is due, ever.

A stream looks for itself whether its client is still there, every second or so. Over real sockets
no test can tell the one from the other without asking how long it took.
"""

import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.stream.upstream_server import chunk, head, upstream
from tests.support.hypercorn_here import HypercornHere, tcp_pair
from tests.support.raw import AS_EVENT_SOURCE, read_until, send_request
from trio_stream import Outcome, Stream
from trio_stream.transport.asgi import Message, Receive, Scope, Send

from .h2_client import speak_h2

PROTOCOLS = ["HTTP/1.1", "HTTP/1.1 over TLS", "HTTP/2", "HTTP/2 over TLS"]

#: How an app hears: from Hypercorn itself, through somebody's own `receive` and `send`, or not.
DIRECT, PORTABLE, DEAF = "direct", "portable", "deaf"

#: A reset of the stream in a connection that goes on.
RESET_ALONE = "RST_STREAM"

pytestmark = pytest.mark.timeout(60)  # who is told of nothing waits for ever


class Left:
    """An app of one stream, and what becomes of that."""

    def __init__(self, make: Callable[[], Stream], hearing: str) -> None:
        self._make, self._hearing = make, hearing
        self.outcome: Outcome | None = None
        self.ended = trio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def own_receive() -> Message:
            return await receive()

        async def own_send(message: Message) -> None:
            await send(message)

        async def hear_nothing() -> Message:
            await trio.sleep_forever()
            raise AssertionError

        stream = self._make()
        try:
            if self._hearing == PORTABLE:
                await stream(scope, own_receive, own_send)
            else:
                await stream(scope, hear_nothing if self._hearing == DEAF else receive, send)
        finally:
            self.outcome = stream.outcome
            self.ended.set()


async def ask_and_leave(here: HypercornHere, protocol: str, wanted: bytes, how: str) -> None:
    """Be a client that has got so much of its stream, and leaves."""
    stream = here.speak(protocol.partition(" ")[0])
    if protocol.startswith("HTTP/1.1"):
        await send_request(stream, "/", *AS_EVENT_SOURCE)
        await read_until(stream, wanted)
        hang_up(here.client, how)
        return
    async with speak_h2(stream) as client:
        number = await client.request("/")
        await client.until(number, wanted)
        if how == RESET_ALONE:
            client.connection.reset_stream(number)
            await client.flush()
        else:
            hang_up(here.client, how)


def hang_up(client: trio.SocketStream, how: str) -> None:
    if how == "RST":
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.socket.close()


@asynccontextmanager
async def left(
    app: Left, protocol: str, wanted: bytes, how: str, *, served: bool = False
) -> AsyncIterator[None]:
    """A connection whose client has asked, and has left."""
    here = HypercornHere(app, pair=tcp_pair(), tls=protocol.endswith("TLS"), served=served)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(here.run)
        await ask_and_leave(here, protocol, wanted, how)
        yield
        await trio.aclose_forcefully(here.client)


async def say_nothing(stream: Stream) -> None:
    await trio.sleep_forever()


def quiet() -> Stream:
    return Stream(say_nothing, hold_headers=False)


every_connection = pytest.mark.parametrize("served", [True, False])
every_way = pytest.mark.parametrize(
    ("protocol", "how"),
    [(protocol, how) for protocol in PROTOCOLS for how in ("FIN", "RST")]
    + [(protocol, RESET_ALONE) for protocol in PROTOCOLS if protocol.startswith("HTTP/2")],
)
every_hearing = pytest.mark.parametrize("hearing", [DIRECT, PORTABLE])


@every_connection
@every_hearing
@every_way
async def test_a_producer_is_told(
    protocol: str, how: str, hearing: str, served: bool, mock_clock: MockClock
) -> None:
    start, app = mock_clock.current_time(), Left(quiet, hearing)
    async with left(app, protocol, b"retry: ", how, served=served):
        await app.ended.wait()
    assert app.outcome is Outcome.DISCONNECTED
    assert mock_clock.current_time() == start


@every_connection
@every_hearing
@every_way
async def test_an_upstream_is_told(
    protocol: str, how: str, hearing: str, served: bool, mock_clock: MockClock
) -> None:
    async def respond(to: trio.SocketStream) -> None:
        await to.send_all(head("text/event-stream") + chunk(b"data: from upstream\n\n"))
        await trio.sleep_forever()

    start = mock_clock.current_time()
    async with upstream(respond) as server, httpx.AsyncClient(timeout=None) as http:

        def relay() -> Stream:
            return Stream(http.send(http.build_request("GET", server.url), stream=True))

        app = Left(relay, hearing)
        async with left(app, protocol, b"data: from upstream\n\n", how, served=served):
            await server.hung_up.wait()
            await app.ended.wait()
        assert app.outcome is Outcome.DISCONNECTED
    assert mock_clock.current_time() == start


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_where_it_is_not_told_a_stream_looks_for_itself(
    protocol: str, mock_clock: MockClock
) -> None:
    """As if Hypercorn had not noticed: which the tests above would wait for in vain."""
    app = Left(quiet, DEAF)
    async with left(app, protocol, b"retry: ", "FIN"):
        await wait_all_tasks_blocked(0.05)
        assert not app.ended.is_set()
        while not app.ended.is_set():
            mock_clock.jump(1)
            await wait_all_tasks_blocked()
    assert app.outcome is Outcome.DISCONNECTED
