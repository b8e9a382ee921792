"""What a user of `EventSource` sees while nothing goes wrong."""

from __future__ import annotations

from typing import Any

import httpx
import httpx2
import pytest
import trio
import trio.testing
from trio.testing import MockClock

from tests.client.scripted import (
    Exchange,
    Script,
    ScriptedServer,
    events,
    no_content,
    over_memory,
    over_tcp,
    status,
)
from tests.codec.vectors import VECTORS, Vector
from tests.support.tasks import NothingLeft
from trio_stream import (
    EventSource,
    EventTooLargeError,
    InvalidRequestError,
    ReadyState,
    ReconnectPolicy,
    ServerSentEvent,
    Stream,
    UpstreamStatusError,
)
from trio_stream.testing import connect

TWO = b"id: 1\nevent: tick\ndata: {}\n\ndata: b\n\n"


async def test_gives_each_event_with_its_name_data_and_id(
    autojump_clock: MockClock, no_task_left: NothingLeft
) -> None:
    server = ScriptedServer(events(TWO), no_content)
    async with (
        over_memory(server) as client,
        EventSource("http://example.org/prices?all", client=client) as source,
    ):
        received = [event async for event in source]
    assert received == [
        ServerSentEvent("{}", event="tick", id="1"),
        ServerSentEvent("b", event="message", id="1"),
    ]
    assert received[0].json() == {}


async def test_asks_as_a_browser_does(autojump_clock: MockClock) -> None:
    server = ScriptedServer(no_content)
    async with (
        over_memory(server) as client,
        EventSource("http://example.org/prices?all", client=client),
    ):
        [request] = server.requests
    assert (request.method, request.target) == ("GET", "/prices?all")
    assert request.headers["accept"] == "text/event-stream"
    assert request.headers["cache-control"] == "no-cache"
    assert "last-event-id" not in request.headers


async def test_its_state_is_the_standards_ready_state(autojump_clock: MockClock) -> None:
    async def one_event_then_silence(exchange: Exchange) -> None:
        await exchange.events(b"data: a\n\n")
        await exchange.until_closed()

    server = ScriptedServer(one_event_then_silence)
    async with over_memory(server) as client:
        source = EventSource("http://example.org/", client=client)
        assert source.state is ReadyState.CONNECTING
        assert source.state == "connecting"
        async with source:
            assert source.state is ReadyState.OPEN
            await source.receive()
            assert source.state is ReadyState.OPEN
        assert source.state is ReadyState.CLOSED


async def test_retry_and_last_event_id_are_what_the_server_set(autojump_clock: MockClock) -> None:
    server = ScriptedServer(events(b"retry: 250\nid: a\ndata: 1\n\nid: b\ndata: 2\n\n"), no_content)
    async with over_memory(server) as client:
        source = EventSource("http://example.org/", client=client, last_event_id="0")
        assert (source.retry, source.last_event_id) == (None, "0")
        async with source:
            await source.receive()
            assert (source.retry, source.last_event_id) == (250, "a")
            await source.receive()
            assert source.last_event_id == "b"


async def test_last_event_id_never_runs_ahead_of_what_was_received(
    autojump_clock: MockClock,
) -> None:
    server = ScriptedServer(events(b"id: a\ndata: 1\n\nid: b\ndata: 2\n\nid: c\ndata: 3\n\n"))
    async with over_memory(server) as client:
        async with EventSource("http://example.org/", client=client) as source:
            await source.receive()
            assert source.last_event_id == "a"
        assert source.last_event_id == "a"


async def test_connects_when_first_received_from_without_async_with(
    autojump_clock: MockClock,
) -> None:
    server = ScriptedServer(events(TWO), no_content)
    async with over_memory(server) as client:
        source = EventSource("http://example.org/", client=client)
        assert server.requests == []
        assert [event.data async for event in source] == ["{}", "b"]


async def test_receive_nowait_gives_only_what_has_arrived(autojump_clock: MockClock) -> None:
    server = ScriptedServer(events(TWO), no_content)
    async with (
        over_memory(server) as client,
        EventSource("http://example.org/", client=client) as source,
    ):
        with pytest.raises(trio.WouldBlock):
            source.receive_nowait()
        assert (await source.receive()).data == "{}"
        assert source.receive_nowait().data == "b"
        with pytest.raises(trio.WouldBlock):
            source.receive_nowait()


