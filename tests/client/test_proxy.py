"""An `EventSource` as the source of a `Stream`: its upstream comes and goes, the client stays."""

from __future__ import annotations

import logging

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from tests.client.scripted import (
    Exchange,
    Script,
    ScriptedServer,
    broken,
    events,
    no_content,
    over_memory,
    over_tcp,
    reset,
    status,
)
from tests.support.tasks import NothingLeft
from trio_stream import ConnectionLostError, EventSource, ReadyState, ReconnectPolicy, Stream
from trio_stream.testing import connect

URL = "http://example.org/"
EXACT = ReconnectPolicy(backoff=0)
A = b"event: tick\nid: 1\ndata: a\n\n"
B = b"id: 2\ndata: b\n\n"


async def endless(exchange: Exchange) -> None:
    await exchange.events(A)
    await exchange.until_closed()


async def test_the_upstream_reconnects_while_the_client_stays(
    autojump_clock: MockClock, no_task_left: NothingLeft
) -> None:
    server = ScriptedServer(broken(A), reset, status("503 No"), events(B), no_content)
    async with over_memory(server) as client:
        stream = Stream(EventSource(URL, client=client, policy=EXACT))
        async with connect(stream) as browser:
            assert browser.status == 200
            received = [event async for event in browser.events()]
            assert browser.ended == "complete"
    assert [(e.event, e.data, e.id) for e in received] == [
        ("tick", "a", "1"),
        ("message", "b", "2"),
    ]
    assert server.ids == [None, "1", "1", "1", "2"]
    assert trio.current_time() == 12


async def test_an_upstream_that_says_there_is_no_more_is_a_204(autojump_clock: MockClock) -> None:
    async with over_memory(ScriptedServer(no_content)) as client:
        stream = Stream(EventSource(URL, client=client))
        async with connect(stream) as browser:
            assert (browser.status, await browser.read()) == (204, b"")
    assert stream.outcome == "completed"


async def test_a_post_reconnects_when_told_to(autojump_clock: MockClock) -> None:
    server = ScriptedServer(broken(A), events(B), no_content)
    async with over_memory(server) as client:
        source = EventSource(
            URL, client=client, method="POST", json={"stream": True}, reconnect=True, policy=EXACT
        )
        async with connect(Stream(source)) as browser:
            assert [event.data async for event in browser.events()] == ["a", "b"]
    assert [request.body for request in server.requests] == [b'{"stream":true}'] * 3


async def test_an_upstream_that_breaks_and_may_not_be_repeated_breaks_the_stream(
    autojump_clock: MockClock,
) -> None:
    async with over_memory(ScriptedServer(broken(A))) as client:
        stream = Stream(EventSource(URL, client=client, method="POST"))
        with pytest.raises(ConnectionLostError):
            async with connect(stream) as browser:
                await browser.read()


async def test_the_clients_leaving_closes_the_upstream(
    autojump_clock: MockClock, no_task_left: NothingLeft
) -> None:
    server = ScriptedServer(endless)
    async with over_memory(server) as client:
        source = EventSource(URL, client=client)
        async with connect(Stream(source)) as browser:
            assert (await browser.receive_event()).data == "a"
            assert server.open == 1
            browser.disconnect()
        assert source.state is ReadyState.CLOSED
        await trio.testing.wait_all_tasks_blocked()
        assert server.open == 0


async def test_a_slow_client_slows_the_upstream_down(autojump_clock: MockClock) -> None:
    sent = 0

    async def flood(exchange: Exchange) -> None:
        nonlocal sent
        await exchange.events()
        while True:
            await exchange.send(b"data: %b\n\n" % (b"x" * 1000))
            sent += 1
            await trio.sleep(0.01)

    async with over_memory(ScriptedServer(flood)) as client:
        source = EventSource(URL, client=client)
        async with connect(Stream(source, buffer=5, stall_timeout=None, ping=None)) as browser:
            browser.stall()
            await trio.sleep(60)
            received = source._attempts.events
            await trio.sleep(60)
            # The upstream goes on, into the transport's buffer; nobody reads it.
            assert source._attempts.events == received < 300
            browser.resume()
            await trio.sleep(10)
            assert source._attempts.events > received


@pytest.mark.parametrize(
    ("script", "retry_after"),
    [
        pytest.param(status("404 Gone"), None, id="404"),
        pytest.param(status("503 No", retry_after="99999"), "99999", id="503 for long"),
        pytest.param(status("200 OK", b"<html>", content_type="text/html"), None, id="HTML"),
    ],
)
async def test_an_upstream_that_cannot_be_had_is_told_before_the_headers(
    autojump_clock: MockClock, script: Script, retry_after: str | None
) -> None:
    async with (
        over_memory(ScriptedServer(script)) as client,
        connect(Stream(EventSource(URL, client=client))) as browser,
    ):
        assert browser.status == 502
        assert browser.headers.get("retry-after") == retry_after


