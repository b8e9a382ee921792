"""What a stream does about time, over a socket: silence, and how often it writes."""

import re
import time

import httpx

from tests.support.raw import read_to_end, read_until, send_request

from .support import Notes, every_transport, open_stream


@every_transport
async def test_a_silent_producer_is_ended_and_its_client_told(transport: str, notes: Notes) -> None:
    async with notes.serve(transport) as server, server.client() as client:
        begun = time.monotonic()
        answer = await client.get("/quiet?first_event_timeout=0.3&hold_headers=true")
        assert answer.status_code == 504
        outcomes = ["late"]
        for path, outcome in (
            ("/quiet?first_event_timeout=0.3", "late"),
            ("/burst?idle_timeout=0.3", "idle"),
            ("/burst?idle_timeout=0.3&ping=0.1", "idle"),
        ):
            try:
                async with client.stream("GET", path) as response:
                    await response.aread()
            except httpx.RemoteProtocolError:
                broken = True  # as of any failure: its client can tell
            else:
                broken = False
            assert broken
            outcomes.append(outcome)
            returned = await notes.wait("returned", count=len(outcomes))
            assert [note["outcome"] for note in returned] == outcomes
        assert time.monotonic() - begun >= 1.2
        log = server.process.log()
        assert log.count("a stream's producer sent nothing for") == 3
        assert "Traceback" not in log


async def test_what_comes_fast_is_written_so_often_and_no_oftener(notes: Notes) -> None:
    async with notes.serve("direct") as server:
        stream = await server.connect()
        async with stream:
            await send_request(
                stream, "/count?to=40&every=0.02&flush_every=0.3", "connection: close"
            )
            begun = time.monotonic()
            received = await read_to_end(stream)
            took = time.monotonic() - begun
    chunks = re.findall(rb"\r\n[0-9a-f]+\r\n(?:retry: \d+\n)?(?:data: \d+\n\n)+", received)
    assert [int(number) for number in re.findall(rb"data: (\d+)\n", received)] == list(range(40))
    # The first with the head, the last at the end; what lies between, 0.3 s apart.
    assert 2 <= len(chunks) <= took / 0.3 + 2


async def test_several_events_are_one_write(notes: Notes) -> None:
    async with notes.serve("direct") as server, await server.connect() as stream:
        await send_request(stream, "/together")
        received = await read_until(stream, b"data: 19\n\n\r\n")
    assert re.search(rb"\r\n[0-9a-f]+\r\n(retry: \d+\n)?(data: \d+\n\n){20}\r\n$", received)


async def test_a_page_sees_silence(notes: Notes) -> None:
    async with (
        notes.serve("direct") as server,
        await open_stream(server, "/burst?to=3&ping=0.2&pong=1") as stream,
    ):
        await read_until(stream, b"event: ping\ndata: 3\n\n")
