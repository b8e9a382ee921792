"""``postgresql://``: many who come back at once, each at a place of its own."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate

import pytest
import trio

from tests.support.postgres_server import PostgresServer, postgres_server
from trio_stream import Stream
from trio_stream.broker import open_broker
from trio_stream.broker.contract import Entry

EVENTS, CLIENTS, READING = 8_000, 200, 5

BODY = b"data: %s\n\n" % (b"x" * 500)


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as running:
        yield running


@contextmanager
def traced() -> Iterator[None]:
    tracemalloc.start(1)
    try:
        yield
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("rows", ["of many events", "of one event"])
async def test_a_crowd_that_resumes_takes_some_pages_each(
    server: PostgresServer, rows: str
) -> None:
    """However much there is to read, and whether they read it or not."""
    url = server.database()
    topics = ["t"] if rows == "of many events" else ["t", "others"]  # in turns
    history = {"history": EVENTS, "history_bytes": 2**30}
    ids: list[int] = []
    async with open_broker(url, **history) as broker:  # type: ignore[arg-type]
        for _ in range(0, EVENTS, 500):
            entries = [Entry(topic, BODY) for _ in range(500) for topic in topics]
            ids += [*await broker.engine.append(entries)][:: len(topics)]
    each = [b"id: %d\n%b" % (id, BODY) for id in ids]
    log, ends = b"".join(each), [*accumulate(map(len, each))]
    begun = trio.Event()

    async def resume(place: int, reads: bool) -> None:
        """Read all that comes behind it, or nothing after the first of that."""
        read_to = ends[place]
        subscription = broker.subscribe("t", after=str(ids[place]))
        async with Stream(subscription, ping=None) as stream:
            async for piece in stream.value:
                assert log.startswith(piece, read_to)
                read_to += len(piece)
                waiting.discard(place)
                if not waiting:
                    begun.set()
                if not reads:
                    await trio.sleep_forever()
                if read_to == len(log):
                    break

    # Nothing of it is in the memory of the process, which has just been started.
    async with open_broker(url, **history) as broker:  # type: ignore[arg-type]
        places = random.Random(rows).sample(range(EVENTS - 1), CLIENTS)
        waiting = set(places)
        total = sum(len(log) - ends[place] for place in places)
        with traced(), trio.fail_after(100):
            async with trio.open_nursery() as staying:
                async with trio.open_nursery() as reading:
                    for number, place in enumerate(places):
                        nursery = reading if number < READING else staying
                        nursery.start_soon(resume, place, number < READING)
                    await begun.wait()
                staying.cancel_scope.cancel()
            _, peak = tracemalloc.get_traced_memory()
        # Pages of 64 KiB: one was taken, half of one and another are in its buffer, of a megabyte.
        # And what is read ahead, and is being read, of all together.
        assert peak < CLIENTS * 3 * 2**16 + 2**24 < total / 5
