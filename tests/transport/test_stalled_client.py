"""A client that stops reading: it is cut off, its producer cancelled, and nobody else notices."""

import signal
import socket
import time
from typing import Any

import pytest
import trio

from tests.support.certificates import Certificate
from tests.support.hypercorn_process import Server
from tests.support.raw import send_request

from .h2_client import H2Client, connect_h2
from .support import Notes, crowding, in_time, lateness, open_stream, read_what_is_left

STALL = 1.0
#: 10 MB: more than every buffer on the way has room for.
FLOOD = f"/flood?stall_timeout={STALL}&size=10000&to=1000"

HUGE_WINDOW = 2**31 - 1
SMALL_WINDOW = 20_000


def options_for(kind: str, certificate: Certificate) -> dict[str, Any]:
    if kind == "unix":
        return {"unix": True}
    return {"certificate": certificate} if "tls" in kind else {}


async def stall_over_http2(
    server: Server, path: str = "/flood?size=10000&to=1000", *, window: int = HUGE_WINDOW
) -> trio.abc.Stream:
    """A client that does not read its socket, and has granted so much window."""
    stream = await server.connect("h2")
    client = H2Client(stream, generous=False, window=window)
    client.connection.initiate_connection()
    client.connection.increment_flow_control_window(HUGE_WINDOW - 65_535)
    await client.request(path)
    return stream


async def stall(server: Server, kind: str, path: str) -> trio.abc.Stream:
    if kind.startswith("http2"):
        window = SMALL_WINDOW if "window" in kind else HUGE_WINDOW
        return await stall_over_http2(server, path, window=window)
    return await open_stream(server, path)


@pytest.mark.parametrize("kind", ["http1", "tls", "unix", "http2, its window", "http2 over tls"])
async def test_it_is_cut_off_within_its_time_and_others_notice_nothing(
    kind: str, notes: Notes, certificate: Certificate
) -> None:
    async with notes.serve("direct", **options_for(kind, certificate)) as server:
        other = await open_stream(server, "/ticks?every=0.02")
        late_before, silence_before = await lateness(other, seconds=0.5)
        begun = time.monotonic()
        stalled = await stall(server, kind, FLOOD)
        late, silence = await lateness(other, seconds=STALL + 1)
        for what in ("finally", "returned"):
            [note] = await notes.wait(what)
            assert note["outcome"] == "stalled"
            assert STALL - 0.5 < note["at"] - begun < in_time(STALL)
        # As before, whatever else this machine does; the server did not wait with the stalled one.
        assert late < late_before + 0.05 * crowding()
        assert silence < silence_before + 0.5 * STALL * crowding()
        await other.aclose()
        await notes.wait("returned", count=2)
        if "window" in kind:  # of this connection only the stream has been reset
            await trio.aclose_forcefully(stalled)
        else:
            assert not (await read_what_is_left(stalled)).endswith(b"0\r\n\r\n")


async def connect_narrow(server: Server, *alpn: str) -> trio.abc.Stream:
    """A connection whose client has room for a few kilobytes."""
    sock = trio.socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    await sock.connect(("127.0.0.1", server.port))
    stream: trio.abc.Stream = trio.SocketStream(sock)
    if server.certificate is not None:
        context = server.certificate.client_context(*alpn)
        stream = trio.SSLStream(stream, context, server_hostname="localhost", https_compatible=True)
    return stream


@pytest.mark.parametrize("kind", ["http1", "http1.0", "tls", "http2", "http2 over tls"])
async def test_a_client_that_takes_little_is_not_a_stalled_one(
    kind: str, notes: Notes, certificate: Certificate
) -> None:
    """An event takes it a hundred times as long as it may take no byte, but it never stops."""
    path = f"/flood?size=30000000&to=1&buffer=1&stall_timeout={STALL}&ping=100"
    async with notes.serve("direct", **options_for(kind, certificate)) as server:
        slow = await connect_narrow(server, *["h2"] * kind.startswith("http2"))
        if kind.startswith("http2"):
            client = H2Client(slow, generous=False, window=HUGE_WINDOW)
            client.connection.initiate_connection()
            client.connection.increment_flow_control_window(HUGE_WINDOW - 65_535)
            await client.request(path)
        else:
            await send_request(slow, path, version="1.0" if kind == "http1.0" else "1.1")
        received = 0
        with trio.move_on_after(4 * STALL):
            while piece := await slow.receive_some(2**12):
                received += len(piece)
                await trio.sleep(0.1)
        assert 0 < received < 5e6
        assert notes.all("returned") == []
        [note] = await notes.wait("returned", within=10 * STALL)
        assert note["outcome"] == "stalled"
        await trio.aclose_forcefully(slow)


@pytest.mark.parametrize("secure", [False, True])
async def test_a_client_that_opens_its_window_a_little_is_not_a_stalled_one(
    secure: bool, notes: Notes, certificate: Certificate
) -> None:
    options = {"certificate": certificate} if secure else {}
    async with (
        notes.serve("direct", **options) as server,
        connect_h2(server, generous=False, window=500) as client,
    ):
        slow = await client.request(f"/flood?size=5000&to=2&stall_timeout={STALL}&ping=100")
        response = client.responses[slow]
        granted = 500
        while not response.ended:
            await client.until(slow, b"", within=STALL)
            with trio.move_on_after(STALL / 4):
                await client.until_ended(slow)
            if not response.ended:
                granted += 500
                await client.grant(500, slow)
        assert granted > 10_000
        assert len(response.body) > 10_000
        [note] = await notes.wait("returned")
        assert note["outcome"] == "completed"


@pytest.mark.parametrize(("kind", "workers"), [("plain", 1), ("plain", 2), ("tls", 2), ("unix", 1)])
async def test_it_does_not_keep_the_server_from_ending(
    kind: str, workers: int, notes: Notes, certificate: Certificate
) -> None:
    options = {**options_for(kind, certificate), "workers": workers, "graceful_timeout": 1}
    async with notes.serve("direct", **options) as server:
        stalled = []
        for _ in range(2 * workers):  # so that each of the workers has one, or nearly always
            stalled.append(await stall_over_http2(server))
            stalled.append(await stall_over_http2(server, window=SMALL_WINDOW))
            stalled.append(await open_stream(server, "/flood?size=10000&to=1000"))
        await trio.sleep(0.5)  # now they are stuck; their `stall_timeout` is longer than the test
        begun = time.monotonic()
        assert await server.process.stop(signal.SIGTERM) == 0
        assert time.monotonic() - begun < in_time(1)
        for stream in stalled:
            await trio.aclose_forcefully(stream)
    assert len(notes.all("lifespan.shutdown")) == workers
    assert len(notes.all("returned")) == len(stalled)


async def test_the_portable_transport_cancels_the_producer_and_leaves_the_rest_to_the_server(
    notes: Notes,
) -> None:
    """Hypercorn shields its writes, so that the call ends when the client leaves."""
    async with notes.serve("portable") as server:
        stalled = await open_stream(server, FLOOD)
        begun = time.monotonic()
        [note] = await notes.wait("finally")
        assert note["outcome"] == "stalled"
        assert STALL - 0.5 < note["at"] - begun < in_time(STALL)
        await trio.sleep(0.2)
        assert notes.all("returned") == []
        await stalled.aclose()
        [note] = await notes.wait("returned")
        assert note["outcome"] == "stalled"
