"""What comes in that is no tidy event stream: other types, drops, what is too large."""

from __future__ import annotations

import logging
from typing import Any

import pytest
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
)
from trio_stream import (
    AttemptEnded,
    ContentTypeError,
    DroppedInput,
    EventSource,
    EventTooLargeError,
    IncompleteStreamError,
    ReadyState,
    Stream,
)
from trio_stream.testing import connect

URL = "http://example.org/"
HAS_ID = b"id: 1\ndata: a\n\n"


def typed(content_type: str, *pieces: bytes) -> Script:
    async def script(exchange: Exchange) -> None:
        await exchange.head(**({"content_type": content_type} if content_type else {}))
        for piece in pieces:
            await exchange.send(piece)

    return script


async def data_of(script: Script, **options: Any) -> list[Any]:
    async with (
        over_memory(ScriptedServer(script)) as client,
        EventSource(URL, client=client, reconnect=False, **options) as source,
    ):
        return [event.data async for event in source]


# Types.


@pytest.mark.parametrize(
    "content_type",
    ["text/event-stream;charset=x", "text/event-stream, text/event-stream", "Text/Event-Stream"],
)
async def test_an_event_stream_may_be_named_in_many_ways(
    autojump_clock: MockClock, content_type: str
) -> None:
    assert await data_of(typed(content_type, HAS_ID)) == ["a"]


@pytest.mark.parametrize("read_as", ["strict", "auto"])
@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("text/html", "<html>Log in"),
        ("", "<html>Log in"),
        ("text/plain", "what is this"),
        ("image/png", "\x89"),
    ],
)
async def test_what_it_is_not_to_take_is_shown(
    autojump_clock: MockClock, content_type: str, body: str, read_as: str
) -> None:
    with pytest.raises(ContentTypeError, match="read_as= says what else") as raised:
        await data_of(typed(content_type, body.encode()), read_as=read_as)
    assert raised.value.content_type == content_type
    assert raised.value.body == ("" if content_type == "image/png" and read_as == "auto" else body)


async def test_what_says_nothing_is_refused_by_its_name(autojump_clock: MockClock) -> None:
    with pytest.raises(ContentTypeError) as raised:
        await data_of(typed("text/plain", HAS_ID))
    assert raised.value.body == HAS_ID.decode()


@pytest.mark.parametrize("size", [3, 1000])
@pytest.mark.parametrize(
    ("read_as", "content_type", "wire", "data"),
    [
        ("sse", "text/html", HAS_ID, ["a"]),
        ("auto", "text/plain", HAS_ID, ["a"]),
        ("auto", "", HAS_ID, ["a"]),
        ("auto", "application/json", b'{"a":1}{"b":2}', ['{"a":1}', '{"b":2}']),
        ("auto", "application/x-ndjson", b'{"a":1}\nno', ['{"a":1}', "no"]),
        ("auto", "text/plain", b'{"a":\n1}\n', ['{"a":\n1}']),
        ("json", "", b'{"a":1}\n2\n', ['{"a":1}', "2"]),
        ("lines", "text/event-stream", HAS_ID, ["id: 1", "data: a"]),
    ],
)
async def test_what_it_is_can_be_said(
    autojump_clock: MockClock,
    read_as: str,
    content_type: str,
    wire: bytes,
    data: list[str],
    size: int,
) -> None:
    pieces = [wire[start : start + size] for start in range(0, len(wire), size)]
    assert await data_of(typed(content_type, *pieces), read_as=read_as) == data


async def test_text_comes_as_it_comes(autojump_clock: MockClock) -> None:
    assert "".join(await data_of(typed("text/html", b"<p>", b"x"), read_as="text")) == "<p>x"


async def test_values_are_a_source_of_a_stream(autojump_clock: MockClock) -> None:
    script = typed("application/json", b'{"a": 1}{"b": 2}')
    async with over_memory(ScriptedServer(script)) as client:
        source = EventSource(URL, client=client, reconnect=False, read_as="auto")
        async with connect(Stream(source, format="ndjson")) as browser:
            assert await browser.read() == b'{"a": 1}\n{"b": 2}\n'


def test_no_other_word_will_do() -> None:
    with pytest.raises(ValueError, match="read_as must be one of"):
        EventSource(URL, read_as="bytes")  # type: ignore[arg-type]


# What is dropped.


async def test_what_was_not_received_is_not_dropped(autojump_clock: MockClock) -> None:
    records: list[object] = []
    body = b"id: 1\ndata: 1\n\nid: 2\ndata: 2\n\n"
    async with (
        over_memory(ScriptedServer(events(body))) as client,
        EventSource(URL, client=client, observer=records.append) as source,
    ):
        await source.receive()
    assert isinstance(records[-1], AttemptEnded)
    assert not records[-1].dropped


