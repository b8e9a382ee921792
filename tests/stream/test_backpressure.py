"""The bounds of a stream's buffer, in events and bytes, and who gets the room."""

from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from trio_stream import Stream
from trio_stream.testing import connect
from trio_stream.testing.client import Client
from trio_stream.transport.base import LARGE

Clock = trio.testing.MockClock


async def stall(stream: Stream, client: Client) -> None:
    """Stall the client with one event under way, so that all that follow are queued."""
    await trio.testing.wait_all_tasks_blocked()
    client.stall()
    await stream.send("under way")
    await trio.testing.wait_all_tasks_blocked()
    assert stream.statistics().queued == 0


async def test_the_buffer_is_bounded_in_events() -> None:
    stream = Stream(buffer=3)
    async with connect(stream) as client:
        await stall(stream, client)
        for _ in range(3):
            stream.send_nowait("x")
        with pytest.raises(trio.WouldBlock):
            stream.send_nowait("x")
        assert stream.statistics().queued == 3


async def test_and_in_bytes() -> None:
    stream = Stream(buffer_bytes=100)
    async with connect(stream) as client:
        await stall(stream, client)
        stream.send_nowait("x" * 42)  # 50 bytes on the wire
        stream.send_nowait("x" * 42)
        with pytest.raises(trio.WouldBlock):
            stream.send_nowait("")


async def test_one_larger_event_is_always_let_in() -> None:
    stream = Stream(buffer_bytes=100)
    async with connect(stream) as client:
        await stall(stream, client)
        stream.send_nowait("x" * 2**20)
        with pytest.raises(trio.WouldBlock):
            stream.send_nowait("x")
        client.resume()
        stream.close()
        sizes = [len(event.data) async for event in client.events()]
    assert sizes == [len("under way"), 2**20]


async def test_a_larger_event_waits_until_nothing_else_does(autojump_clock: Clock) -> None:
    stream = Stream(buffer_bytes=100)
    async with connect(stream) as client:
        await stall(stream, client)
        stream.send_nowait("x")
        with pytest.raises(trio.WouldBlock):
            stream.send_nowait("x" * 2**20)


async def test_what_is_written_no_longer_counts() -> None:
    stream = Stream(buffer=1)
    async with connect(stream) as client:
        await stall(stream, client)
        stream.send_nowait("first")
        client.resume()
        await trio.testing.wait_all_tasks_blocked()
        stream.send_nowait("second")


async def test_waiting_senders_are_served_first_come_first_served() -> None:
    stream = Stream(buffer=1)
    async with connect(stream) as client, trio.open_nursery() as nursery:
        await stall(stream, client)
        for number in range(10):
            nursery.start_soon(stream.send, number)
            await trio.testing.wait_all_tasks_blocked()
        client.resume()
        data = [(await client.receive_event()).data for _ in range(11)]
    assert data == ["under way", *(str(number) for number in range(10))]


async def test_nobody_overtakes_a_waiting_sender() -> None:
    """Not even an event that would find room, while a larger one waits for its own."""
    stream = Stream(buffer_bytes=100)
    async with connect(stream) as client, trio.open_nursery() as nursery:
        await stall(stream, client)
        stream.send_nowait("a" * 42)
        nursery.start_soon(stream.send, "b" * 80)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(trio.WouldBlock):
            stream.send_nowait("c")
        nursery.start_soon(stream.send, "c")
        await trio.testing.wait_all_tasks_blocked()
        client.resume()
        data = [(await client.receive_event()).data for _ in range(4)]
    assert data == ["under way", "a" * 42, "b" * 80, "c"]


