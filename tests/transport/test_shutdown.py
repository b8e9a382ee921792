"""SIGTERM: every client gets what was queued, a time to come back at, and a proper end."""

import re
import signal
import time
from collections import Counter
from functools import partial

import trio
from h2.errors import ErrorCodes

from tests.support.certificates import Certificate
from tests.support.hypercorn_process import Server
from tests.support.raw import AS_EVENT_SOURCE, EVENT_SOURCE, read_until, send_request

from .h2_client import connect_h2
from .support import NEVER, Notes, body_of, events_of, every_transport

AS_HTTP2 = tuple((name.encode(), value.encode()) for name, value in EVENT_SOURCE.items())

WINDOW = 10_000  # milliseconds, after the stream's own `retry`


Body = tuple[bytes, bool]  # and whether it has come whole


async def read_all(
    server: Server,
    path: str,
    bodies: list[Body],
    *headers: str,
    wanted: bytes = b"HTTP/",
    task_status: trio.TaskStatus[None],
) -> None:
    """Read a response whole; it counts as begun when this has come."""
    async with await server.connect() as stream:
        await send_request(stream, path, *(headers or AS_EVENT_SOURCE))
        received = await read_until(stream, wanted)
        task_status.started()
        while piece := await stream.receive_some():
            received += piece
    bodies.append(body_of(received))


def farewell(body: bytes) -> int:
    """The milliseconds of the last `retry`, which has to be the last of all."""
    found = re.search(rb"\nretry: (\d+)\n+$", body)
    assert found, body[-100:]
    return int(found[1])


