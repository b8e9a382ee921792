"""Processes that share a Redis are shown to each other, and end each other's streams."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import trio
import trio.testing

from tests.inspector.test_app import JSON, anybody, merged, watching
from tests.inspector.test_page import asking
from tests.support.hypercorn_process import Server, hypercorn
from tests.support.redis_server import redis_server
from trio_stream import EventSource, inspector_app, open_broker
from trio_stream.broker.backchannel import Backchannel
from trio_stream.broker.contract import Entry
from trio_stream.inspector.lookout import Lookout
from trio_stream.inspector.others import OtherProcesses
from trio_stream.inspector.process import process_name
from trio_stream.testing import connect

APPS = "tests.inspector.apps"


@asynccontextmanager
async def pictures(client: httpx.AsyncClient, **query: str) -> AsyncIterator[Any]:
    """The pictures of a feed, each whole, and first what it says of itself."""

    async def each() -> AsyncIterator[dict[str, Any]]:
        picture: dict[str, Any] = {}
        async for event in source:
            value = json.loads(event.data)
            if event.event == "about":
                yield value
            else:
                picture = merged(picture, value)
                yield picture

    url = str(httpx.URL("/inspect", params=query))
    async with EventSource(url, client=client) as source:
        made = each()
        try:
            yield made
        finally:
            await made.aclose()


async def about(server: Server) -> str:
    """The name of the process."""
    async with server.client() as client, pictures(client) as seen:
        told: dict[str, Any] = await anext(seen)
        name: str = told["process"]
        return name


async def test_each_shows_the_others_and_ends_their_streams() -> None:
    async with (
        redis_server() as redis,
        hypercorn(f"{APPS}:app", env={"BROKER": redis.url}) as one,
        hypercorn(f"{APPS}:app", env={"BROKER": redis.url}) as other,
        one.client() as client,
        asking(other, "/flowing/there") as stream,
    ):
        await stream.receive_some()
        here, there = await about(one), await about(other)
        with trio.fail_after(60):
            async with pictures(client, process=there, find="there") as seen:
                assert (await anext(seen))["process"] == here
                async for picture in seen:
                    rows = list(picture.get("streams", {}).values())
                    others = picture["processes"].keys() >= {here, there}
                    # What is between two looks there is known here.
                    if others and rows and rows[0]["rate"] > 1:
                        break
                [row] = rows
                assert row["request"] == "GET /flowing/there"
                [number] = picture["order"]
            body = json.dumps({"do": "end", "process": there, "stream": number})
            answer = await client.post("/inspect", content=body, headers=JSON)
            assert (answer.status_code, answer.json()) == (200, {"ended": number})
            while await stream.receive_some():  # a proper end
                pass
            async with asking(other, "/runs/essay"), pictures(client, show="topics") as seen:
                await anext(seen)
                async for picture in seen:
                    if picture["runs"]:
                        break
                assert picture["runs"]["essay"]["process"] == there
            answer = await client.post("/inspect", content=body, headers=JSON)
            assert answer.status_code == 404
            assert "not open any more" in answer.json()["error"]


SAID: list[Any] = [
    *(None, 5, "x", [], {}, {"want": "totals"}, {"by": 5, "answer": {}}, {"by": "x", "answer": 5}),
    {"by": "x", "want": "picture"},
    {"by": "x", "want": "picture", "view": {"show": "nothing"}},
    {"by": "x", "want": "end", "action": 5},
    {"by": "x", "want": "something else"},
    {"by": "x", "answer": {}, "number": []},
]


async def idle(channel: Backchannel) -> None:
    await trio.sleep_forever()


async def test_what_it_does_not_understand_of_others_it_leaves(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with open_broker() as broker:
        others = OtherProcesses(broker, Lookout())
        stranger = broker.backchannel("inspector", "stranger", idle)
        await trio.testing.wait_all_tasks_blocked()
        for said in SAID:
            await stranger.say(said)
        await broker.engine.pass_on([Entry("$inspector", b"data: {no JSON\n\n")])  # type: ignore[attr-defined]
        await others.ask_all()
        await trio.testing.wait_all_tasks_blocked()
        assert list(others.totals) == [process_name()]
    assert caplog.text.count("is not understood") == len(SAID) + 1


async def test_a_process_that_does_not_answer_is_waited_for_so_long_and_no_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("trio_stream.inspector.others._PATIENCE", 0.5)
    async with (
        redis_server() as redis,
        open_broker(redis.url) as broker,
    ):
        app = inspector_app(authorize=anybody, broker=broker)
        body = json.dumps({"do": "end", "process": "nobody:1:2", "stream": 1}).encode()
        with trio.fail_after(30):
            async with connect(app, method="POST", headers=JSON, body=body) as client:
                assert client.status == 404
                assert "does not answer" in json.loads(await client.read())["error"]
            async with watching(app, "process=nobody:1:2") as shown:
                await shown.next()
                assert "order" not in shown.picture
                while len(shown.picture["processes"]) != 1:  # this one answers itself
                    await shown.next()
