"""What a client that has far to go costs: counted, and the same whatever engine keeps the log."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
import trio
import trio.testing

from tests.broker.test_postgres_ahead import History
from trio_stream import Stream
from trio_stream.broker import open_broker
from trio_stream.broker.postgres.found import FoundRecords

EVENTS, PAGE = 4_000, 2**16


@pytest.fixture(params=["memory", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/log.db"


async def test_who_does_not_read_has_a_page_waiting_and_not_a_full_buffer(url: str) -> None:
    text = "x" * 1000
    async with open_broker(url, history=EVENTS, history_bytes=2**30) as broker:
        await broker.publish_many("t", [text] * EVENTS)
        async with Stream(broker.subscribe("t", after="earliest"), ping=None) as stream:
            chunks = stream.value
            count = (await anext(chunks)).count(b"data: ")
            for _ in range(50):  # SQLite's thread may take its time, but there is little to read
                await trio.testing.wait_all_tasks_blocked(0.01)
                assert stream.statistics().queued_bytes <= 2**15 + PAGE
            while count < EVENTS:
                count += (await anext(chunks)).count(b"data: ")
                assert stream.statistics().queued_bytes <= 2**15 + PAGE
            assert count == EVENTS


async def test_what_gathers_for_a_write_is_more_than_a_page(url: str) -> None:
    async with open_broker(url, history=EVENTS, history_bytes=2**30) as broker:
        await broker.publish_many("t", ["x" * 1000] * EVENTS)
        subscription = broker.subscribe("t", after="earliest")
        async with Stream(subscription, ping=None, flush_every=0.05) as stream:
            chunks = stream.value
            size = 0
            while size < 1000 * EVENTS:
                size += len(await anext(chunks))
    assert size > 1000 * EVENTS


async def test_a_page_of_postgresql_is_gone_with_who_had_it(autojump_clock: object) -> None:
    """And not when the garbage collector comes, before which a crowd has had thousands."""
    history = History()
    gc.collect()
    gc.disable()
    try:
        page = await history.read(None, 0, 100, PAGE)  # type: ignore[arg-type]
        assert isinstance(page.records, FoundRecords)
        assert len(page.records.between(10, 20)) == 10
        assert page.records[0].id == 1
        del page
        assert not [found for found in gc.get_objects() if type(found) is FoundRecords]
    finally:
        gc.enable()
