"""The response's status and headers."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio
import trio.testing

from tests.stream.helpers import PRIMER
from tests.support.raw import EVENT_SOURCE
from trio_stream import Stream
from trio_stream.testing import connect

CONTENT_TYPES = {
    "sse": "text/event-stream; charset=utf-8",
    "ndjson": "application/x-ndjson",
    "text": "text/plain; charset=utf-8",
    "bytes": "application/octet-stream",
}


@pytest.mark.parametrize(("format", "content_type"), CONTENT_TYPES.items())
async def test_each_format_has_its_content_type(format: Any, content_type: str) -> None:
    async with connect(Stream([], format=format)) as client:
        # Else Chromium holds a kilobyte of plain text back, in a tab, to find out what it is.
        told = {"x-content-type-options": "nosniff"} if format == "text" else {}
        assert dict(client.headers) == {
            "content-type": content_type,
            "cache-control": "no-store, no-transform",
            "x-accel-buffering": "no",
            **told,
        }
        assert client.status == 200


async def test_they_can_be_read_before_they_go_out() -> None:
    stream = Stream([], headers={"X-Own": "1"}, status=201)
    async with connect(stream) as client:
        assert client.status == stream.status == 201
        told = {name.decode(): value.decode() for name, value in stream.headers}
        assert dict(client.headers) == told
        assert told["x-own"] == "1"


async def test_all_of_them_can_be_replaced_and_others_added() -> None:
    headers = {"Content-Type": "text/html", "Cache-Control": "no-cache", "X-Own": "1"}
    async with connect(Stream([], headers=headers, status=201)) as client:
        assert client.status == 201
        assert dict(client.headers) == {
            "content-type": "text/html",
            "cache-control": "no-cache",
            "x-own": "1",
            "x-accel-buffering": "no",
        }


async def test_pairs_may_repeat_a_name() -> None:
    pairs = [("Set-Cookie", "a=1"), ("set-cookie", "b=2")]
    async with connect(Stream([], headers=pairs)) as client:
        assert client.headers.get_list("set-cookie") == ["a=1", "b=2"]


@pytest.mark.parametrize(
    "name", ["Content-Length", "transfer-encoding", "Connection", "Keep-Alive"]
)
def test_what_frames_the_body_is_the_servers(name: str) -> None:
    with pytest.raises(ValueError, match="the server frames the stream"):
        Stream([], headers={name: "1"})


@pytest.mark.parametrize("name", ["", "a b", "a:b", "é", "a\r\n"])
def test_a_name_that_is_no_token_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is not a header name"):
        Stream([], headers={name: "1"})


@pytest.mark.parametrize("value", ["a\r\nevil: 1", "a\n", "\0"])
def test_a_value_that_would_break_out_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="holds a line break or NUL"):
        Stream([], headers={"x-own": value})


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(TypeError, match="headers are pairs of str"):
        Stream([], headers={"x-own": 5})  # type: ignore[arg-type]


@pytest.mark.parametrize("status", [100, 199, 204, 205, 304, 600, -1, 0])
def test_a_status_without_a_body_is_refused(status: int) -> None:
    with pytest.raises(ValueError, match="has no body to stream"):
        Stream([], status=status)


@pytest.mark.parametrize("status", ["200", 200.0, None, True])
def test_a_status_is_an_int(status: Any) -> None:
    with pytest.raises(TypeError, match="status must be an int"):
        Stream([], status=status)


async def test_they_go_out_at_once_with_the_primer() -> None:
    stream = Stream(lambda stream: trio.sleep_forever())
    with trio.fail_after(60):
        async with connect(stream, headers=EVENT_SOURCE) as client:
            assert await client.receive_chunk() == PRIMER
            assert stream.statistics().events == 0


@pytest.mark.parametrize("format", ["ndjson", "text", "bytes"])
async def test_other_formats_have_no_primer(format: Any) -> None:
    async with connect(Stream([], format=format)) as client:
        assert await client.read() == b""


@pytest.mark.parametrize("format", CONTENT_TYPES)
async def test_head_answers_the_headers_and_runs_nothing(format: Any) -> None:
    async def never() -> AsyncIterator[str]:
        raise AssertionError("it was run")
        yield

    async with connect(Stream(never(), format=format, status=202), method="HEAD") as client:
        assert client.status == 202
        assert client.headers["content-type"] == CONTENT_TYPES[format]
        assert await client.read() == b""
        assert client.ended == "complete"


async def test_head_runs_no_callback() -> None:
    def callback(stream: Stream) -> None:
        raise AssertionError("it was run")

    async with connect(Stream(callback), method="HEAD") as client:
        assert client.status == 200


async def test_what_a_server_or_middleware_adds_to_one_response_is_not_in_the_next() -> None:
    options: dict[str, Any] = {"headers": {"x-own": "1"}}

    async def served(stream: Stream, *request: Any) -> None:
        scope, receive, send = request

        async def add(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"].append((b"x-added", b"1"))
            await send(message)

        await stream(scope, receive, add)

    for _ in range(2):
        stream = Stream([], **options)
        async with connect(lambda *request, s=stream: served(s, *request)) as client:
            assert client.headers.get_list("x-added") == ["1"]
