"""Each row of the table "How a stream ends" that the portable transport can give, by itself."""

import time

import pytest
import trio
import trio.testing

from tests.stream.helpers import PRIMER, Generator, until_ended
from tests.support.raw import EVENT_SOURCE
from tests.support.tasks import NothingLeft
from trio_stream import Outcome, Stream
from trio_stream.testing import connect

Clock = trio.testing.MockClock


class Producer:
    """A callback that sends one event and sleeps for ever; notes what ended it."""

    def __init__(self) -> None:
        self.saw: BaseException | None = None
        self.outcome_seen: Outcome | None = None

    async def __call__(self, stream: Stream) -> None:
        await stream.send("one")
        try:
            await trio.sleep_forever()
        except BaseException as error:
            self.saw = error
            self.outcome_seen = stream.outcome
            raise


async def test_an_exhausted_source_completes(no_task_left: NothingLeft) -> None:
    stream = Stream(["a", "b"])
    async with connect(stream) as client:
        assert await client.read() == PRIMER + b"data: a\n\ndata: b\n\n"
        assert client.ended == "complete"
    assert stream.outcome == "completed"
    await no_task_left()


async def test_a_callback_completes_with_its_last_task(autojump_clock: Clock) -> None:
    async def late(stream: Stream) -> None:
        await trio.sleep(10)
        await stream.send("from the task")

    async def callback(stream: Stream) -> None:
        stream.start_soon(late, stream)
        await stream.send("from the callback")

    stream = Stream(callback)
    async with connect(stream) as client:
        data = [event.data async for event in client.events()]
        assert client.ended == "complete"
    assert data == ["from the callback", "from the task"]
    assert stream.outcome is Outcome.COMPLETED


async def test_closed_what_is_queued_goes_out_and_the_rest_is_cancelled(
    no_task_left: NothingLeft,
) -> None:
    saw = []

    async def task() -> None:
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            saw.append("task")
            raise

    async def callback(stream: Stream) -> None:
        stream.start_soon(task)
        await trio.testing.wait_all_tasks_blocked()
        for number in range(100):
            stream.send_nowait(number)
        stream.close()
        stream.close()
        with pytest.raises(trio.ClosedResourceError, match=r"the stream has ended \(closed\)"):
            stream.send_nowait("late")
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            saw.append("callback")
            raise

    stream = Stream(callback)
    async with connect(stream) as client:
        assert [event.json() async for event in client.events()] == list(range(100))
        assert client.ended == "complete"
    assert sorted(saw) == ["callback", "task"]
    assert stream.outcome == "closed"
    await no_task_left()


async def test_a_disconnect_cancels_the_producer(no_task_left: NothingLeft) -> None:
    producer = Producer()
    stream = Stream(producer)
    async with connect(stream) as client:
        await client.receive_event()
        client.disconnect()
        await trio.testing.wait_all_tasks_blocked()
        assert isinstance(producer.saw, trio.Cancelled)
        assert producer.outcome_seen == "disconnected"
    assert stream.outcome is Outcome.DISCONNECTED
    await no_task_left()


async def test_no_timer_lies_between_the_disconnect_and_the_cancellation(
    autojump_clock: Clock,
) -> None:
    autojump_clock.autojump_threshold = float("inf")  # time stands still
    producer = Producer()
    async with connect(Stream(producer)) as client:
        await client.receive_event()
        client.disconnect()
        for _ in range(5):
            await trio.lowlevel.checkpoint()
        assert isinstance(producer.saw, trio.Cancelled)


async def test_a_client_that_takes_nothing_has_stalled(
    autojump_clock: Clock, no_task_left: NothingLeft
) -> None:
    producer = Generator()
    stream = Stream(producer(), stall_timeout=60)
    async with connect(stream) as client:
        await client.receive_event()
        client.stall()
        began = trio.current_time()
        await until_ended(stream)
        assert trio.current_time() - began == pytest.approx(60, abs=0.1)
        assert client.ended is None
    assert stream.outcome is Outcome.STALLED
    assert producer.closed
    await no_task_left()


async def test_a_client_that_drips_has_not_stalled(autojump_clock: Clock) -> None:
    stream = Stream([b"x" * 50] * 100, format="bytes", stall_timeout=60)
    async with connect(stream) as client:
        client.drip(500, seconds=5)
        assert len(await client.read()) == 5000
    assert stream.outcome == "completed"