async def silence(exchange: Exchange) -> None:
    await exchange.until_closed()


@pytest.mark.parametrize(
    ("script", "answer"),
    [pytest.param(reset, 502, id="no answer"), pytest.param(silence, 504, id="silence")],
)
async def test_giving_up_is_told_before_the_headers(
    autojump_clock: MockClock, script: Script, answer: int
) -> None:
    async with over_memory(ScriptedServer(script)) as client:
        source = EventSource(URL, client=client, reconnect=False, idle_timeout=5)
        async with connect(Stream(source)) as browser:
            assert browser.status == answer


@pytest.mark.parametrize("url", ["http://[::1", "ftp://h/", "http://h:x/"])
async def test_a_url_that_is_none_is_a_502(url: str, caplog: pytest.LogCaptureFixture) -> None:
    async with connect(Stream(EventSource(url))) as browser:
        assert browser.status == 502
    assert "a URL is http:// or https://" in caplog.text


async def test_so_is_an_environment_that_cannot_be_obeyed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nonexistent.pem")
    async with connect(Stream(EventSource(URL))) as browser:
        assert browser.status == 502
    assert "mend SSL_CERT_FILE" in caplog.text


@pytest.mark.parametrize("asked_for", [False, True])
@pytest.mark.parametrize(
    "script", [status("403 No", b"the reason why"), status("200 OK", b"the reason why")]
)
async def test_the_upstreams_words_go_to_the_log_where_that_is_asked_for(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture, script: Script, asked_for: bool
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "trio_stream")
    if asked_for:
        caplog.set_level(logging.INFO, "trio_stream.excerpts")
    url = "http://user:secret@example.org/events?key=secret#secret"
    async with (
        over_memory(ScriptedServer(script)) as client,
        connect(Stream(EventSource(url, client=client))) as browser,
    ):
        assert browser.status == 502
        assert b"the reason why" not in await browser.read()
    ours = "\n".join(record.getMessage() for record in caplog.records if "trio" in record.name)
    assert ("the reason why" in ours) == asked_for
    assert "http://example.org/events" in ours
    assert "secret" not in ours


async def test_the_streams_own_event_and_retry_replace_the_upstreams(
    autojump_clock: MockClock,
) -> None:
    server = ScriptedServer(events(b"retry: 9\n" + A), no_content)
    async with over_memory(server) as client:
        source = EventSource(URL, client=client, policy=EXACT)
        async with connect(Stream(source, event="mine", retry=5000)) as browser:
            event = await browser.receive_event()
            assert (event.event, event.id, browser.retry) == ("mine", "1", 5000)


@pytest.mark.parametrize(
    ("format", "body"),
    [
        ("ndjson", b'{"n": 1}\n"plain"\n'),
        ("text", b'{"n": 1}plain'),
        ("bytes", b'{"n": 1}plain'),
    ],
)
async def test_in_other_formats_the_data_is_passed_on(
    autojump_clock: MockClock, format: str, body: bytes
) -> None:
    server = ScriptedServer(events(b'data: {"n": 1}\n\ndata: plain\n\n'), no_content)
    async with over_memory(server) as client:
        stream = Stream(EventSource(URL, client=client), format=format)  # type: ignore[arg-type]
        async with connect(stream) as browser:
            assert (await browser.read()).replace(b"\n\n", b"\n").lstrip(b"\n") == body


async def test_a_stream_that_is_never_served_closes_its_source(autojump_clock: MockClock) -> None:
    source = EventSource(URL)
    async with connect(Stream(source), method="HEAD") as browser:
        assert browser.status == 200
    assert source.state is ReadyState.CLOSED
    # Nothing is open in this one, so that nothing need be awaited to close it.
    assert EventSource(URL).close_unawaited()


async def test_a_source_that_is_entered_already_will_do_too() -> None:
    server = ScriptedServer(events(A), events(B), no_content)
    policy = ReconnectPolicy(delay=0.01, backoff=0)
    async with (
        over_tcp(server) as url,
        EventSource(url, policy=policy) as source,
        Stream(source) as stream,
    ):
        body = b"".join([chunk async for chunk in stream.value])
    assert body.count(b"data: ") == 2
    assert source.state is ReadyState.CLOSED
