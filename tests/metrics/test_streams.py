"""What is told of streams: open, ended, how old, what they sent, what waits, who stalls."""

import logging
import math
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import trio
import trio.testing

from tests.metrics.figures import figure, scrape
from trio_stream import Stream, StreamLimits
from trio_stream.metrics.readings import Readings, readings
from trio_stream.stream.registry import current_registry
from trio_stream.stream.tally import StreamTally
from trio_stream.testing import connect
from trio_stream.transport.memory import Application

Clock = trio.testing.MockClock


async def forever(stream: Stream) -> None:
    await trio.sleep_forever()


def silent(label: str, **options: Any) -> Application:
    return Stream(forever, label=label, hold_headers=False, **options)


async def test_open_streams_by_what_they_are() -> None:
    async with (
        connect(silent("open"), http_version="1.1"),
        connect(silent("open"), http_version="2"),
        connect(silent("open", compress="auto"), headers={"accept-encoding": "gzip"}),
    ):
        await trio.testing.wait_all_tasks_blocked()
        by_way = {
            (labels["network_protocol_version"], labels["trio_stream_coding"]): value
            for (name, pairs), value in (await scrape()).items()
            if (labels := dict(pairs)).get("http_route") == "open"
            and name.endswith("active_streams")
        }
        assert by_way == {("1.1", "identity"): 1, ("2", "identity"): 1, ("1.1", "gzip"): 1}
    assert await figure("server_active_streams", http_route="open") == 0
    assert await figure("server_opened_streams_total", http_route="open") == 3


async def test_ended_streams_by_outcome_and_age(autojump_clock: Clock) -> None:
    async def for_a_while(stream: Stream) -> None:
        await stream.wait(30)

    for end in range(3):
        async with connect(Stream(for_a_while, label="ended")) as client:
            if end:
                await client.read()
    ended = {"http_route": "ended", "trio_stream_outcome": "completed"}
    assert await figure("server_ended_streams_total", **ended) == 2
    assert await figure("server_stream_duration_seconds_sum", **ended) == pytest.approx(60)
    assert await figure("server_stream_duration_seconds_bucket", **ended, le="10.0") == 0
    assert await figure("server_stream_duration_seconds_bucket", **ended, le="60.0") == 2
    left = {"http_route": "ended", "trio_stream_outcome": "disconnected"}
    assert await figure("server_stream_duration_seconds_count", **left) == 1


async def test_what_was_answered_without_a_stream_has_ended_and_was_never_open() -> None:
    limits = StreamLimits(total=1)
    async with connect(silent("one", limits=limits)), connect(silent("one", limits=limits)) as late:
        assert late.status == 503
    async with connect(silent("one"), method="HEAD"):
        pass
    assert await figure("server_opened_streams_total", http_route="one") == 1
    for outcome in ("refused", "answered"):
        labels = {"http_route": "one", "trio_stream_outcome": outcome}
        assert await figure("server_ended_streams_total", **labels) == 1


async def test_events_and_bytes_while_it_is_open_and_after(autojump_clock: Clock) -> None:
    stream = Stream(label="sent")
    async with connect(stream) as client:
        for n in range(5):
            await stream.send(n)
        events = await figure("server_stream_events_total", http_route="sent")
        assert events == 5
        await trio.sleep(20)  # pings
        stream.close()
        size = len(await client.read())
    assert await figure("server_stream_events_total", http_route="sent") == 5
    assert await figure("server_stream_io_bytes_total", http_route="sent") == size


async def test_what_waits_for_a_client_that_stalls(autojump_clock: Clock) -> None:
    options: dict[str, Any] = {"stall_timeout": None, "ping": None}
    stream, other = Stream(label="queue", **options), Stream(label="queue", **options)
    async with connect(stream) as client, connect(other):
        await trio.testing.wait_all_tasks_blocked()
        client.stall()
        stream.send_nowait("x" * 2**18)  # more than its socket takes
        await trio.testing.wait_all_tasks_blocked()
        assert await figure("server_stalled_streams", http_route="queue") == 0
        for n in range(3):
            stream.send_nowait(n)
        await trio.sleep(7)
        assert await figure("server_stalled_streams", http_route="queue") == 1
        assert await figure("server_write_age_seconds", http_route="queue") == 7
        assert await figure("server_queue_events", http_route="queue") == 3
        assert await figure("server_queue_size_bytes", http_route="queue") == 3 * len("data: 0\n\n")
        assert await figure("server_queue_longest", http_route="queue") == 3
        client.resume()
        while (await client.receive_event()).data != "2":
            pass
        assert await figure("server_queue_longest", http_route="queue") == 0
        assert await figure("server_queue_peak", http_route="queue") == 3
        assert await figure("server_stalled_streams", http_route="queue") == 0