async def test_every_receive_is_a_checkpoint(autojump_clock: MockClock) -> None:
    server = ScriptedServer(events(TWO))
    async with (
        over_memory(server) as client,
        EventSource("http://example.org/", client=client) as source,
    ):
        for _ in range(2):
            with trio.testing.assert_checkpoints():
                await source.receive()


async def test_a_second_task_may_not_receive_at_the_same_time(autojump_clock: MockClock) -> None:
    async def silence(exchange: Exchange) -> None:
        await exchange.events()
        await exchange.until_closed()

    async with (
        over_memory(ScriptedServer(silence)) as client,
        EventSource("http://example.org/", client=client) as source,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(source.receive)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(trio.BusyResourceError):
            await source.receive()
        nursery.cancel_scope.cancel()


async def test_comments_are_seen_by_who_asks_for_them(autojump_clock: MockClock) -> None:
    comments: list[str] = []
    server = ScriptedServer(events(b": ping\n\n:pong\n\n"), no_content)
    async with (
        over_memory(server) as client,
        EventSource("http://example.org/", client=client, on_comment=comments.append) as source,
    ):
        assert [event async for event in source] == []
    assert comments == ["ping", "pong"]


async def test_an_openai_style_stream_is_read_to_its_done(autojump_clock: MockClock) -> None:
    body = b'data: {"delta": "a"}\n\ndata: {"delta": "b"}\n\ndata: [DONE]\n\n'
    server = ScriptedServer(events(body))
    words = []
    async with (
        over_memory(server) as client,
        EventSource(
            "http://example.org/v1", client=client, method="POST", json={"stream": True}
        ) as source,
    ):
        async for event in source:
            if event.data == "[DONE]":
                break
            words.append(event.json()["delta"])
    assert words == ["a", "b"]
    [request] = server.requests
    assert (request.method, request.body) == ("POST", b'{"stream":true}')
    assert request.headers["content-type"] == "application/json"


async def test_a_server_that_buffers_is_waited_for(autojump_clock: MockClock) -> None:
    async def nothing_then_all(exchange: Exchange) -> None:
        await exchange.events()
        await trio.sleep(200)
        await exchange.send(TWO)

    server = ScriptedServer(nothing_then_all, no_content)
    async with (
        over_memory(server, timeout=5) as client,
        EventSource("http://example.org/", client=client) as source,
    ):
        assert [event.data async for event in source] == ["{}", "b"]
    assert len(server.requests) == 2


async def test_a_slow_program_slows_its_server_down() -> None:
    sent = 0

    async def flood(exchange: Exchange) -> None:
        nonlocal sent
        await exchange.events()
        while True:
            await exchange.send(b"data: %b\n\n" % (b"x" * 1000))
            sent += 1

    async with over_tcp(ScriptedServer(flood)) as url, EventSource(url) as source:
        for _ in range(10):
            await source.receive()
        with trio.fail_after(60):
            before = -1
            while sent != before:
                before = sent
                await trio.sleep(0.2)
        # What the kernel's two buffers take, and one piece in hand.
        assert sent * 1000 < 16 * 2**20
        assert len(source._incoming.events) * 1000 < 2**18


async def test_limits_of_event_and_line_are_the_users(autojump_clock: MockClock) -> None:
    for limits in ({"max_event_bytes": 10}, {"max_line_bytes": 10}):
        server = ScriptedServer(events(b"data: short\n\n" + b"data: too long\n\n"))
        async with (
            over_memory(server) as client,
            EventSource("http://example.org/", client=client, **limits) as source,
        ):
            with pytest.raises(EventTooLargeError):
                [event async for event in source]
            assert source.state is ReadyState.OPEN


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)
async def test_reads_by_the_standard(autojump_clock: MockClock, vector: Vector) -> None:
    server = ScriptedServer(events(vector.wire), no_content)
    async with (
        over_memory(server) as client,
        EventSource("http://example.org/", client=client) as source,
    ):
        received = [(event.event, event.data, event.id) async for event in source]
        assert received == vector.events
        assert source.retry == vector.retry


