"""A client that takes little, but never stops: on a clock that moves only when the test says so.

So it may take as long as a busy machine likes between two of its reads.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.support.hypercorn_here import HypercornHere, tcp_pair
from tests.support.raw import send_request
from trio_stream import Outcome, Stream
from trio_stream.transport.asgi import Receive, Scope, Send

from .h2_client import H2Client, speak_h2

#: Long, because the kernel, which has a clock of its own, is asked to bear only a little more.
STALL = 600.0
HUGE_WINDOW = 2**31 - 1


class Flood:
    """An app of one stream, which sends so many events of so many bytes."""

    def __init__(self, size: int, count: int) -> None:
        self._data, self._count = "x" * size, count
        self.ended: list[Outcome | None] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        stream = Stream(self._produce, buffer=1, stall_timeout=STALL, ping=None)
        await stream(scope, receive, send)
        self.ended.append(stream.outcome)

    async def _produce(self, stream: Stream) -> None:
        for _ in range(self._count):
            await stream.send(self._data)


@asynccontextmanager
async def served(app: Flood, *, narrow: bool, tls: bool) -> AsyncIterator[HypercornHere]:
    """By TCP to a client that has room for a few kilobytes, if it is to be narrow."""
    here = HypercornHere(app, pair=tcp_pair(room=4096) if narrow else None, tls=tls)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(here.run)
        try:
            yield here
        finally:
            await trio.aclose_forcefully(here.client)


@pytest.mark.parametrize("kind", ["http1", "http1.0", "tls", "http2", "http2 over tls"])
async def test_a_client_that_takes_little_is_not_a_stalled_one(
    kind: str, mock_clock: MockClock
) -> None:
    """An event takes it a hundred times as long as it may take no byte."""
    app = Flood(30_000_000, 1)
    async with served(app, narrow=True, tls="tls" in kind) as here:
        slow = here.speak("HTTP/2" if "http2" in kind else "HTTP/1.1")
        if "http2" in kind:
            client = H2Client(slow, generous=False, window=HUGE_WINDOW)
            client.connection.initiate_connection()
            client.connection.increment_flow_control_window(HUGE_WINDOW - 65_535)
            await client.request("/")
        else:
            await send_request(slow, "/", version="1.0" if kind == "http1.0" else "1.1")
        received = 0
        while mock_clock.current_time() < 4 * STALL:
            received += len(await slow.receive_some(2**12))
            mock_clock.jump(STALL / 10)
            await wait_all_tasks_blocked()
        assert 0 < received < 5e6
        assert app.ended == []
        # Now it does stop.
        while not app.ended:
            mock_clock.jump(STALL / 10)
            await wait_all_tasks_blocked()
        assert app.ended == ["stalled"]


@pytest.mark.parametrize("tls", [False, True])
async def test_a_client_that_opens_its_window_a_little_is_not_a_stalled_one(
    tls: bool, autojump_clock: MockClock
) -> None:
    app = Flood(5000, 2)
    async with (
        served(app, narrow=False, tls=tls) as here,
        speak_h2(here.speak("HTTP/2"), generous=False, window=500) as client,
    ):
        slow = await client.request("/")
        response = client.responses[slow]
        granted = 500
        while not response.ended:
            await trio.sleep(STALL * 0.9)
            assert response.reset is None
            if not response.ended:
                granted += 500
                await client.grant(500, slow)
        assert granted > 10_000
        assert len(response.body) > 10_000
    assert app.ended == ["completed"]