async def test_from_the_shutdown_to_the_last_end(autojump_clock: Clock) -> None:
    class Worker:
        terminated = trio.Event()

    tally, registry, worker = StreamTally(), current_registry(), Worker()
    assert tally.shutdown_seconds == 0
    labels = [tally.open("a"), tally.open("a")]
    await trio.sleep(100)
    tally.shut_down()
    await trio.sleep(3)
    assert tally.shutdown_seconds == 3
    for label in labels:
        await trio.sleep(4)
        tally.end(label, "shutdown", 0, 0, 0)
    await trio.sleep(50)
    assert tally.shutdown_seconds == 11

    class Watched:
        def __init__(self) -> None:
            self.worker = worker

        def check(self, now: float) -> float:
            return now + 100

        def shut_down(self, place: float) -> None:
            pass

    # A server's word is what begins it.
    watched = Watched()
    registry.add(watched, math.inf)
    registry.join_worker(watched, worker)
    await trio.testing.wait_all_tasks_blocked()
    worker.terminated.set()
    async with connect(silent("shut down")):
        await trio.sleep(2)
        assert await figure("server_shutdown_duration_seconds") == 2
    registry.discard(watched)
    await trio.testing.wait_all_tasks_blocked()


async def test_labels_without_number_are_one(caplog: pytest.LogCaptureFixture) -> None:
    tally = StreamTally()
    with caplog.at_level(logging.WARNING, "trio_stream"):
        for n in range(1000):
            tally.end(tally.open(f"user {n}"), "completed", 1, 1, 1)
    assert len(tally.opened) == 201
    assert tally.opened["other"] == tally.events["other"] == 800
    assert len(tally.durations.values()) == 201
    [record] = caplog.records
    assert "more than 200 labels" in record.getMessage()


def until(done: threading.Event, readers: Readings) -> Iterator[float]:
    while not done.is_set():
        values = readers.read()["trio_stream.server.stream.events"]
        value = values.get(("back",), 0.0)
        assert isinstance(value, float | int)
        yield value


async def test_no_counter_goes_back_while_streams_end_and_a_thread_reads() -> None:
    """As often as it can: each stream is counted once, whether it is open still or has ended."""
    done = threading.Event()
    own = Readings()

    def read() -> list[float]:
        return list(until(done, own))

    async def stream_of_many() -> None:
        async with connect(Stream(range(300), label="back")) as client:
            await client.read()

    async with trio.open_nursery() as nursery:
        found: list[list[float]] = []

        async def collect() -> None:
            found.append(await trio.to_thread.run_sync(read))

        nursery.start_soon(collect)
        for _ in range(10):
            async with trio.open_nursery() as streams:
                for _ in range(20):
                    streams.start_soon(stream_of_many)
        done.set()
    [values] = found
    assert values == sorted(values)
    assert await figure("server_stream_events_total", http_route="back") == 10 * 20 * 300


async def test_who_asks_more_often_than_a_reading_costs_gets_the_last_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    spent = iter(range(10**6))

    def dear() -> float:
        return next(spent) * 0.02  # 20 ms of the processor between two looks

    own = Readings()
    monkeypatch.setattr("time.thread_time", lambda: 0.0)
    cheap = own.read()
    assert own.read() is not cheap
    monkeypatch.setattr("time.thread_time", dear)
    values = own.read()
    for n in range(18):
        now = n / 100
        assert own.read() is values
        assert await own.read_in_turns() is values
    now = 0.181
    assert own.read() is not values


async def test_a_reading_of_many_lets_others_run() -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:

        async def hold(*, task_status: trio.TaskStatus[None]) -> None:
            async with connect(silent("many")):
                task_status.started()
                await trio.sleep_forever()

        for _ in range(600):
            await nursery.start(hold)
        nursery.start_soon(count)
        readings.forget()
        before = turns
        values = await readings.read_in_turns()
        assert values["trio_stream.server.opened_streams"]["many",] == 600
        assert turns - before >= 2
        nursery.cancel_scope.cancel()