async def test_a_large_event_taken_slowly_has_not_stalled(autojump_clock: Clock) -> None:
    stream = Stream(["x" * 2**20], stall_timeout=60)
    async with connect(stream) as client:
        client.drip(2**16, seconds=50)
        assert len(await client.read()) > 2**20
    assert stream.outcome == "completed"


@pytest.mark.parametrize(("size", "seconds"), [(1000, 0.2), (100, 0.2), (10, 0.5), (8, 0.9)])
@pytest.mark.parametrize("warm", [False, True])
async def test_however_little_it_takes_who_takes_bytes_has_not_stalled(
    size: int, seconds: float, warm: bool, autojump_clock: Clock
) -> None:
    stream = Stream(["x" * 3000] * 2, stall_timeout=1, ping=None)
    async with connect(stream, socket_buffer=4000 if warm else 100) as client:
        client.drip(size, seconds)
        body = await client.read()
    assert len(body) > 6000
    assert stream.outcome == "completed"


async def test_one_that_slows_down_has_not_stalled_and_one_that_stops_has(
    autojump_clock: Clock,
) -> None:
    stream = Stream([b"x" * 2**20] * 8, format="bytes", stall_timeout=30, ping=None)
    async with connect(stream, socket_buffer=2**14) as client:
        taken = 0
        while taken < 2**20:  # as fast as it goes
            taken += len(await client.receive_chunk())
        for _ in range(20):
            taken += len(await client.receive_chunk())
            await trio.sleep(5)
        assert stream.outcome is None
        began = trio.current_time()
        await until_ended(stream)
        assert stream.outcome is Outcome.STALLED
        # That counts from the end of the last `send`: it has taken two pauses at most.
        assert 30 - 2 * 5 - 0.1 <= trio.current_time() - began <= 30.1


async def test_without_a_stall_timeout_it_waits_for_ever(autojump_clock: Clock) -> None:
    stream = Stream(Generator()(), stall_timeout=None)
    async with connect(stream) as client:
        client.stall()
        await trio.sleep(1e6)
        assert stream.outcome is None


async def test_max_duration_ends_it_within_ten_percent(
    autojump_clock: Clock, no_task_left: NothingLeft
) -> None:
    lengths = []
    for _ in range(20):
        producer = Producer()
        stream = Stream(producer, max_duration=1000, ping=None)
        began = trio.current_time()
        async with connect(stream, headers=EVENT_SOURCE) as client:
            assert await client.read() == PRIMER + b"data: one\n\n"
            assert client.ended == "complete"
        lengths.append(trio.current_time() - began)
        assert stream.outcome is Outcome.EXPIRED
        assert isinstance(producer.saw, trio.Cancelled)
        assert producer.outcome_seen == "expired"
    assert all(900 <= length <= 1101 for length in lengths)
    assert max(lengths) - min(lengths) > 1
    await no_task_left()


async def test_expires_at_is_never_late(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    offset = 1e9 - trio.current_time()
    monkeypatch.setattr(time, "time", lambda: trio.current_time() + offset)
    stream = Stream(Producer(), expires_at=time.time() + 1000, max_duration=5000)
    began = trio.current_time()
    async with connect(stream, headers=EVENT_SOURCE) as client:
        await client.read()
        assert client.ended == "complete"
    assert 999.9 < trio.current_time() - began < 1000.1
    assert stream.outcome == "expired"


async def test_it_expires_when_the_wall_clock_is_set_forward(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    wall = [1e9]
    monkeypatch.setattr(time, "time", lambda: wall[0])
    stream = Stream(Producer(), expires_at=wall[0] + 10_000, ping=15)
    async with connect(stream):
        await trio.sleep(20)
        wall[0] += 20_000
        await trio.sleep(20)
        assert stream.outcome == "expired"


async def test_one_that_has_expired_already_ends_at_once(autojump_clock: Clock) -> None:
    stream = Stream(Producer(), expires_at=time.time() - 1)
    async with connect(stream, headers=EVENT_SOURCE) as client:
        await client.read()
        assert client.ended == "complete"
    assert stream.outcome == "expired"