@pytest.mark.parametrize("kind", ["callback", "async generator", "list"])
async def test_the_producer_is_held_back(kind: str) -> None:
    made = 0

    def make() -> str:
        nonlocal made
        made += 1
        return "x" * 92  # 100 bytes on the wire

    async def callback(stream: Stream) -> None:
        while True:
            await stream.send(make())

    async def generator() -> AsyncIterator[str]:
        while True:
            yield make()

    if kind == "list":
        source: object = ["x" * 92] * 10_000
    else:
        source = callback if kind == "callback" else generator()
    stream = Stream(source, buffer=50)
    async with connect(stream, socket_buffer=1000) as client:
        await trio.testing.wait_all_tasks_blocked()
        statistics = stream.statistics()
        assert statistics.queued == 50
        # Fifty wait; what the socket has and what is being written came before: at most a buffer
        # full each.
        assert statistics.events <= 50 + 50 + 10 + 1
        assert made <= statistics.events + 1
        client.disconnect()


async def test_it_goes_on_as_the_client_reads() -> None:
    stream = Stream(["x" * 92] * 1000, buffer=50)
    async with connect(stream, socket_buffer=1000) as client:
        assert len([event async for event in client.events()]) == 1000
        assert client.ended == "complete"


@settings(max_examples=50)
@given(
    sizes=st.lists(st.integers(0, 2000), max_size=60),
    senders=st.integers(1, 4),
    buffer=st.integers(1, 20),
    buffer_bytes=st.integers(1, 3000),
    socket_buffer=st.integers(1, 3000),
)
async def test_whatever_the_sizes_nothing_is_lost_or_reordered(
    sizes: list[int], senders: int, buffer: int, buffer_bytes: int, socket_buffer: int
) -> None:
    await send_all(sizes, senders, buffer, buffer_bytes, socket_buffer)


@settings(max_examples=30)
@given(
    sizes=st.lists(st.sampled_from([0, 100, LARGE - 100, LARGE]), max_size=12),
    senders=st.integers(1, 3),
    buffer=st.integers(1, 6),
    buffer_bytes=st.sampled_from([200, 2 * LARGE, 2**20]),
)
async def test_nor_are_those_that_go_alone(
    sizes: list[int], senders: int, buffer: int, buffer_bytes: int
) -> None:
    await send_all(sizes, senders, buffer, buffer_bytes, LARGE)


async def test_a_large_event_of_one_who_waits_waits_for_no_ping(autojump_clock: Clock) -> None:
    began = trio.current_time()
    await send_all([LARGE, 100, 0, LARGE, 0, LARGE, LARGE], 3, 1, 2**20, LARGE)
    await send_all([100, LARGE, 0, 100, LARGE, LARGE], 3, 2, 2 * LARGE, LARGE)
    assert trio.current_time() - began < 1


async def send_all(
    sizes: list[int], senders: int, buffer: int, buffer_bytes: int, socket_buffer: int
) -> None:
    async def send(stream: Stream, sender: int) -> None:
        for number, size in enumerate(sizes):
            await stream.send([sender, number, "x" * size])

    stream = Stream(buffer=buffer, buffer_bytes=buffer_bytes)
    for sender in range(senders):
        stream.start_soon(send, stream, sender)
    seen: dict[int, list[tuple[int, int]]] = {sender: [] for sender in range(senders)}
    async with connect(stream, socket_buffer=socket_buffer) as client:
        async for event in client.events():
            sender, number, text = event.json()
            seen[sender].append((number, len(text)))
            assert stream.statistics().queued <= buffer
        assert client.ended == "complete"
    assert stream.statistics().events == senders * len(sizes)
    assert all(got == list(enumerate(sizes)) for got in seen.values())


async def test_the_library_s_own_blocks_need_no_room(autojump_clock: Clock) -> None:
    """A ping or a farewell is never refused, and makes nobody wait."""
    stream = Stream(buffer=1, ping=10)
    async with connect(stream) as client:
        await stall(stream, client)
        stream.send_nowait("fills it")
        client.cancel_app()
        client.resume()
        data = [event.data async for event in client.events()]
        assert data == ["under way", "fills it"]
        assert client.retry is not None
        assert client.retry >= 3000
