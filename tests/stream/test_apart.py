"""What keeps clients apart: the primer's `retry`, pings, the ends when a server shuts down."""

import re
from functools import partial
from math import inf

import pytest
import trio
import trio.testing

from tests.stream.helpers import body_of
from tests.support.hypercorn_here import HypercornHere
from tests.support.raw import AS_EVENT_SOURCE, EVENT_SOURCE, read_to_end, read_until, send_request
from tests.transport.h2_client import speak_h2
from trio_stream import Stream
from trio_stream.testing import connect
from trio_stream.transport.asgi import Receive, Scope, Send

Clock = trio.testing.MockClock
AS_HTTP2 = tuple((name.encode(), value.encode()) for name, value in EVENT_SOURCE.items())


async def retries_of(count: int, **options: float) -> list[int]:
    bodies = [await body_of(Stream([], **options)) for _ in range(count)]  # type: ignore[arg-type]
    return [int(re.fullmatch(rb"retry: (\d+)\n", body)[1]) for body in bodies]  # type: ignore[index]


@pytest.mark.usefixtures("by_chance")
@pytest.mark.parametrize(
    ("options", "least", "most"),
    [
        ({}, 3000, 6000),
        ({"retry": 500}, 500, 1000),
        ({"retry_jitter": 0.1}, 3000, 3300),
        ({"retry": 1000, "retry_jitter": 10}, 1000, 11_000),
    ],
)
async def test_each_client_is_told_a_retry_of_its_own(
    options: dict[str, float], least: int, most: int
) -> None:
    retries = await retries_of(200, **options)
    assert min(retries) >= least
    assert max(retries) < most
    # Over all of it: no tenth is left out, but once in a hundred million runs.
    assert {(retry - least) * 10 // (most - least) for retry in retries} == set(range(10))


@pytest.mark.usefixtures("by_chance")
async def test_or_all_the_same() -> None:
    assert await retries_of(20, retry_jitter=0) == [3000] * 20
    assert await retries_of(20, retry=0) == [0] * 20
    assert set(await retries_of(20, retry=2**63 - 1)) == {2**63 - 1}


@pytest.mark.usefixtures("by_chance")
async def test_what_is_set_later_is_told_so_and_what_is_sent_to_the_letter(
    autojump_clock: Clock,
) -> None:
    async def produce(stream: Stream) -> None:
        await stream.send("a")
        await stream.wait(0.1)  # until the primer has gone out
        stream.retry = 10_000
        await stream.send("b", retry=7)

    found = []
    for _ in range(20):
        body = await body_of(Stream(produce))
        [_, later, sent] = re.findall(rb"retry: (\d+)\n", body)
        assert sent == b"7"
        found.append(int(later))
    assert min(found) >= 10_000
    assert max(found) < 20_000
    assert len(set(found)) > 10


@pytest.mark.usefixtures("by_chance")
async def test_an_entered_stream_says_its_own_likewise() -> None:
    found = set()
    for _ in range(20):
        async with Stream(["a"], retry=1000) as stream:
            first = await anext(stream.value)
        found.add(int(re.match(rb"retry: (\d+)\n", first)[1]))  # type: ignore[index]
    assert min(found) >= 1000
    assert max(found) < 2000
    assert len(found) > 10


@pytest.mark.usefixtures("by_chance")
async def test_pings_of_streams_that_opened_together_drift_apart(autojump_clock: Clock) -> None:
    times: list[list[float]] = []

    async def note(number: int) -> None:
        async with connect(Stream(ping=10)) as client:
            await client.receive_chunk()
            for _ in range(5):
                assert await client.receive_chunk() == b":\n"
                times[number].append(trio.current_time() - began)

    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        for number in range(50):
            times.append([])
            nursery.start_soon(note, number)
    for own in times:
        # Each stream's are regular, and never later than was asked for, but for the 0.02 s that it
        # may wait to be looked at with others.
        assert own == pytest.approx([own[0] * (n + 1) for n in range(5)], abs=0.1)
        assert 8 <= own[0] <= 10.021
    spreads = [max(column) - min(column) for column in zip(*times, strict=True)]
    assert spreads[0] > 1
    assert spreads == pytest.approx([spreads[0] * (n + 1) for n in range(5)], abs=0.1)


# The ends of a server that shuts down.


class Ends:
    """When streams end, in seconds after the server was told to, and how."""

    def __init__(self) -> None:
        self.told_at = inf
        self.all: list[tuple[float, str]] = []

    def note(self, stream: Stream) -> None:
        self.all.append((round(trio.current_time() - self.told_at, 3), str(stream.outcome)))

    @property
    def times(self) -> list[float]:
        return sorted(time for time, _ in self.all)


async def serve_one(
    here: HypercornHere, bodies: list[bytes], *, task_status: trio.TaskStatus[None]
) -> None:
    """Serve one client, who reads to the end."""
    async with here.client, trio.open_nursery() as nursery:
        nursery.start_soon(here.run)
        await send_request(here.client, "/", *AS_EVENT_SOURCE, "connection: close")
        received = await read_until(here.client, b"retry: ")
        task_status.started()
        while piece := await here.client.receive_some():
            received += piece
        bodies.append(received)


async def shut_down_all(
    ends: Ends, apps: list[Stream], graceful_timeout: float = 60
) -> list[bytes]:
    """One worker, a connection for each of these; returns what the clients got."""
    bodies: list[bytes] = []
    first: HypercornHere | None = None
    async with trio.open_nursery() as nursery:
        for app in apps:
            here = HypercornHere(app, beside=first, graceful_timeout=graceful_timeout)
            first = first or here
            await nursery.start(serve_one, here, bodies)
        assert first is not None
        ends.told_at = trio.current_time()
        await first.shut_down()
    return bodies


async def test_a_shutdown_ends_streams_one_after_another(autojump_clock: Clock) -> None:
    ends = Ends()
    streams = [Stream(drain_over=20, on_end=ends.note) for _ in range(10)]
    bodies = await shut_down_all(ends, streams)
    assert ends.times == [2 * n for n in range(10)]
    assert {outcome for _, outcome in ends.all} == {"shutdown"}
    assert all(re.search(rb"retry: 3000\n.*retry: \d+\n", body, re.DOTALL) for body in bodies)


async def test_also_those_of_one_connection(autojump_clock: Clock) -> None:
    ends = Ends()

    async def endpoint(scope: Scope, receive: Receive, send: Send) -> None:
        await Stream(drain_over=8, on_end=ends.note)(scope, receive, send)

    here = HypercornHere(endpoint, graceful_timeout=60)
    async with here.client, trio.open_nursery() as nursery:
        nursery.start_soon(here.run)
        async with speak_h2(here.client) as client:
            streams = [await client.request("/", *AS_HTTP2) for _ in range(4)]
            for stream in streams:
                await client.until(stream, b"retry: ")
            ends.told_at = trio.current_time()
            await here.shut_down()
            assert all([(await client.until_ended(stream)).ended for stream in streams])
        nursery.cancel_scope.cancel()
    assert ends.times == [0, 2, 4, 6]


async def test_at_once_if_it_is_not_asked_for(autojump_clock: Clock) -> None:
    ends = Ends()
    await shut_down_all(ends, [Stream(on_end=ends.note) for _ in range(5)])
    assert ends.times == [0] * 5


async def test_a_producer_is_told_when_it_is_its_streams_turn(autojump_clock: Clock) -> None:
    ends = Ends()
    told: list[float] = []

    async def obey(stream: Stream) -> None:
        await stream.draining.wait()
        told.append(trio.current_time() - ends.told_at)
        await stream.send("last words")

    async def ignore(stream: Stream) -> None:
        await trio.sleep_forever()

    make = partial(Stream, drain_over=20, drain_timeout=3)
    await shut_down_all(ends, [make(obey, on_end=ends.note) for _ in range(4)])
    assert sorted(told) == [0, 5, 10, 15]
    assert ends.times == [0, 5, 10, 15]
    assert all(outcome == "completed" for _, outcome in ends.all)
    ends = Ends()
    await shut_down_all(ends, [make(ignore, on_end=ends.note) for _ in range(4)])
    assert ends.times == [3, 8, 13, 18]


async def test_who_ends_before_its_turn_is_told_when_to_come_back_too(
    autojump_clock: Clock,
) -> None:
    async def end_soon(stream: Stream) -> None:
        await stream.send("a")
        await trio.sleep(1)

    ends = Ends()
    streams = [Stream(end_soon, drain_over=50, on_end=ends.note) for _ in range(4)]
    bodies = await shut_down_all(ends, streams)
    assert all(time <= 1 for time in ends.times)
    assert all(re.search(rb"data: a\n\n.*retry: \d+\n", body, re.DOTALL) for body in bodies)


async def test_each_stream_says_for_itself_over_how_long(autojump_clock: Clock) -> None:
    ends = Ends()
    patient = [Stream(drain_over=20, on_end=ends.note) for _ in range(3)]
    await shut_down_all(ends, [*patient, *(Stream(on_end=ends.note) for _ in range(3))])
    assert ends.times[:3] == [0] * 3
    assert len([time for time in ends.times if 0 < time < 20]) > 0


async def test_one_that_opens_when_the_server_ends_already_ends_at_once(
    autojump_clock: Clock,
) -> None:
    ends = Ends()
    asked, told = trio.Event(), trio.Event()

    async def endpoint(scope: Scope, receive: Receive, send: Send) -> None:
        asked.set()
        await told.wait()
        await Stream(drain_over=20, on_end=ends.note)(scope, receive, send)

    here = HypercornHere(endpoint)
    async with here.client, trio.open_nursery() as nursery:
        nursery.start_soon(here.run)
        await send_request(here.client, "/", *AS_EVENT_SOURCE, "connection: close")
        await asked.wait()
        ends.told_at = trio.current_time()
        await here.shut_down()
        told.set()
        await read_to_end(here.client)
    assert ends.times == [0]


@pytest.mark.parametrize("graceful_timeout", [10, 30])
async def test_longer_than_the_server_waits_is_said_once(
    autojump_clock: Clock, caplog: pytest.LogCaptureFixture, graceful_timeout: float
) -> None:
    ends = Ends()
    make = partial(Stream, drain_over=20, drain_timeout=5, on_end=ends.note)
    await shut_down_all(ends, [make() for _ in range(3)], graceful_timeout)
    warnings = [record.message for record in caplog.records if record.levelname == "WARNING"]
    if graceful_timeout == 30:
        assert warnings == []
    else:
        [warning] = warnings
        assert "drain_over=20 and drain_timeout=5 are longer than Hypercorn's" in warning
        assert warning.endswith("--graceful-timeout 26")


async def test_a_client_that_takes_nothing_holds_no_server_that_waits_for_turns(
    autojump_clock: Clock,
) -> None:
    ends = Ends()
    over = trio.Event()

    def note(stream: Stream) -> None:
        ends.note(stream)
        over.set()

    flood = Stream(["x" * 2**20] * 100, stall_timeout=1000, drain_over=9, on_end=note)
    here = HypercornHere(flood, room=4096, graceful_timeout=10)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(here.run)
        await send_request(here.client, "/", "connection: close")
        await read_until(here.client, b"xxx")
        await trio.testing.wait_all_tasks_blocked(0.1)
        ends.told_at = trio.current_time()
        await here.shut_down()
        await over.wait()
        await trio.aclose_forcefully(here.client)
    [(time, outcome)] = ends.all
    assert outcome == "stalled"
    assert time <= 10