async def test_500_streams_are_told_when_to_come_back_and_ended_in_order(notes: Notes) -> None:
    ticks: list[Body] = []
    bursts: list[Body] = []
    read_burst = partial(read_all, path="/burst?to=20&retry=2000", wanted=b"data: 19\n\n")
    # Where a stream is not told, it is the server that ends it, when nobody waits any more.
    async with (
        notes.serve("direct", graceful_timeout=NEVER) as server,
        trio.open_nursery() as nursery,
    ):
        for _ in range(250):
            await nursery.start(read_all, server, "/ticks?every=1&retry=2000", ticks)
            await nursery.start(partial(read_burst, server, bodies=bursts))
        assert await server.process.stop(within=120) == 0
    bodies = ticks + bursts
    assert len(bodies) == 500
    assert all(complete for _, complete in bodies)
    assert all(events_of(body) == [str(number) for number in range(20)] for body, _ in bursts)
    retries = [farewell(body) for body, _ in bodies]
    # Evenly over the window: in each tenth of it about a tenth of them. (Each of these counts is
    # outside of its bounds once in some ten million runs.)
    tenths = Counter((retry - 2000) * 10 // WINDOW for retry in retries)
    assert tenths.keys() == set(range(10))
    assert all(15 <= tenth <= 100 for tenth in tenths.values())
    returned = notes.all("returned")
    assert {note["outcome"] for note in returned} == {"shutdown"}
    assert len(returned) == 500
    # Only then the app's own shutdown.
    [shutdown] = notes.all("lifespan.shutdown")
    assert shutdown["at"] >= max(note["at"] for note in returned)


@every_transport
async def test_what_was_queued_goes_out_first(transport: str, notes: Notes) -> None:
    bodies: list[Body] = []
    # The portable transport hears of it only when Hypercorn cancels what still runs.
    graceful = NEVER if transport == "direct" else 1
    async with (
        notes.serve(transport, graceful_timeout=graceful) as server,
        trio.open_nursery() as nursery,
    ):
        for _ in range(5):
            await nursery.start(read_all, server, "/flood?size=100", bodies)
        begun = time.monotonic()
        assert await server.process.stop() == 0
    assert all(complete for _, complete in bodies)
    received = [events_of(body) for body, _ in bodies]
    assert sorted(map(len, received)) == sorted(end["events"] for end in notes.all("finally"))
    for events, (body, _) in zip(received, bodies, strict=True):
        assert [int(event.split()[0]) for event in events] == list(range(len(events)))
        assert 3000 <= farewell(body) < 3000 + WINDOW
    assert {note["outcome"] for note in notes.all("returned")} == {"shutdown"}
    if transport == "portable":
        assert min(end["at"] for end in notes.all("finally")) - begun > 0.9


async def test_over_http2_and_tls_and_under_the_middleware_too(
    notes: Notes, certificate: Certificate
) -> None:
    bodies: list[Body] = []
    async with (
        notes.serve("under_middleware", certificate=certificate, graceful_timeout=NEVER) as server,
        connect_h2(server) as client,
        trio.open_nursery() as nursery,
    ):
        await nursery.start(read_all, server, "/ticks", bodies)
        stream = await client.request("/ticks", *AS_HTTP2)
        other = await client.request("/ticks", (b"accept", b"*/*"))
        await client.until(stream, b"data: ")
        await client.until(other, b"data: ")
        server.process.send_signal(signal.SIGTERM)
        response = await client.until_ended(stream)
        assert (response.ended, response.reset) == (True, None)
        farewell(response.body)
        # One that is no EventSource's can tell that there was more.
        response = await client.until_ended(other)
        assert (response.ended, response.reset) == (False, ErrorCodes.INTERNAL_ERROR)
        farewell(response.body)
        assert await server.process.wait(within=60) == 0
    assert len(notes.all("lifespan.shutdown")) == 1
    [(body, complete)] = bodies
    assert complete
    farewell(body)


async def test_a_producer_may_take_its_drain_timeout_to_finish(notes: Notes) -> None:
    bodies: list[Body] = []
    async with (
        notes.serve("direct", graceful_timeout=NEVER) as server,
        trio.open_nursery() as nursery,
    ):
        await nursery.start(read_all, server, f"/last_words?drain_timeout={NEVER}", bodies)
        await nursery.start(read_all, server, "/ticks?drain_timeout=0.5", bodies)
        begun = time.monotonic()
        assert await server.process.stop() == 0
    [last_words, ticks] = bodies
    assert last_words[1]
    assert events_of(last_words[0]) == ["last words"]
    assert ticks[1]
    farewell(ticks[0])
    # It went on as long as it was let.
    [end] = notes.all("finally", "/ticks")
    assert end["at"] - begun > 0.5


async def test_a_drain_timeout_that_the_server_will_not_wait_for_is_said_once(notes: Notes) -> None:
    bodies: list[Body] = []
    async with notes.serve("direct", graceful_timeout=1) as server, trio.open_nursery() as nursery:
        for _ in range(3):
            await nursery.start(read_all, server, f"/ticks?drain_timeout={NEVER}", bodies)
        [warning] = re.findall(r".*drain_timeout.*", server.process.log())
        assert f"drain_timeout={NEVER} is longer than Hypercorn's graceful_timeout=1" in warning
        begun = time.monotonic()
        assert await server.process.stop() == 0
        assert time.monotonic() - begun > 1
    assert all(complete for _, complete in bodies)
    assert {note["outcome"] for note in notes.all("returned")} == {"shutdown"}


async def test_a_rolling_restart_ends_streams_one_after_another(notes: Notes) -> None:
    bodies: list[Body] = []
    count, over = 20, 2.0
    async with (
        notes.serve("by_chance", graceful_timeout=NEVER) as server,
        trio.open_nursery() as nursery,
    ):
        for _ in range(count):
            await nursery.start(read_all, server, f"/ticks?drain_over={over}", bodies)
        begun = time.monotonic()
        assert await server.process.stop() == 0
    ended = sorted(note["at"] - begun for note in notes.all("finally"))
    # Never sooner than at its turn, on however busy a machine: the last twentieth before the end.
    assert all(at >= number * over / count for number, at in enumerate(ended))
    assert len(bodies) == count
    assert all(complete for _, complete in bodies)
    assert {note["outcome"] for note in notes.all("returned")} == {"shutdown"}
    # Each had been told a time of its own to come back at, had there been a crash.
    first = [int(body.removeprefix(b"retry: ").split(b"\n")[0]) for body, _ in bodies]
    assert all(3000 <= retry < 6000 for retry in first)
    assert len(set(first)) > count / 2


@every_transport
async def test_who_is_no_event_source_can_tell_that_there_was_more(
    transport: str, notes: Notes
) -> None:
    bodies: list[list[Body]] = []
    queries = ["", "?farewell=proper", "?farewell=broken"]
    async with (
        notes.serve(transport, graceful_timeout=NEVER if transport == "direct" else 1) as server,
        trio.open_nursery() as nursery,
    ):
        for headers in (("accept: */*",), AS_EVENT_SOURCE):
            for query in queries:
                bodies.append([])
                await nursery.start(read_all, server, f"/ticks{query}", bodies[-1], *headers)
        assert await server.process.stop() == 0
        log = server.process.log()
    ended = [body for [body] in bodies]
    assert [whole for _, whole in ended] == [False, True, False, True, True, False]
    for body, _ in ended:
        assert 3000 <= farewell(body) < 3000 + WINDOW
    assert {note["outcome"] for note in notes.all("returned")} == {"shutdown"}
    assert "ERROR" not in log
    assert "Traceback" not in log


@every_transport
async def test_an_event_of_ones_own_is_the_last(transport: str, notes: Notes) -> None:
    bodies: list[Body] = []
    async with (
        notes.serve(transport, graceful_timeout=NEVER if transport == "direct" else 1) as server,
        trio.open_nursery() as nursery,
    ):
        await nursery.start(read_all, server, "/ticks?goodbye=1", bodies)
        assert await server.process.stop() == 0
    [(body, complete)] = bodies
    assert complete
    assert re.search(rb'\nretry: \d+\ndata: {"type":"error"}\n\n$', body)
