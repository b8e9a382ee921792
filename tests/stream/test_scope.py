"""What a stream knows of the request that it answers."""

from typing import Any

import pytest
import trio

import trio_stream
from tests.stream.helpers import data_of, events_of
from trio_stream import Stream, StreamApp, stream_app
from trio_stream.testing import connect


async def test_the_scope_of_the_request() -> None:
    @stream_app
    async def app(stream: Stream) -> None:
        assert stream.scope is not None
        await stream.send(stream.scope["path"])

    assert await data_of(app, path="/a/b") == ["/a/b"]


async def last_event_id(**request: Any) -> str:
    async def callback(stream: Stream) -> None:
        await stream.send([stream.last_event_id])

    [event] = await events_of(Stream(callback), **request)
    [found] = event.json()
    return found  # type: ignore[no-any-return]


async def test_last_event_id_as_the_client_sent_it() -> None:
    assert await last_event_id(last_event_id="7") == "7"
    assert await last_event_id(last_event_id="é✓") == "é✓"
    assert await last_event_id(last_event_id="") == ""
    assert await last_event_id() is None


@pytest.mark.parametrize("id", ["café", "\xff7", "7±"])
async def test_what_is_not_utf_8_is_latin_1_as_clients_on_node_send_it(id: str) -> None:
    headers = [(b"Last-Event-ID", id.encode("latin-1"))]
    assert await last_event_id(scope={"headers": headers}) == id


@pytest.mark.parametrize("name", ["last_event_id", "lastEventId"])
async def test_or_as_a_query_parameter(name: str) -> None:
    assert await last_event_id(query={name: "é 7"}) == "é 7"
    assert await last_event_id(query={name: "7"}, last_event_id="8") == "8"


@pytest.mark.parametrize(
    ("headers", "query", "found"),
    [
        ([(b"Last-Event-ID", "é".encode())], b"lastEventId=8", "é"),
        ([(b"accept", b"*/*")], b"a=b&last_event_id=%C3%A9+8", "é 8"),
        ([], b"", None),
    ],
)
def test_it_is_known_before_there_is_a_stream(
    headers: list[tuple[bytes, bytes]], query: bytes, found: str | None
) -> None:
    scope = {"type": "http", "headers": headers, "query_string": query}
    assert trio_stream.last_event_id(scope) == found


async def test_an_app_answers_every_request_with_a_stream_of_its_own() -> None:
    @stream_app
    async def app(stream: Stream) -> None:
        await stream.send("hello")
        await stream.wait(0)
        await stream.send("world")

    async with connect(app) as one, connect(app) as two:
        for client in (one, two):
            assert [event.data async for event in client.events()] == ["hello", "world"]


async def test_an_app_takes_the_keywords_of_stream() -> None:
    @stream_app(event="tick", retry=50, format="sse", status=201, headers={"x-own": "1"})
    async def app(stream: Stream) -> None:
        """What it is for."""
        await stream.send("a")

    assert isinstance(app, StreamApp)
    assert app.__doc__ == "What it is for."
    async with connect(app) as client:
        assert client.status == 201
        assert client.headers["x-own"] == "1"
        event = await client.receive_event()
        assert (event.event, client.retry) == ("tick", 50)


@pytest.mark.parametrize("wrong", [["a"], 5, trio])
def test_an_app_is_made_of_a_callback(wrong: Any) -> None:
    with pytest.raises(TypeError, match="needs a callback that takes the stream"):
        stream_app(wrong)