@pytest.mark.parametrize(
    ("wire", "dropped", "told"),
    [
        (HAS_ID + b"data: b\n", DroppedInput(unfinished=True), "in the middle of an event"),
        (
            HAS_ID + b'{"error": "s3cret"}\n\n',
            DroppedInput(stray_lines=1, ends_astray=True),
            "JSON between its events",
        ),
        (b"foo: s3cret\n" * 10_000 + HAS_ID, DroppedInput(unknown_fields=10_000), "fields that no"),
        (HAS_ID, DroppedInput(), ""),
    ],
)
async def test_what_is_dropped_is_told(
    autojump_clock: MockClock,
    caplog: pytest.LogCaptureFixture,
    wire: bytes,
    dropped: DroppedInput,
    told: str,
) -> None:
    caplog.set_level(logging.WARNING)
    records: list[Any] = []
    assert await data_of(events(wire), observer=records.append) == ["a"]
    assert isinstance(records[-1], AttemptEnded)
    assert records[-1].dropped == dropped
    assert len([text for text in caplog.messages if told in text]) == (1 if told else 0)
    assert "s3cret" not in caplog.text


async def test_of_a_broken_stream_the_observer_sees_it(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    records: list[Any] = []
    server = ScriptedServer(broken(HAS_ID + b"data: b\n"), no_content)
    async with (
        over_memory(server) as client,
        EventSource(URL, client=client, observer=records.append) as source,
    ):
        assert [event.data async for event in source] == ["a"]
    ended = [record for record in records if isinstance(record, AttemptEnded)]
    assert [record.dropped.unfinished for record in ended] == [True, False]
    assert "in the middle of an event" not in caplog.text  # it says that it broke off


async def test_a_stream_of_it_breaks_off(autojump_clock: MockClock) -> None:
    async with over_memory(ScriptedServer(events(HAS_ID + b"data: b\n"))) as client:
        stream = Stream(EventSource(URL, client=client, reconnect=False))
        with pytest.raises(IncompleteStreamError):
            async with connect(stream) as browser:
                assert [event.data async for event in browser.events()] == ["a"]
        assert stream.statistics().dropped.unfinished


async def test_an_id_without_data_goes_on_through_a_stream(autojump_clock: MockClock) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.events(HAS_ID + b"id: 9\n\n")
        await exchange.until_closed()

    async with (
        over_memory(ScriptedServer(script)) as client,
        connect(Stream(EventSource(URL, client=client, last_event_id="0"))) as browser,
    ):
        body = b""
        while b"9" not in body:
            body += await browser.receive_chunk()
        assert body.endswith(b"id: 1\ndata: a\n\nid: 9\n\n")
        assert b"id: 0" not in body


# What is too large.

LARGE = b"id: 2\ndata: " + b"x" * 1000 + b"\n\n"


@pytest.mark.parametrize("large", [LARGE, LARGE * 2, b"data: " + b"x" * 1000 + b"\nid: 2\n\n"])
async def test_it_gets_past_an_event_that_is_too_large(
    autojump_clock: MockClock, large: bytes
) -> None:
    server = ScriptedServer(events(HAS_ID + large + b"id: 3\ndata: b\n\n"), no_content)
    seen: list[str] = []
    async with (
        over_memory(server) as client,
        EventSource(URL, client=client, max_event_bytes=100) as source,
    ):
        while source.state is not ReadyState.CLOSED:
            try:
                async for event in source:
                    seen.append(event.data)
            except EventTooLargeError:
                seen.append("too large")
    assert seen == ["a", *["too large"] * large.count(b"id"), "b"]
    assert [request.headers.get("last-event-id") for request in server.requests] == [None, "3"]


async def test_who_begins_anew_behind_it_gets_past_it_too(autojump_clock: MockClock) -> None:
    async def script(exchange: Exchange) -> None:
        seen = exchange.request.headers.get("last-event-id")
        await exchange.events(b"" if seen == "2" else LARGE)
        await exchange.send(b"id: 3\ndata: b\n\n")

    server = ScriptedServer(script)
    async with over_memory(server) as client:
        async with EventSource(URL, client=client, max_event_bytes=100) as source:
            with pytest.raises(EventTooLargeError) as raised:
                await source.receive()
            last = source.last_event_id
        assert last == raised.value.last_event_id == "2"
        async with EventSource(URL, client=client, last_event_id=last) as source:
            assert (await source.receive()).data == "b"


async def test_so_does_the_client_of_a_stream(autojump_clock: MockClock) -> None:
    async with over_memory(ScriptedServer(events(HAS_ID + LARGE))) as client:
        source = EventSource(URL, client=client, max_event_bytes=100)
        async with connect(Stream(source), raise_app_exceptions=False) as browser:
            assert [event.data async for event in browser.events()] == ["a"]
            assert (browser.ended, browser.last_event_id) == ("broken", "2")


async def test_over_a_socket(no_task_left: Any) -> None:
    async with (
        over_tcp(ScriptedServer(typed("text/plain", b'{"a":1}\n{"b":2}'))) as url,
        EventSource(url, reconnect=False, read_as="auto") as source,
    ):
        assert [event.json() async for event in source] == [{"a": 1}, {"b": 2}]
    await no_task_left()
