"""What can be given to a broker that is wrong, by an application or by who uses it; each engine."""

import inspect
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from tests.support.redis_server import redis_server
from trio_stream import Broker, ResumableRun, open_broker, presence_topic
from trio_stream.broker.engines import ENGINE_OPTIONS
from trio_stream.broker.memory import MemoryEngine
from trio_stream.broker.redis import RedisEngine
from trio_stream.broker.sqlite import SqliteEngine

HALF_PAIR = "\ud800"


@pytest.fixture(params=["memory", "sqlite", "redis"])
async def broker(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Broker]:
    if request.param == "redis":
        async with redis_server() as server, open_broker(server.url) as opened:
            yield opened
    else:
        path = {"memory": "memory://", "sqlite": f"sqlite:///{tmp_path}/log.db"}[request.param]
        async with open_broker(path) as opened:
            yield opened


@pytest.mark.parametrize(
    ("key", "error", "message"),
    [
        (3, TypeError, "a key is a str"),
        (None, TypeError, "a key is a str"),
        (HALF_PAIR, ValueError, "half a surrogate pair"),
        ("x" * 1025, ValueError, "1024 bytes"),
        ("$end", ValueError, "library's own"),
    ],
)
async def test_a_key_that_is_none_harms_nobody_else(
    broker: Broker, key: Any, error: type[Exception], message: str
) -> None:
    async with trio.open_nursery() as nursery:
        # At once, so that they would share a transaction.
        nursery.start_soon(broker.publish, "t", 1)
        with pytest.raises(error, match=message):
            await broker.publish("t", 2, key=key)
        nursery.start_soon(broker.publish, "t", 3)
    events = broker.subscribe("t", after="earliest")
    assert {(await anext(events)).data for _ in range(2)} == {"1", "3"}


@pytest.mark.parametrize("name", [HALF_PAIR, "", "x" * 1025])
async def test_a_name_that_nobody_can_be_present_under_is_refused(
    broker: Broker, name: str
) -> None:
    with pytest.raises(ValueError, match="a name to be present under"):
        broker.subscribe("room", presence=name)
    with pytest.raises(TypeError, match="a name to be present under"):
        broker.subscribe("room", presence=5)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["*", "**", "users/*", "users/**/x"])
async def test_a_name_from_outside_does_not_open_what_is_others(broker: Broker, name: str) -> None:
    with pytest.raises(ValueError, match="is a pattern"):
        broker.subscribe("t", name, patterns=False)
    broker.subscribe("a*", "t", patterns=False)


@pytest.mark.parametrize("values", ["abc", b"abc", {"n": 1}])
async def test_one_value_is_not_taken_for_many(broker: Broker, values: Any) -> None:
    with pytest.raises(TypeError, match="`publish` it, or put it into a list"):
        await broker.publish_many("t", values)


async def producer(run: ResumableRun) -> None:
    await run.send("x")


async def test_nobody_is_present_on_what_is_only_matched() -> None:
    async with open_broker() as broker:
        for topics in (["rooms/*"], ["**", presence_topic("rooms/1")]):
            with pytest.raises(ValueError, match="name the one where somebody is"):
                broker.subscribe(*topics, presence="ann")
        broker.subscribe("rooms/*", "rooms/1", presence="ann")


@pytest.mark.parametrize("linger", [-1, float("nan")])
async def test_a_run_that_cannot_be_run_is_refused(linger: float) -> None:
    async with open_broker() as broker:
        with pytest.raises(ValueError, match="linger"):
            broker.resumable("key", producer, linger=linger)
        with pytest.raises(TypeError, match="a producer is a function, not int"):
            broker.resumable("key", 5)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="linger"):
            await broker.start_resumable("key", producer, linger=linger)
        with pytest.raises(TypeError, match="a producer is what is started"):
            await broker.start_resumable("key", None)  # type: ignore[arg-type]


async def test_after_its_end_a_broker_says_that_it_is_closed(broker: Broker) -> None:
    broker._feed.close()
    for call in (
        lambda: broker.publish("t", 1),
        lambda: broker.publish_many("t", []),
        lambda: broker.presence("t"),
        lambda: broker.stop_resumable("key"),
        lambda: broker.start_resumable("key", producer),
        lambda: anext(broker.subscribe("t")),
    ):
        with pytest.raises(trio.ClosedResourceError):
            await call()


