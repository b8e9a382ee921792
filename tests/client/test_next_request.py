"""Resuming as a server wants it: the hook that makes the next request."""

from __future__ import annotations

import gc
import json
from dataclasses import replace
from typing import Any

import pytest
from trio.testing import MockClock

from tests.client.scripted import (
    Exchange,
    ScriptedServer,
    events,
    no_content,
    over_memory,
    redirect,
    reset,
    status,
)
from trio_stream import (
    EventSource,
    InvalidRequestError,
    ReadyState,
    ServerSentEvent,
    Stream,
    StreamRequest,
)
from trio_stream.testing import connect

URL = "http://example.org/"


async def numbers(exchange: Exchange) -> None:
    """Ten numbered events without ids, three over each connection, which then breaks off."""
    asked = exchange.request.target.partition("starting_after=")[2]
    start = int(asked) + 1 if asked else 0
    await exchange.head(content_type="text/event-stream", transfer_encoding="chunked")
    for n in range(start, min(start + 3, 10)):
        wire = b'data: {"n": %d}\n\n' % n
        await exchange.send(b"%x\r\n%b\r\n" % (len(wire), wire))
    if start + 3 >= 10:
        await exchange.send(b"15\r\nevent: end\ndata: {}\n\n\r\n0\r\n\r\n")


def starting_after(request: StreamRequest, last: ServerSentEvent | None) -> StreamRequest | None:
    if last is None:
        return request
    if last.event == "end":
        return None
    return replace(request, url=f"{URL}?starting_after={last.json()['n']}")


async def test_a_server_that_is_resumed_by_its_query(autojump_clock: MockClock) -> None:
    server = ScriptedServer(reset, numbers)
    async with (
        over_memory(server) as client,
        EventSource(URL, client=client, next_request=starting_after) as source,
    ):
        seen = [event.json().get("n") async for event in source]
    assert seen == [*range(10), None]
    assert source.state is ReadyState.CLOSED
    assert [request.target for request in server.requests] == [
        *("/", "/", "/?starting_after=2", "/?starting_after=5", "/?starting_after=8")
    ]


async def test_by_its_body_and_asynchronously(autojump_clock: MockClock) -> None:
    server = ScriptedServer(events(b"id: 7\ndata: a\n\n"), no_content)

    async def hook(request: StreamRequest, last: ServerSentEvent | None) -> StreamRequest:
        body = {**json.loads(request.content or b""), "after": request.last_event_id}
        return replace(
            request,
            content=json.dumps(body).encode(),
            last_event_id=None,
            headers={"x-attempt": "2"},
        )

    async with (
        over_memory(server) as client,
        EventSource(URL, client=client, method="POST", json={"q": 1}, next_request=hook) as source,
    ):
        assert [event.data async for event in source] == ["a"]
    first, second = server.requests
    assert (json.loads(first.body), json.loads(second.body)) == ({"q": 1}, {"q": 1, "after": "7"})
    assert second.headers["x-attempt"] == "2"
    assert second.headers["content-type"] == "application/json"
    assert "last-event-id" not in second.headers


async def test_a_remembered_redirect_is_that_of_its_url_alone(autojump_clock: MockClock) -> None:
    server = ScriptedServer(
        redirect(301, "/moved"), events(b"data: 1\n\n"), events(b"data: 2\n\n"), no_content
    )
    urls = iter([URL, f"{URL}other"])

    def hook(request: StreamRequest, last: ServerSentEvent | None) -> StreamRequest:
        return replace(request, url=next(urls))

    async with (
        over_memory(server) as client,
        EventSource(URL, client=client, next_request=hook) as source,
    ):
        assert [event.data async for event in source] == ["1", "2"]
    assert [request.target for request in server.requests] == ["/", "/moved", "/moved", "/other"]


async def receive_all(source: EventSource) -> None:
    async with source:
        async for event in source:
            assert event.data == "a"


def refusing(request: StreamRequest, last: ServerSentEvent | None) -> StreamRequest:
    raise LookupError(f"nothing is known after {request.last_event_id}")


def nothing_like_it(request: StreamRequest, last: ServerSentEvent | None) -> Any:
    return request.url


def nowhere(request: StreamRequest, last: ServerSentEvent | None) -> StreamRequest:
    return replace(request, url="http://[::1")


def by_websocket(request: StreamRequest, last: ServerSentEvent | None) -> StreamRequest:
    return replace(request, url="wss://user:word@example.org/a?b")


@pytest.mark.parametrize(
    ("hook", "error", "match"),
    [
        (refusing, LookupError, "nothing is known after 7"),
        (nothing_like_it, TypeError, r"dataclasses\.replace"),
        (nowhere, InvalidRequestError, "cannot be asked for"),
        (
            by_websocket,
            InvalidRequestError,
            r"^wss://example\.org/a is .*: .* begins with https://$",
        ),
    ],
)
async def test_what_a_hook_does_wrong_reaches_who_receives(
    autojump_clock: MockClock, hook: Any, error: type[Exception], match: str
) -> None:
    server = ScriptedServer(events(b"id: 7\ndata: a\n\n"))
    async with over_memory(server) as client:
        source = EventSource(URL, client=client, next_request=hook)
        with pytest.raises(error, match=match):
            await receive_all(source)
        assert source.state is ReadyState.CLOSED
    assert server.open == 0
    gc.collect()  # what was left open would warn


@pytest.mark.parametrize("hook", [refusing, nothing_like_it, nowhere, by_websocket])
async def test_through_a_stream_it_breaks_off(autojump_clock: MockClock, hook: Any) -> None:
    async with over_memory(ScriptedServer(events(b"id: 7\ndata: a\n\n"))) as client:
        source = EventSource(URL, client=client, next_request=hook)
        async with connect(Stream(source), raise_app_exceptions=False) as browser:
            assert [event.data async for event in browser.events()] == ["a"]
            assert browser.ended == "broken"


async def test_reconnecting_can_still_be_off(autojump_clock: MockClock) -> None:
    async with (
        over_memory(ScriptedServer(events(b"data: a\n\n"))) as client,
        EventSource(URL, client=client, reconnect=False, next_request=refusing) as source,
    ):
        assert [event.data async for event in source] == ["a"]


async def test_it_is_asked_after_failures_too(autojump_clock: MockClock) -> None:
    asked: list[ServerSentEvent | None] = []

    def hook(request: StreamRequest, last: ServerSentEvent | None) -> StreamRequest:
        asked.append(last)
        return request

    server = ScriptedServer(status("503 No"), events(b"data: a\n\n"), reset, no_content)
    async with (
        over_memory(server) as client,
        EventSource(URL, client=client, next_request=hook) as source,
    ):
        assert [event.data async for event in source] == ["a"]
    assert [None if last is None else last.data for last in asked] == [None, "a", "a"]


def test_a_request_shows_no_secret() -> None:
    request = StreamRequest(url="http://h/?key=s3cret", content=b"s3cret", headers={"a": "s3cret"})
    assert "s3cret" not in repr(request)
