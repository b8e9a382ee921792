"""`flush_every`: what comes faster goes out together, in its order; nothing is held longer."""

from itertools import pairwise
from typing import Any

import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from tests.stream.helpers import PRIMER
from tests.support.hypercorn_here import HypercornHere
from tests.support.raw import send_request
from trio_stream import Stream, encode, open_broker
from trio_stream.testing import connect

Clock = trio.testing.MockClock
Chunks = list[tuple[float, bytes]]


async def tokens(stream: Stream, every: float, count: int) -> None:
    for number in range(count):
        await stream.send(number)
        await trio.sleep(every)


async def chunks_of(stream: Stream) -> Chunks:
    """When each chunk came, and it."""
    chunks = []
    async with connect(stream) as client:
        began = trio.current_time()
        async for chunk in client.chunks():
            chunks.append((round(trio.current_time() - began, 3), chunk))
        assert client.ended == "complete"
    return chunks


def data(*numbers: int) -> bytes:
    return b"".join(b"data: %d\n\n" % number for number in numbers)


async def test_what_comes_faster_is_joined(autojump_clock: Clock) -> None:
    stream = Stream(lambda stream: tokens(stream, 0.1, 10), flush_every=0.35, ping=None)
    chunks = await chunks_of(stream)
    assert chunks[:3] == [
        (0, PRIMER + data(0)),
        (0.35, data(1, 2, 3)),
        (0.7, data(4, 5, 6)) if chunks[2][1] == data(4, 5, 6) else (0.7, data(4, 5, 6, 7)),
    ]
    assert b"".join(chunk for _, chunk in chunks) == PRIMER + data(*range(10))


async def test_the_last_is_not_held(autojump_clock: Clock) -> None:
    async def produce(stream: Stream) -> None:
        for number in range(5):
            await stream.send(number)
        await trio.sleep(100)

    chunks = await chunks_of(Stream(produce, flush_every=2, ping=None, hold_headers=False))
    # With the head, or else as soon as it is time.
    assert chunks[0][0] == 0
    assert all(time <= 2 for time, _ in chunks)
    assert b"".join(chunk for _, chunk in chunks) == PRIMER + data(*range(5))


async def test_the_end_waits_for_nothing(autojump_clock: Clock) -> None:
    chunks = await chunks_of(Stream(lambda stream: tokens(stream, 0.1, 3), flush_every=60))
    assert chunks[-1] == (0.3, data(1, 2))


async def test_one_that_comes_after_a_while_goes_at_once(autojump_clock: Clock) -> None:
    stream = Stream(lambda stream: tokens(stream, 5, 3), flush_every=2, ping=None)
    assert await chunks_of(stream) == [(0, PRIMER + data(0)), (5, data(1)), (10, data(2))]


async def test_a_full_buffer_waits_for_its_write(autojump_clock: Clock) -> None:
    """It is so many writes a second whatever comes: who is faster is held back."""
    stream = Stream(range(50), buffer=5, flush_every=1, ping=None)
    chunks = await chunks_of(stream)
    times = [time for time, _ in chunks]
    gaps = [after - before for before, after in pairwise(times)]
    assert all(gap >= 1 for gap in gaps[:-1])
    assert b"".join(chunk for _, chunk in chunks) == PRIMER + data(*range(50))


async def test_past_no_channel_of_a_direct_transport(autojump_clock: Clock) -> None:
    """Neither an event of its own nor one to many: all wait for the write."""

    async def produce(stream: Stream) -> None:
        for number in range(40):
            await stream.send(number)
            Stream.send_to_all_nowait([stream], encode(number))
            await trio.sleep(0.1)

    here = HypercornHere(Stream(produce, flush_every=1, ping=None))
    async with here.client, trio.open_nursery() as nursery:
        nursery.start_soon(here.run)
        await send_request(here.client, "/", "connection: close")
        times, received = [], b""
        while piece := await here.client.receive_some():
            times.append(trio.current_time())
            received += piece
    assert received.count(b"data: ") == 80
    assert 4 <= len(times) <= 6
    assert all(after - before >= 0.99 for before, after in pairwise(times[:-1]))


async def test_a_subscription_too(autojump_clock: Clock) -> None:
    async with open_broker() as broker:
        stream = Stream(broker.subscribe("t"), flush_every=1, ping=None, hold_headers=False)
        async with connect(stream) as client, trio.open_nursery() as nursery:
            writes: dict[float, int] = {}

            async def read() -> None:
                async for chunk in client.chunks():
                    now = round(trio.current_time() - began, 3)
                    writes[now] = writes.get(now, 0) + chunk.count(b"data: ")

            began = trio.current_time()
            nursery.start_soon(read)
            await trio.sleep(5)
            for number in range(20):
                await broker.publish("t", number)
                await trio.sleep(0.09)
            await trio.sleep(2)
            assert writes == {0: 0, 5: 1, 6: 11, 7: 8}
            stream.close()


@given(
    pauses=st.lists(st.sampled_from([0, 0.01, 0.1, 0.3, 1, 3]), max_size=30),
    flush_every=st.sampled_from([0.05, 0.2, 1]),
    buffer=st.integers(1, 8),
)
def test_in_order_all_of_it_and_none_later(
    pauses: list[float], flush_every: float, buffer: int
) -> None:
    sent: list[float] = []

    async def produce(stream: Stream) -> None:
        for number, pause in enumerate(pauses):
            await stream.send(number)
            sent.append(trio.current_time())
            await trio.sleep(pause)
        await trio.sleep(10)

    async def main() -> None:
        options: dict[str, Any] = {"flush_every": flush_every, "buffer": buffer, "ping": None}
        chunks: Chunks = []
        async with connect(Stream(produce, hold_headers=False, **options)) as client:
            async for chunk in client.chunks():
                chunks.append((trio.current_time(), chunk))
        whole = b"".join(chunk for _, chunk in chunks)
        assert whole == PRIMER + data(*range(len(pauses)))
        came = [time for time, chunk in chunks for _ in range(chunk.count(b"data: "))]
        assert all(at <= was + flush_every + 1e-6 for at, was in zip(came, sent, strict=True))
        times = [time for time, _ in chunks]
        assert all(b - a >= flush_every - 1e-6 for a, b in pairwise(times))

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
