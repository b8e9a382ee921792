"""What the inspector shows of a broker, and does there: topics, their events, runs, publishing."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing

from tests.inspector.test_app import JSON, Page, anybody, watching
from trio_stream import (
    Broker,
    InspectorApp,
    Stream,
    inspector_app,
    open_broker,
    open_streams,
)
from trio_stream.testing import connect

Clock = trio.testing.MockClock


@asynccontextmanager
async def inspected(**options: Any) -> AsyncIterator[tuple[Broker, InspectorApp]]:
    async with open_broker() as broker:
        yield broker, inspector_app(authorize=anybody, broker=broker, **options)


async def do(app: InspectorApp, **action: Any) -> tuple[int, dict[str, Any]]:
    body = json.dumps(action).encode()
    async with connect(app, method="POST", headers=JSON, body=body) as client:
        told: dict[str, Any] = json.loads(await client.read())
        return client.status, told


async def to_the_end(page: Page) -> None:
    while True:
        await page.next()


def events_of(page: Page) -> list[dict[str, Any]]:
    events = page.picture["events"]
    return [events[number] for number in sorted(events, key=int)]


async def test_topics_are_shown_with_who_subscribes(autojump_clock: Clock) -> None:
    async with inspected() as (broker, app):
        await broker.publish("orders/1", "x")
        await broker.publish("prices", "x")
        stream = Stream(broker.subscribe("prices", "**"), hold_headers=False, ping=None)
        async with connect(stream), watching(app, "show=topics") as page:
            await page.next()
            assert page.picture["order"][:2] == ["prices", "orders/1"]
            assert page.picture["topics"]["prices"]["subscriptions"] == 1
            assert page.picture["topics"]["**"] == {"subscriptions": 1, "events": 0, "bytes": 0}
            assert page.picture["broker"]["published"] == 2
            assert page.picture["broker"]["reachable"] is True
            await broker.publish("orders/1", "y")
            await page.next()
            assert page.picture["order"][0] == "orders/1"
            assert page.picture["topics"]["orders/1"]["events"] == 2
        async with watching(app, "show=topics&find=ORD&rows=1") as page:
            await page.next()
            assert list(page.picture["topics"]) == ["orders/1"]


async def test_a_topics_history_is_shown_and_then_its_events_as_they_come(
    autojump_clock: Clock,
) -> None:
    async with inspected(payloads=True) as (broker, app):
        for n in range(100):
            await broker.publish("news", f"number {n}", event="told")
        room = Stream(broker.subscribe("news", presence="ada"), hold_headers=False, ping=None)
        async with connect(room), watching(app, "show=topics&topic=news") as page:
            while not page.picture.get("events") or events_of(page)[-1]["data"] != "number 99":
                await page.next()
            assert len(events_of(page)) == 30
            await broker.publish("news", "live\nlines")
            await broker.publish("news", "not kept", keep=False)
            while events_of(page)[-1]["data"] != "not kept":
                await page.next()
            assert [event["data"] for event in events_of(page)[-3:]] == [
                "number 99",
                "live\nlines",
                "not kept",
            ]
            assert len(events_of(page)) == 30
            assert events_of(page)[-1]["id"] == ""
            assert page.picture["topic"]["present"] == {"ada": 1}
            [number] = [one.number for one in open_streams() if "inspect" not in one.request]
            subscribers = page.picture["topic"]["subscribers"]
            assert sorted(one["stream"] for one in subscribers) == [0, number]  # and this page
            assert page.picture["topic"]["events"] == 101


async def test_what_events_say_is_shown_only_where_that_is_allowed(autojump_clock: Clock) -> None:
    async with inspected() as (broker, app):
        await broker.publish("news", "a secret", event="told")
        async with watching(app, "show=topics&topic=news") as page:
            while not page.picture.get("events"):
                await page.next()
            [event] = events_of(page)
            assert (event["event"], event["bytes"] > 10) == ("told", True)
            assert "secret" not in json.dumps(page.picture)


async def test_of_long_data_the_beginning_is_shown(autojump_clock: Clock) -> None:
    async with inspected(payloads=True) as (broker, app):
        await broker.publish("news", "x" * 100_000)
        async with watching(app, "show=topics&topic=news") as page:
            while not page.picture.get("events"):
                await page.next()
            assert events_of(page)[0]["data"] == "x" * 1000 + "..."


async def test_a_topic_that_says_much_is_heard_as_far_as_it_is_shown(
    autojump_clock: Clock,
) -> None:
    async with inspected(payloads=True) as (broker, app):

        async def publish_much() -> None:
            for n in range(1, 10_001):
                await broker.publish("busy", n)
                if n % 100 == 0:
                    await trio.sleep(0.1)

        watched = watching(app, "show=topics&topic=busy")
        async with trio.open_nursery() as nursery, watched as page:
            nursery.start_soon(publish_much)
            seen = set()
            while page.picture.get("topic", {}).get("events", 0) < 10_000:
                await page.next()
                seen |= {event["id"] for event in events_of(page)}
                assert len(events_of(page)) <= 30
                if len(seen) > 100:
                    assert page.picture["topic"]["busy"]
            assert len(seen) < 1000  # in ten seconds, of 10,000
            while events_of(page)[-1]["data"] != "10000":
                await page.next()
            ids = [int(event["id"]) for event in events_of(page)]
            assert ids == sorted(set(ids))
            while "busy" in page.picture["topic"]:
                await broker.publish("busy", "less")
                await trio.sleep(1)
                await page.next()


async def test_runs_are_shown_and_stopped(autojump_clock: Clock) -> None:
    async def produce(run: Any) -> None:
        await run.send("one")
        await trio.sleep_forever()

    async with inspected() as (broker, app):
        run = Stream(broker.resumable("essay", produce), principal="ada")
        async with connect(run) as client, watching(app, "show=topics") as page:
            await client.receive_event()
            await page.next()
            while "essay" not in page.picture["runs"]:
                await page.next()
            assert page.picture["runs"]["essay"]["principal"] == "ada"
            assert await do(app, do="stop", key="essay") == (200, {"stopped": "essay"})
            failed = await client.receive_event()
            assert (failed.event, failed.json()) == ("failed", {"reason": "stopped"})
            while page.picture["runs"]:
                await page.next()
        status, _ = await do(app, do="stop", key="essay")
        assert status == 404


async def test_it_publishes(autojump_clock: Clock) -> None:
    async with inspected() as (broker, app), broker.subscribe("**") as events:
        status, told = await do(app, do="publish", topic="news", data="a\nb", event="told")
        assert status == 200
        event = await anext(events)
        assert (event.topic, event.event, event.data) == ("news", "told", "a\nb")
        assert event.id == told["id"]
        assert await do(app, do="publish", topic="news", data="x", keep=False) == (200, {"id": ""})


BAD = [
    {"do": "publish", "topic": "", "data": "x"},
    {"do": "publish", "topic": "a/*", "data": "x"},
    {"do": "publish", "topic": "$mine", "data": "x"},
    {"do": "publish", "topic": "x", "data": 5},
    {"do": "publish", "topic": "x", "data": "x", "event": "a\nb"},
    {"do": "publish", "topic": "x", "data": "x", "key": "$k"},
    {"do": "publish", "topic": "x"},
    {"do": "stop", "key": ""},
    {"do": "stop"},
]


@pytest.mark.parametrize("action", BAD)
async def test_what_cannot_be_published_is_refused(action: dict[str, Any]) -> None:
    async with inspected() as (broker, app):
        status, told = await do(app, **action)
        assert status == 400
        assert told["error"]
        assert broker.statistics().published == 0


@pytest.mark.parametrize("topic", ["", "$resumable/essay", "x" * 1025])
async def test_a_topic_that_nobody_may_subscribe_to_is_refused(topic: str) -> None:
    async with inspected() as (_, app):
        query = {"show": "topics", "topic": topic}
        async with connect(app, query=query, headers={"accept": "text/event-stream"}) as client:
            assert client.status == 400


async def test_without_a_broker_there_are_no_topics() -> None:
    app = inspector_app(authorize=anybody)
    for action in [{"do": "stop", "key": "x"}, {"do": "publish", "topic": "x", "data": "x"}]:
        status, _ = await do(app, **action)
        assert status == 404
    headers = {"accept": "text/event-stream"}
    async with connect(app, query="show=topics", headers=headers) as client:
        assert client.status == 404


async def test_a_broker_that_is_closed_is_said_to_be(autojump_clock: Clock) -> None:
    async with inspected() as (_, app):
        pass
    async with watching(app, "show=topics&topic=x") as page:
        await page.next()
        assert page.picture == {"broker": {"closed": True}}
    status, _ = await do(app, do="publish", topic="x", data="x")
    assert status == 503


async def test_a_page_is_asked_for_again_while_it_is_open(autojump_clock: Clock) -> None:
    asked: list[str] = []

    async def authorize(scope: Any) -> bool:
        asked.append(scope["method"])
        return len(asked) < 3

    async with watching(inspector_app(authorize=authorize)) as page:
        with pytest.raises(trio.EndOfChannel):
            await to_the_end(page)
        assert 120 * 0.9 <= trio.current_time() <= 120 * 1.1 + 1
    assert asked == ["GET", "GET", "GET"]
