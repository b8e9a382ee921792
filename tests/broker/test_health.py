"""Whether an engine is there: what a broker says of it, and what the log does, once."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import trio
import trio.testing

from tests.broker.test_redis_refuses import Warnings
from tests.support.hypercorn_process import hypercorn
from tests.support.redis_server import redis_server
from trio_stream import BrokerHealth, BrokerUnavailableError, open_broker, ready_app
from trio_stream.broker.redis.wire import RefusedError
from trio_stream.broker.servers import link
from trio_stream.broker.servers.troubles import WRITING, Troubles, UnreachableError
from trio_stream.testing import connect

WELL = BrokerHealth(reachable=True, seconds_unreachable=0.0, trouble="")


@pytest.fixture
def warnings() -> Iterator[Warnings]:
    handler = Warnings()
    logging.getLogger("trio_stream").addHandler(handler)
    yield handler
    logging.getLogger("trio_stream").removeHandler(handler)


async def test_what_is_in_this_process_is_there_until_it_is_closed() -> None:
    async with open_broker() as broker:
        assert broker.health() == WELL
    with pytest.raises(trio.ClosedResourceError):
        broker.health()


async def test_a_redis_that_is_lost_is_told_once_and_its_return_too(
    warnings: Warnings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "_LONGEST_WAIT", 0.1)
    async with redis_server() as server, open_broker(server.url) as broker:
        assert broker.health() == WELL
        await server.crash()
        await warnings.until("Redis does not answer")
        lost = broker.health()
        assert not lost.reachable
        assert lost.seconds_unreachable > 0
        assert "Redis does not answer" in lost.trouble
        await trio.sleep(0.5)  # there are more tries than warnings
        assert broker.health().seconds_unreachable >= lost.seconds_unreachable + 0.5
        await server.start()
        await warnings.until("works again")
        assert broker.health() == WELL
        # That it has forgotten all is another matter.
        assert len([text for text in warnings.texts if text.startswith("Redis")]) == 2


async def test_a_redis_that_refuses_is_there_and_in_trouble() -> None:
    async with redis_server() as server, open_broker(server.url) as broker:
        await server.command("CONFIG", "SET", "maxmemory", "1")
        with pytest.raises(BrokerUnavailableError):
            await broker.publish("t", "in vain")
        health = broker.health()
        assert (health.reachable, health.seconds_unreachable) == (True, 0)
        assert "OOM" in health.trouble
        await server.command("CONFIG", "SET", "maxmemory", "0")
        await broker.publish("t", "after")
        assert broker.health() == WELL


async def test_what_keeps_it_away_may_change(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """One outage is one warning, and what is refused meanwhile another."""

    def told() -> list[tuple[str, str]]:
        lines = [(record.levelname, record.getMessage()) for record in caplog.records]
        caplog.clear()
        return lines

    caplog.set_level(logging.INFO, "trio_stream")
    troubles = Troubles("Redis")
    for _ in range(2):
        for reason in ("nobody there", "no answer", "nobody there"):
            for link_of in ("commands", "events"):
                troubles.begin(link_of, UnreachableError(reason))
        assert told() == [("WARNING", "nobody there"), ("INFO", "no answer")]
        troubles.begin(WRITING, RefusedError("no room", "OOM"))
        troubles.begin(WRITING, RefusedError("no room", "OOM"))
        assert told() == [("WARNING", "no room")]
        await trio.sleep(5)
        troubles.end("commands")
        troubles.end("events")
        assert told() == []
        troubles.end(WRITING)
        troubles.end(WRITING)
        assert told() == [("WARNING", "Redis works again, after 5.0 s")]


async def answer_of(app: Any, method: str = "GET") -> tuple[int, dict[str, Any]]:
    async with connect(app, method=method) as client:
        return client.status, json.loads(await client.read())


async def test_a_probe_is_told() -> None:
    async with open_broker() as broker:
        app = ready_app(broker)
        assert await answer_of(app) == (200, {"reachable": True, "seconds_unreachable": 0.0})
        assert (await answer_of(app, "POST"))[0] == 405
    assert await answer_of(app) == (503, {"reachable": False, "seconds_unreachable": 0.0})


async def test_a_head_is_answered_without_a_body() -> None:
    async with open_broker() as broker, connect(ready_app(broker), method="HEAD") as client:
        assert (client.status, await client.read()) == (200, b"")


async def test_a_probe_of_a_served_one_is_told_of_a_lost_redis_and_of_no_address() -> None:
    async with redis_server() as redis:
        env = {"BROKER": redis.url}
        app = hypercorn("tests.broker.ready_served:app", env=env, expect_errors=True)
        async with app as server, server.client() as client:
            assert (await client.get("/ready/")).json()["reachable"] is True
            assert (await client.head("/ready/")).status_code == 200
            await redis.crash()
            await server.process.wait_for_log("Redis does not answer")
            answer = await client.get("/ready/")
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
            assert answer.json().keys() == {"reachable", "seconds_unreachable"}


@pytest.mark.parametrize("broker", [None, "redis://localhost"])
def test_what_is_no_broker_is_refused(broker: Any) -> None:
    with pytest.raises(TypeError, match="an open broker"):
        ready_app(broker)


async def test_what_is_no_request_is_refused() -> None:
    async def receive() -> Any: ...

    async def send(message: Any) -> None: ...

    async with open_broker() as broker:
        with pytest.raises(RuntimeError, match="mount it"):
            await ready_app(broker)({"type": "websocket"}, receive, send)
