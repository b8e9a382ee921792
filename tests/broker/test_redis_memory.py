"""What Redis holds is bounded, whatever is published and by whom."""

import importlib
import logging
import pkgutil
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import pytest
import trio

from tests.support.redis_server import RedisServer, redis_server
from trio_stream.broker import open_broker, redis
from trio_stream.broker.contract import Retention
from trio_stream.broker.redis import RedisEngine
from trio_stream.broker.redis.script import Script
from trio_stream.broker.redis.wire import RefusedError
from trio_stream.errors import GapError

LIVE = "{trio_stream}:live"
TOPIC = "{trio_stream}:t:t"


@pytest.fixture
async def server() -> AsyncIterator[RedisServer]:
    async with redis_server() as running:
        yield running


async def number(server: RedisServer, *command: str) -> int:
    answer = await server.command(*command)
    assert answer.startswith(b":")
    return int(answer[1:])


async def test_a_publish_leaves_nothing_behind_but_its_event(server: RedisServer) -> None:
    async with open_broker(server.url, history=10, live_events=10) as broker:
        await broker.publish_many("t", range(500))
        keys, before = await number(server, "DBSIZE"), await memory(server)
        for n in range(2000):
            await broker.publish("t", n)
        assert await number(server, "DBSIZE") == keys
        assert await memory(server) - before < 2000 * 20


async def memory(server: RedisServer) -> int:
    """Bytes of all the broker's keys."""
    keys = (await server.command("KEYS", "{trio_stream}*")).split(b"\r\n")[2::2]
    return sum([await number(server, "MEMORY", "USAGE", key.decode()) for key in keys])


async def test_what_comes_twice_is_stored_once_and_what_comes_late_not_at_all(
    server: RedisServer,
) -> None:
    """As from a connection that was given up, and whose bytes Redis reads after all."""
    engine = RedisEngine(server.url, Retention())
    async with open_broker(engine) as broker:
        link: Any = engine._commands
        calls: list[tuple[Any, ...]] = []
        call = link.call

        async def remember(script: object, *args: Any) -> Any:
            calls.append((script, *args))
            return await call(script, *args)

        link.call = remember
        ids = [await broker.publish("t", n) for n in range(2)]
        link.call = call
        first, second = calls
        assert await call(*second) == ids[1].encode()
        with pytest.raises(RefusedError, match="OUTDATED"):
            await call(*first)
        assert await number(server, "XLEN", TOPIC) == 2
        assert await number(server, "XLEN", LIVE) == 2


@pytest.mark.parametrize("seed", range(5))
async def test_what_is_read_live_is_bounded_in_bytes(server: RedisServer, seed: int) -> None:
    random = Random(seed)
    bound = random.choice([1, 10_000, 100_000])
    largest = random.choice([100, 5000, 50_000])
    async with (
        open_broker(server.url, live_bytes=bound, history=5) as broker,
        open_broker(server.url, live_bytes=bound, history=5) as other,
    ):
        events = other.subscribe("t", after="earliest")
        sizes: list[int] = []
        for _ in range(60):
            texts = ["x" * random.randrange(largest) for _ in range(random.choice([1, 1, 20]))]
            last = (await broker.publish_many("t", texts))[-1]
            sizes += [len(text) + 60 for text in texts]  # about, with what is around it
            kept = await number(server, "XLEN", LIVE)
            assert kept >= 1
            assert sum(sizes[len(sizes) - kept + 1 :]) <= bound * 9 / 8 + largest
            if kept < len(sizes):
                assert sum(sizes[-kept - 1 :]) >= bound * 0.9
        assert await number(server, "MEMORY", "USAGE", LIVE) < bound * 2 + largest + 20_000
        # What was too much to be read live is read from its topic.
        with trio.fail_after(60):
            while (await next_of(events)) != last:
                pass


async def next_of(events: Any) -> str | None:
    try:
        return str((await anext(events)).id)
    except GapError:
        return None


async def test_an_age_is_taken_back_by_who_has_none(server: RedisServer) -> None:
    async with open_broker(server.url, history_age=1) as broker:
        await broker.publish("t", "old")
        assert await number(server, "PTTL", TOPIC) > 0
    async with open_broker(server.url) as broker:
        await broker.publish("t", "new")
        assert await number(server, "PTTL", TOPIC) == -1


async def test_other_options_are_said_when_a_broker_is_opened(
    server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "trio_stream")

    async def said(**options: Any) -> str:
        caplog.clear()
        async with open_broker(server.url, **options) as broker:
            await broker.publish("t", 1)
        return caplog.text

    assert await said(history=1000) == ""
    assert await said(history=1000) == ""
    assert "history=1000 (here 5)" in await said(history=5)
    assert await said(history=5) == ""
    text = await said(history=5, history_age=2, max_topics=7)
    assert "history_age=None (here 2.0)" in text
    assert "max_topics=100000 (here 7)" in text
    assert await said(history=5, history_age=2.0, max_topics=7) == ""
    assert await said(prefix="other") == ""
    # Nothing that has to be written, so one that cannot is not refused.
    await server.command("CONFIG", "SET", "maxmemory", "1")
    async with open_broker(server.url, history=6):
        assert "history=5 (here 6)" in caplog.text


@pytest.mark.parametrize("option", ["live_events", "live_bytes", "max_topics"])
async def test_a_bound_is_at_least_one(option: str) -> None:
    options: dict[str, Any] = {option: 0}
    with pytest.raises(ValueError, match="must be at least 1, not 0"):
        async with open_broker("redis://127.0.0.1:1", **options):
            pass


def test_only_what_reads_is_marked_so() -> None:
    """Redis itself refuses to write in these; that is seen in all tests of reading."""
    found = {
        name
        for module in pkgutil.iter_modules(redis.__path__, f"{redis.__name__}.")
        for name, value in vars(importlib.import_module(module.name)).items()
        if isinstance(value, Script) and value.reads
    }
    assert found == {"DESCRIBED", "LOOK", "MEMBERS", "NEWER", "NEWEST", "READ"}
