"""Over HTTP/2 many streams share a connection: to leave one must not harm it, and be told."""

from __future__ import annotations

from typing import Any

import httpx
import httpx2
import pytest
import trio

from tests.support.certificates import Certificate
from tests.support.hypercorn_process import Server, hypercorn
from trio_stream import EventSource, ReconnectPolicy

POLICY = ReconnectPolicy(delay=0.02, backoff=0, max_failures=3)


async def left(server: Server, count: int) -> None:
    """Wait until the server has noticed that this many clients left."""
    await server.process.wait_for_log("LEFT disconnected", count=count)


@pytest.mark.parametrize("http", [httpx, httpx2], ids=lambda module: module.__name__)
async def test_to_leave_a_stream_is_told_and_the_connection_stays(
    certificate: Certificate, http: Any
) -> None:
    async with hypercorn("tests.client.apps:ticks", certificate=certificate) as server:
        verify = certificate.client_context()
        async with http.AsyncClient(http2=True, verify=verify) as client, trio.open_nursery() as n:
            n.start_soon(stay, server, client, n.cancel_scope)
            # More than the hundred streams that a connection may have open.
            for _ in range(120):
                async with EventSource(server.url, client=client, policy=POLICY) as source:
                    assert (await source.receive()).json() == {"n": 1}
            await left(server, 120)
            source = EventSource(server.url, client=client, policy=POLICY)
            await source.receive()
            with trio.move_on_after(0.1):
                async for _ in source:
                    pass
            await left(server, 121)
            ours = client._transport._pool.connections
            assert len(ours) == 1
            assert "HTTP/2" in repr(ours[0])
            n.cancel_scope.cancel()


async def stay(server: Server, client: Any, scope: trio.CancelScope) -> None:
    """A neighbour on the same connection, which must not notice anything."""
    numbers = []
    try:
        async with EventSource(server.url, client=client, reconnect=False) as source:
            async for event in source:
                numbers.append(event.json()["n"])
    finally:
        assert scope.cancel_called
        assert numbers == list(range(1, len(numbers) + 1))
        assert len(numbers) > 10
