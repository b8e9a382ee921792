"""What an upstream sends under which name, and what of it the client gets."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import httpx2
import pytest

from tests.stream.helpers import PRIMER
from tests.stream.upstream_server import answer, upstream
from trio_stream import ContentTypeError, IncompleteStreamError, Stream
from trio_stream.testing import connect
from trio_stream.testing.client import Client

both = pytest.mark.parametrize("module", [httpx, httpx2], ids=["httpx", "httpx2"])

EVENTS = b'event: created\ndata: {"n":1}\n\nevent: completed\ndata: {"n":2}\n\n'
WATCH = [{"type": "ADDED", "object": {"spec": "y" * size}} for size in (3, 5000, 1)]
PICTURE = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"


@asynccontextmanager
async def proxied(
    content_type: str, *pieces: bytes, module: Any = httpx, **options: Any
) -> AsyncIterator[tuple[Client, Stream]]:
    async with upstream(answer(content_type, *pieces)) as server, module.AsyncClient() as http:
        url = server.url.replace("//", "//user:s3cret@") + "?key=s3cret"
        stream = Stream(http.send(http.build_request("GET", url), stream=True), **options)
        async with connect(stream, raise_app_exceptions=False) as client:
            yield client, stream


async def body_of(content_type: str, *pieces: bytes, **options: Any) -> bytes:
    async with proxied(content_type, *pieces, **options) as (client, stream):
        body = await client.read()
        assert (client.status, client.ended, stream.outcome) == (200, "complete", "completed")
    return body


def cut(wire: bytes, size: int) -> list[bytes]:
    return [wire[start : start + size] for start in range(0, len(wire), size)]


@both
@pytest.mark.parametrize("size", [5, 1000])
@pytest.mark.parametrize(
    ("content_type", "told"),
    [
        ("text/event-stream", False),
        ("text/event-stream; charset=utf-8", False),
        ("text/event-stream, text/event-stream", False),
        ("text/plain; charset=utf-8", True),
        ("application/json", True),
        ("application/x-ndjson", True),
        ("application/octet-stream", True),
        ("", True),
    ],
)
async def test_an_event_stream_is_never_framed_twice(
    module: Any, content_type: str, told: bool, size: int, caplog: pytest.LogCaptureFixture
) -> None:
    body = await body_of(content_type, *cut(EVENTS, size), module=module)
    assert body == PRIMER + EVENTS
    ours = [record.getMessage() for record in caplog.records if record.name == "trio_stream"]
    assert any("looks like an event stream" in text for text in ours) == told
    assert "s3cret" not in "".join(ours)


@pytest.mark.parametrize("format", ["sse", "ndjson"])
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/json;stream=watch",
        "application/stream+json",
        "application/json-seq",
        "text/plain",
        "",
    ],
)
async def test_json_values_are_whole(content_type: str, indent: int | None, format: str) -> None:
    wire = b"".join(b"\x1e" + json.dumps(o, indent=indent).encode() + b"\n" for o in WATCH)
    body = await body_of(content_type, *cut(wire, 700), format=format)
    if format == "sse":
        blocks = body.removeprefix(PRIMER).removesuffix(b"\n\n").split(b"\n\n")
        values = [b.replace(b"data: ", b"") for b in blocks]
    else:
        values = body.splitlines()
    assert [json.loads(value) for value in values] == WATCH


async def test_numbers_and_keys_are_left_as_they_are() -> None:
    wire = b'{"price": 0.12345678901234567890123}\n{"a":1,"a":2}\n'
    for content_type in ("application/json", "application/x-ndjson"):
        assert await body_of(content_type, wire, format="ndjson") == wire


REFUSED = [
    ("text/html", b"<p>what is this"),
    ("text/plain", b"<!doctype html><title>Log in</title>"),
    ("application/json", b"<html><title>Log in</title>"),
    ("", b"<html>"),
    ("image/png", PICTURE),
    ("application/octet-stream", PICTURE),
    ("", PICTURE),
    ("multipart/x-mixed-replace; boundary=frame", b"--frame\r\n"),
    ("application/vnd.amazon.eventstream", b"\0\0\0\x55"),
]


@both
@pytest.mark.parametrize(("content_type", "begin"), REFUSED)
@pytest.mark.parametrize("format", ["sse", "ndjson"])
async def test_what_is_no_stream_is_a_502(
    module: Any, content_type: str, begin: bytes, format: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with proxied(content_type, begin, module=module, format=format) as (client, stream):
        assert (client.status, await client.read()) == (502, b"502 Bad Gateway\n")
        assert client.ended == "complete"
    assert stream.outcome == "failed"
    assert "Stream(read_as=) says what it is" in caplog.text
    assert "s3cret" not in "".join(r.getMessage() for r in caplog.records if r.name[0] == "t")


@pytest.mark.parametrize(("content_type", "begin"), REFUSED)
async def test_as_bytes_it_goes_on_under_its_own_name(content_type: str, begin: bytes) -> None:
    async with proxied(content_type, begin, b"\xff\0", format="bytes") as (client, _):
        assert await client.read() == begin + b"\xff\0"
        assert client.headers["content-type"] == (content_type or "application/octet-stream")


async def test_unless_another_name_was_chosen() -> None:
    headers = {"content-type": "image/webp"}
    async with proxied("image/png", PICTURE, format="bytes", headers=headers) as (client, _):
        assert client.headers["content-type"] == "image/webp"


async def test_as_text_nothing_is_framed_nor_refused_but_what_is_none() -> None:
    for content_type, begin in REFUSED[:4]:
        assert await body_of(content_type, begin, format="text") == begin
    for content_type, begin in REFUSED[4:]:
        async with proxied(content_type, begin, format="text") as (client, _):
            assert client.status == 502


async def test_what_turns_out_to_be_no_text_breaks_off() -> None:
    async with proxied("application/octet-stream", b"text so far", PICTURE) as (client, stream):
        body = await client.read()
        assert "\ufffd".encode() not in body
        assert client.ended == "broken" or client.status == 502
    assert stream.outcome == "failed"


@pytest.mark.parametrize(
    ("read_as", "content_type", "wire", "data"),
    [
        ("sse", "text/html", b"data: a\n\n", [b"a"]),
        ("json", "text/plain", b'{"a":1}{"b":2}', [b'{"a":1}', b'{"b":2}']),
        ("lines", "text/plain", b'{"a":1}\n{"b"\n', [b'{"a":1}', b'{"b"']),
        ("lines", "text/event-stream", b"data: a\n", [b"data: a"]),
        ("text", "text/html", b"<html>", [b"<html>"]),
        ("text", "application/json", b'{"a', [b'{"a']),
        ("strict", "text/plain", b'{"a":1}{"b":2}', [b'{"a":1}{"b":2}']),
        ("strict", "application/json", b'{"a":1}{"b":2}', [b'{"a":1}', b'{"b":2}']),
        ("strict", "text/event-stream", b"data: a\n\n", [b"a"]),
    ],
)
async def test_what_it_is_can_be_said(
    read_as: str,
    content_type: str,
    wire: bytes,
    data: list[bytes],
    caplog: pytest.LogCaptureFixture,
) -> None:
    body = await body_of(content_type, wire, read_as=read_as)
    assert body == PRIMER + b"".join(b"data: %b\n\n" % text for text in data)
    assert [r for r in caplog.records if r.name == "trio_stream"] == []


@pytest.mark.parametrize(
    ("content_type", "wire"),
    [("text/plain", EVENTS), ("", b"text"), ("application/json", EVENTS), ("", b'{"a":1}')],
)
async def test_by_its_name_alone(content_type: str, wire: bytes) -> None:
    async with proxied(content_type, wire, read_as="strict") as (client, _):
        assert client.status == 502


async def test_the_error_has_the_beginning_of_the_body() -> None:
    async def read(url: str) -> None:
        async with (
            httpx.AsyncClient() as http,
            Stream(http.send(http.build_request("GET", url), stream=True)) as stream,
        ):
            async for _ in stream.value:
                pass

    async with upstream(answer("text/plain", b"<html>Log in")) as server:
        with pytest.raises(ContentTypeError) as raised:
            await read(server.url)
    error = raised.value
    assert (error.content_type, error.body) == ("text/plain", "<html>Log in")
    assert "Log in" not in str(error)


@pytest.mark.parametrize(
    ("keyword", "error", "match"),
    [
        ({"read_as": "html"}, ValueError, "read_as must be one of"),
        ({"read_as": "sse", "format": "bytes"}, TypeError, "there is no read_as in it"),
        ({"max_event_bytes": 0}, ValueError, "max_event_bytes"),
    ],
)
def test_keywords_that_say_nothing(keyword: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        Stream(**keyword)


# What the standard drops.

DROPPED = [
    # wire, what the log says, whether the stream is complete
    (b"data: a\n\ndata: b\r\n", "in the middle of an event", False),
    (b"data: a\n\ndata: b", "in the middle of an event", False),
    (b'data: a\n\n{"error": {\n"code": 499}}\n', "JSON between its events", False),
    (b'data: a\n\n{"error": 1}\n\n', "JSON between its events", False),
    (b"data: a\n\nInternal Server Error\n\n", "text between its events", False),
    (b"<html>\n</html>\n\n", "HTML between its events", False),
    (b'{"error": 1}\n\ndata: a\n\n', "JSON between its events", True),
    (b"data: a\nfoo: s3cret\n\n" * 5000, "fields that no event has", True),
    (b"foo: s3cret\n" * 10_000 + b"\ndata: a\n\n", "fields that no event has", True),
]


@both
@pytest.mark.parametrize(("wire", "told", "complete"), DROPPED)
async def test_what_the_standard_drops_is_told_once(
    module: Any, wire: bytes, told: str, complete: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async with proxied("text/event-stream", wire, module=module) as (client, stream):
        await client.read()
        assert client.ended == ("complete" if complete else "broken")
    assert stream.outcome == ("completed" if complete else "failed")
    assert stream.statistics().dropped
    texts = [r.getMessage() for r in caplog.records if r.name == "trio_stream"]
    assert len([text for text in texts if told in text]) == 1
    assert "s3cret" not in "".join(texts)
    assert '"code"' not in "".join(texts)


async def test_its_beginning_is_logged_where_that_is_asked_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "trio_stream.excerpts")
    async with proxied("text/event-stream", b'{"error": "why"}\n\ndata: a\n\n') as (client, _):
        await client.read()
    assert '{"error": "why"}' in caplog.text


@pytest.mark.parametrize(
    ("content_type", "wire"),
    [("text/event-stream", b"data: a\n\ndata: b"), ("application/json", b'{"a":1}{"b"')],
)
async def test_the_error_says_that_it_ended_too_early(content_type: str, wire: bytes) -> None:
    async with upstream(answer(content_type, wire)) as server, httpx.AsyncClient() as http:
        stream = Stream(http.send(http.build_request("GET", server.url), stream=True))
        with pytest.raises(IncompleteStreamError, match="ended in the middle of a"):
            async with connect(stream) as client:
                await client.read()


async def test_of_a_complete_stream_nothing_is_said(caplog: pytest.LogCaptureFixture) -> None:
    async with proxied("text/event-stream", b": x\n\nretry: 5\n\n" + EVENTS) as (client, stream):
        await client.read()
        assert client.ended == "complete"
    assert not stream.statistics().dropped
    assert [r for r in caplog.records if r.name == "trio_stream"] == []