async def test_makes_a_client_of_its_own_and_closes_it() -> None:
    async with over_tcp(ScriptedServer(events(TWO), no_content)) as url:
        async with EventSource(url) as source:
            assert (await source.receive()).data == "{}"
            client = source._connector._own_client
            assert client is not None
            assert not client.is_closed
        assert client.is_closed


@pytest.mark.parametrize("end", [no_content, status("404 Not Found")], ids=["204", "404"])
async def test_closes_its_own_client_when_there_will_be_no_more_to_do(end: Script) -> None:
    async with over_tcp(ScriptedServer(end)) as url:
        source = EventSource(url)
        with pytest.raises((trio.EndOfChannel, UpstreamStatusError)):
            await source.receive()
        assert source._connector._own_client is not None
        assert source._connector._own_client.is_closed


async def test_a_client_that_was_handed_over_stays_open() -> None:
    server = ScriptedServer(events(TWO), no_content)
    async with over_tcp(server) as url, httpx.AsyncClient(base_url=url) as client:
        async with EventSource("/relative", client=client) as source:
            assert (await source.receive()).data == "{}"
        assert not client.is_closed


async def test_httpx2_clients_will_do() -> None:
    server = ScriptedServer(events(TWO), events(b"data: c\n\n"), no_content)
    async with over_tcp(server) as url, httpx2.AsyncClient() as client:
        policy = ReconnectPolicy(delay=0, backoff=0)
        async with EventSource(url, client=client, policy=policy) as source:
            assert [event.data async for event in source] == ["{}", "b", "c"]
    assert server.ids == [None, "1", "1"]


@pytest.mark.parametrize("client", [httpx.Client(), object()], ids=["sync", "other"])
def test_other_clients_are_a_type_error(client: Any) -> None:
    with pytest.raises(TypeError, match="AsyncClient of httpx or httpx2"):
        EventSource("http://example.org/", client=client)


def test_misuse_is_told_at_once() -> None:
    with pytest.raises(TypeError, match="json or content"):
        EventSource("http://example.org/", json={}, content="")
    with pytest.raises(ValueError, match="idle_timeout"):
        EventSource("http://example.org/", idle_timeout=0)
    for bad in ("a\nb", "a\rb", "a\0b"):
        with pytest.raises(ValueError, match="no event has a last_event_id with"):
            EventSource("http://example.org/", last_event_id=bad)


def test_repr_shows_no_secret() -> None:
    source = EventSource("https://user:password@example.org/a?token=secret#x")
    assert repr(source) == "<trio_stream.EventSource https://example.org/a connecting>"


async def test_once_closed_it_gives_nothing_and_says_so(autojump_clock: MockClock) -> None:
    for script in (events(TWO), no_content):
        async with over_memory(ScriptedServer(script)) as client:
            source = EventSource("http://example.org/", client=client, reconnect=False)
            async with source:
                pass
            for use in (source.receive, source.connect, source.__aenter__, source.arrive):
                with pytest.raises(trio.ClosedResourceError, match="was closed"):
                    await use()
            with pytest.raises(trio.ClosedResourceError, match="was closed"):
                source.receive_nowait()


async def test_a_second_stream_of_it_fails_and_is_no_204(autojump_clock: MockClock) -> None:
    """After which a browser would never come back."""
    async with over_memory(ScriptedServer(no_content)) as client:
        source = EventSource("http://example.org/", client=client)
        async with connect(Stream(source)) as page:
            assert page.status == 204
        with pytest.raises(trio.ClosedResourceError):
            async with connect(Stream(source)) as page:
                assert page.status == 500


@pytest.mark.parametrize("port", [0, 65536, 99999])
async def test_a_port_that_is_none_is_not_asked_for_ever(port: int) -> None:
    with pytest.raises(InvalidRequestError, match=f"no port {port}"):
        async with EventSource(f"http://user:secret@127.0.0.1:{port}/"):
            pass