@pytest.mark.parametrize(
    ("url", "options", "error"),
    [
        (None, {}, TypeError),
        (5, {}, TypeError),
        ("memory://", {"memory_bytes": -1}, ValueError),
        ("memory://", {"presence_grace": -1}, ValueError),
        ("memory://", {"history": 0}, ValueError),
        ("memory://", {"history_age": float("nan")}, ValueError),
        ("sqlite:///:memory:", {}, ValueError),
        ("redis://127.0.0.1:99999", {}, ValueError),
        ("rediss://127.0.0.1:1?ssl_ca_certs=/nowhere", {}, ValueError),
    ],
)
async def test_what_cannot_be_opened_is_told(
    url: Any, options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        async with open_broker(url, **options):
            pass


@pytest.mark.parametrize(
    ("url", "options", "hint"),
    [
        (
            "memory://",
            {"prefix": "x"},
            "a memory:// broker has no option prefix: it is for redis://",
        ),
        ("memory://", {"max_topics": 9}, "it is for sqlite:// and postgresql:// and redis://"),
        ("memory://", {"histroy": 9}, "did you mean history?"),
        ("memory://", {"nonsense": 1}, "there are history, history_age, "),
        (
            "sqlite:///nowhere/x",
            {"outage": "wait"},
            "a sqlite:// broker has no option outage: it is",
        ),
        ("redis://127.0.0.1:1", {"synchronous": "full"}, "it is for sqlite://"),
        ("valkeys://127.0.0.1:1", {"prefiks": "x"}, "did you mean prefix?"),
    ],
)
async def test_an_option_that_there_is_not_is_told_by_what_there_is(
    url: str, options: dict[str, Any], hint: str
) -> None:
    with pytest.raises(TypeError, match=re.escape(hint)) as caught:
        async with open_broker(url, **options):
            pass
    assert "__init__" not in str(caught.value)
    assert "Engine" not in str(caught.value)


def test_the_options_that_are_told_are_those_that_there_are() -> None:
    for scheme, engine in (
        ("memory", MemoryEngine),
        ("sqlite", SqliteEngine),
        ("redis", RedisEngine),
    ):
        taken = [*inspect.signature(engine).parameters]
        assert [*ENGINE_OPTIONS[scheme]] == [n for n in taken if n not in {"url", "retention"}]


@pytest.mark.parametrize("name", ["history", "history_age", "history_bytes", "memory_bytes"])
@pytest.mark.parametrize("url", ["memory://", "sqlite:///nowhere/x", "redis://127.0.0.1:1"])
@pytest.mark.parametrize("value", [True, float("nan"), "5", float("inf")])
async def test_a_bound_that_is_no_number_of_its_kind_is_refused(
    url: str, name: str, value: Any
) -> None:
    with pytest.raises((TypeError, ValueError), match=name):
        async with open_broker(url, **{name: value}):
            pass


@pytest.mark.parametrize("scheme", ["mysql", "redis+tls"])
async def test_a_password_is_not_repeated(scheme: str) -> None:
    with pytest.raises(ValueError, match=rf"{re.escape(scheme)}://\*\*\*@host") as caught:
        async with open_broker(f"{scheme}://user:secret@host/0"):
            pass
    assert "secret" not in str(caught.value)


async def test_two_tasks_cannot_iterate_one_run() -> None:
    """Also at the start of it, where nobody watches yet."""

    async def produce(run: ResumableRun) -> None:
        for number in range(5):
            await run.send(number)
            await trio.lowlevel.checkpoint()

    found: list[str] = []
    refused: list[Exception] = []
    async with open_broker() as broker:
        run = broker.resumable("a", produce)

        async def iterate() -> None:
            try:
                async for event in run:
                    found.append(event.data)
            except trio.BusyResourceError as error:
                refused.append(error)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(iterate)
            nursery.start_soon(iterate)
    assert found == [str(number) for number in range(5)]
    assert len(refused) == 1


async def test_two_tasks_cannot_iterate_one_subscription() -> None:
    async with open_broker() as broker, trio.open_nursery() as nursery:
        events = broker.subscribe("t")
        found: list[str] = []

        async def iterate() -> None:
            found.append((await anext(events)).data)

        nursery.start_soon(iterate)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(trio.BusyResourceError):
            await anext(events)
        await broker.publish("t", 1)
        await trio.testing.wait_all_tasks_blocked()
        assert found == ["1"]
        await broker.publish("t", 2)
        assert (await anext(events)).data == "2"
