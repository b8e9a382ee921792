"""A client that stops reading: it is cut off, its producer cancelled, and nobody else notices."""

import signal
import time
from typing import Any

import pytest
import trio

from tests.support.certificates import Certificate
from tests.support.hypercorn_process import Server

from .h2_client import H2Client
from .support import NEVER, Notes, open_stream, read_what_is_left, ticks_on

STALL = 1.0
#: 10 MB: more than every buffer on the way has room for.
FLOOD = "/flood?size=10000&to=1000&ping=null&stall_timeout="

HUGE_WINDOW = 2**31 - 1
SMALL_WINDOW = 20_000


def options_for(kind: str, certificate: Certificate) -> dict[str, Any]:
    if kind == "unix":
        return {"unix": True}
    return {"certificate": certificate} if "tls" in kind else {}


async def stall_over_http2(
    server: Server, path: str, *, window: int = HUGE_WINDOW
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
async def test_it_is_cut_off_after_its_time_and_others_notice_nothing(
    kind: str, notes: Notes, certificate: Certificate
) -> None:
    async with notes.serve("direct", **options_for(kind, certificate)) as server:
        other = await open_stream(server, "/ticks?every=0.02")
        # Nobody cuts this one off: a server that waits with it has no more to say to the other.
        stuck = await stall(server, kind, f"{FLOOD}{NEVER}")
        await ticks_on(other, seconds=1)
        assert notes.all("finally") == []
        await trio.aclose_forcefully(stuck)
        [note] = await notes.wait("returned")
        assert note["outcome"] == "disconnected"

        begun = time.monotonic()
        stalled = await stall(server, kind, f"{FLOOD}{STALL}")
        for what in ("finally", "returned"):
            note = (await notes.wait(what, count=2))[-1]
            assert note["outcome"] == "stalled"
            assert note["at"] - begun > STALL - 0.5
        await ticks_on(other, seconds=0)
        await other.aclose()
        await notes.wait("returned", count=3)
        if "window" in kind:  # of this connection only the stream has been reset
            await trio.aclose_forcefully(stalled)
        else:
            assert not (await read_what_is_left(stalled)).endswith(b"0\r\n\r\n")


@pytest.mark.parametrize(("kind", "workers"), [("plain", 1), ("plain", 2), ("tls", 2), ("unix", 1)])
async def test_it_does_not_keep_the_server_from_ending(
    kind: str, workers: int, notes: Notes, certificate: Certificate
) -> None:
    options = {**options_for(kind, certificate), "workers": workers, "graceful_timeout": 1}
    flood = f"{FLOOD}{NEVER}"
    async with notes.serve("direct", **options) as server:
        stalled = []
        for _ in range(2 * workers):  # so that each of the workers has one, or nearly always
            stalled.append(await stall_over_http2(server, flood))
            stalled.append(await stall_over_http2(server, flood, window=SMALL_WINDOW))
            stalled.append(await open_stream(server, flood))
        await notes.wait("begun", count=len(stalled))
        await trio.sleep(0.5)  # until they are stuck
        assert await server.process.stop(signal.SIGTERM) == 0
        for stream in stalled:
            await trio.aclose_forcefully(stream)
    assert len(notes.all("lifespan.shutdown")) == workers
    assert len(notes.all("returned")) == len(stalled)


async def test_the_portable_transport_cancels_the_producer_and_leaves_the_rest_to_the_server(
    notes: Notes,
) -> None:
    """Hypercorn shields its writes, so that the call ends when the client leaves."""
    async with notes.serve("portable") as server:
        begun = time.monotonic()
        stalled = await open_stream(server, f"{FLOOD}{STALL}")
        [note] = await notes.wait("finally")
        assert note["outcome"] == "stalled"
        assert note["at"] - begun > STALL - 0.5
        await trio.sleep(0.2)
        assert notes.all("returned") == []
        await stalled.aclose()
        [note] = await notes.wait("returned")
        assert note["outcome"] == "stalled"
