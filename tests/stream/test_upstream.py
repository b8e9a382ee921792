"""Proxied responses of real httpx and httpx2 clients, from a real server."""

import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import httpx2
import pytest
import trio
import trio.testing

from tests.stream.helpers import PRIMER
from tests.stream.upstream_server import Respond, Upstream, answer, chunk, head, upstream
from tests.support.tasks import NothingLeft
from trio_stream import Stream
from trio_stream.testing import connect
from trio_stream.testing.client import Client

both = pytest.mark.parametrize("module", [httpx, httpx2], ids=["httpx", "httpx2"])


@asynccontextmanager
async def proxied(
    module: Any, respond: Respond, **options: Any
) -> AsyncIterator[tuple[Client, Upstream, Stream]]:
    """A client of a stream that proxies a response, as `client.send` returns it."""
    async with upstream(respond) as server, module.AsyncClient() as http:
        request = http.build_request("GET", server.url)
        stream = Stream(http.send(request, stream=True), **options)
        async with connect(stream) as client:
            yield client, server, stream


async def proxied_body(module: Any, respond: Respond, **options: Any) -> bytes:
    async with proxied(module, respond, **options) as (client, _, _):
        body = await client.read()
        assert client.ended == "complete"
    return body


@both
async def test_an_event_stream_is_passed_on_event_by_event(
    module: Any, no_task_left: NothingLeft
) -> None:
    respond = answer(
        "text/event-stream",
        b": a comment\n\nid: 1\nevent: tick\nda",
        b"ta: one\r\ndata: two\n\n",
        b"\n\ndata:three\n\n: never finished",
    )
    async with upstream(respond) as server, module.AsyncClient() as http:
        response = await http.send(http.build_request("GET", server.url), stream=True)
        async with connect(Stream(response)) as client:
            body = await client.read()
            assert client.headers["content-type"] == "text/event-stream; charset=utf-8"
            assert client.ended == "complete"
        assert response.is_closed
    assert body == (
        PRIMER + b"id: 1\nevent: tick\ndata: one\ndata: two\n\n" + b"id: 1\ndata: three\n\n"
    )
    await no_task_left()


@both
async def test_an_event_comes_as_soon_as_upstream_has_sent_it(module: Any) -> None:
    async def respond(stream: trio.SocketStream) -> None:
        await stream.send_all(head("text/event-stream") + chunk(b"data: one\n\n"))
        await trio.sleep_forever()

    async with proxied(module, respond) as (client, _, _):
        with trio.fail_after(30):
            assert (await client.receive_event()).data == "one"


async def test_names_and_ids_are_kept_and_a_retry_is_not() -> None:
    body = await proxied_body(
        httpx, answer("text/event-stream", b"retry: 700\nid: 1\nevent: a\ndata: x\n\ndata: y\n\n")
    )
    assert body == PRIMER + b"id: 1\nevent: a\ndata: x\n\nid: 1\ndata: y\n\n"


@pytest.mark.parametrize(("retry", "passed_on"), [(700, 700), (1, 500), (10**9, 3_600_000)])
async def test_a_retry_is_passed_on_where_that_is_wanted(retry: int, passed_on: int) -> None:
    body = await proxied_body(
        httpx,
        answer("text/event-stream", b"retry: %d\ndata: x\n\nretry: %d\n\n" % (retry, retry)),
        relay_retry=True,
    )
    assert body == PRIMER + b"retry: %d\ndata: x\n\n" % passed_on


async def test_the_streams_own_event_and_retry_replace_upstreams() -> None:
    body = await proxied_body(
        httpx,
        answer("text/event-stream", b"retry: 700\nid: 1\nevent: a\ndata: x\n\ndata: y\n\n"),
        event="token",
        retry=50,
    )
    assert body == (b"retry: 50\nid: 1\nevent: token\ndata: x\n\nid: 1\nevent: token\ndata: y\n\n")


async def test_an_id_or_retry_without_data_is_passed_on() -> None:
    respond = answer("text/event-stream", b"id: 7\nretry: 800\n\n")
    async with proxied(httpx, respond, relay_retry=True) as (client, _, _):
        assert [event async for event in client.events()] == []
        assert client.last_event_id == "7"
        assert client.retry == 800


async def test_json_lines_come_one_by_one() -> None:
    body = await proxied_body(
        httpx, answer("application/x-ndjson", b'{"a": 1}\n{"b"', b": 2}\n", b'\n{"c": 3}')
    )
    assert body == PRIMER + b'data: {"a": 1}\n\ndata: {"b": 2}\n\ndata: {"c": 3}\n\n'


@both
async def test_anything_else_comes_chunk_by_chunk_as_text(module: Any) -> None:
    async with proxied(module, answer("text/plain", b"caf\xc3", b"\xa9", b" au lait")) as (
        client,
        *_,
    ):
        assert [event.data async for event in client.events()] == ["caf", "é", " au lait"]


async def test_in_upstreams_own_charset() -> None:
    body = await proxied_body(httpx, answer("text/plain; charset=latin-1", b"caf\xe9"))
    assert body == PRIMER + "data: café\n\n".encode()


async def test_an_unknown_charset_is_read_as_utf_8() -> None:
    body = await proxied_body(httpx, answer("text/plain; charset=nonsense", "é\xff".encode()))
    assert body == PRIMER + "data: é\xff\n\n".encode()


async def test_a_compressed_event_stream_is_read() -> None:
    async def respond(stream: trio.SocketStream) -> None:
        await stream.send_all(head("text/event-stream", "content-encoding: gzip"))
        await stream.send_all(chunk(gzip.compress(b"data: x\n\n")) + b"0\r\n\r\n")

    assert await proxied_body(httpx, respond) == PRIMER + b"data: x\n\n"


async def test_as_bytes_nothing_is_changed() -> None:
    raw = b"data: \xff\n\ndata: x"
    assert await proxied_body(httpx, answer("text/event-stream", raw), format="bytes") == raw


async def test_as_text_nothing_is_decoded() -> None:
    raw = b"event: a\ndata: x\n\n"
    assert await proxied_body(httpx, answer("text/event-stream", raw), format="text") == raw


async def test_events_as_json_lines() -> None:
    body = await proxied_body(
        httpx,
        answer("text/event-stream", b'data: {"a":\ndata: 1}\n\ndata: text\n\n'),
        format="ndjson",
    )
    assert body == b'{"a":1}\n"text"\n'


async def test_no_line_of_theirs_is_cut_at_what_ends_none() -> None:
    wire = 'data: {"a": "\u2028\x85"}\n\n'.encode()
    assert await proxied_body(httpx, answer("text/event-stream", wire), format="ndjson") == (
        rb'{"a": "\u2028\u0085"}' + b"\n"
    )


async def test_json_lines_as_json_lines() -> None:
    body = await proxied_body(
        httpx, answer("application/x-ndjson", b'{"a": 1}\nnot JSON\n'), format="ndjson"
    )
    assert body == b'{"a": 1}\n"not JSON"\n'


@both
async def test_when_the_client_leaves_upstream_is_hung_up_on(
    module: Any, no_task_left: NothingLeft
) -> None:
    async def respond(stream: trio.SocketStream) -> None:
        await stream.send_all(head("text/event-stream") + chunk(b"data: one\n\n"))
        await trio.sleep_forever()

    async with proxied(module, respond) as (client, server, stream):
        await client.receive_event()
        client.disconnect()
        with trio.fail_after(30):
            await server.hung_up.wait()
        assert stream.outcome == "disconnected"
    await no_task_left()


@both
async def test_also_before_upstream_has_answered(module: Any, no_task_left: NothingLeft) -> None:
    async def respond(stream: trio.SocketStream) -> None:
        await trio.sleep_forever()

    async with proxied(module, respond, ping=0.05) as (client, server, _):
        assert client.status == 200  # a ping's time has passed
        client.disconnect()
        with trio.fail_after(30):
            await server.hung_up.wait()
    await no_task_left()


async def test_a_slow_client_slows_upstream() -> None:
    sent, far_too_much = 0, 2**26

    async def respond(stream: trio.SocketStream) -> None:
        nonlocal sent
        await stream.send_all(head("text/plain"))
        while sent < far_too_much:
            await stream.send_all(chunk(b"x" * 2**16))
            sent += 2**16
        await trio.sleep_forever()

    async with proxied(httpx, respond, buffer_bytes=2**17) as (client, *_):
        # In the end all stand still, upstream with more to send. Not at the first look, perhaps:
        # the kernel finds room for another chunk between two sockets when it likes.
        seen = -1
        while sent != seen or not sent:
            seen = sent
            await trio.testing.wait_all_tasks_blocked(0.5)
        assert sent < far_too_much
        assert client.ended is None
        client.disconnect()


async def test_a_response_that_was_read_already_can_be_sent() -> None:
    async with upstream(answer("text/plain", b"text")) as server, httpx.AsyncClient() as http:
        response = await http.get(server.url)
        async with connect(Stream(response)) as client:
            assert await client.read() == PRIMER + b"data: text\n\n"


async def no_content(stream: trio.SocketStream) -> None:
    await stream.send_all(b"HTTP/1.1 204 No Content\r\ncontent-type: text/event-stream\r\n\r\n")


@both
@pytest.mark.parametrize("format", ["sse", "ndjson", "text", "bytes"])
async def test_one_that_says_there_is_no_more_is_a_204(
    module: Any, format: str, no_task_left: NothingLeft
) -> None:
    headers = {"access-control-allow-origin": "*"}
    async with proxied(module, no_content, format=format, headers=headers) as (client, _, stream):
        assert (client.status, await client.read(), client.ended) == (204, b"", "complete")
        assert client.headers["access-control-allow-origin"] == "*"
        assert client.headers["cache-control"] == "no-store, no-transform"
        assert "content-type" not in client.headers
    assert stream.outcome == "completed"
    await no_task_left()


async def test_also_when_it_was_awaited_before() -> None:
    async with upstream(no_content) as server, httpx.AsyncClient() as http:
        response = await http.send(http.build_request("GET", server.url), stream=True)
        async with connect(Stream(response)) as client:
            assert client.status == 204
        assert response.is_closed


async def test_but_not_once_the_headers_are_out() -> None:
    are_out = trio.Event()

    async def late(stream: trio.SocketStream) -> None:
        await are_out.wait()
        await no_content(stream)

    async with proxied(httpx, late, ping=0.05) as (client, *_):
        assert client.status == 200
        are_out.set()
        assert [event async for event in client.events()] == []
        assert client.ended == "complete"


async def test_nor_when_something_else_was_sent() -> None:
    async with upstream(no_content) as server, httpx.AsyncClient() as http:
        stream = Stream(await http.send(http.build_request("GET", server.url), stream=True))
        stream.send_nowait("hello")
        async with connect(stream) as client:
            assert (client.status, await client.read()) == (200, PRIMER + b"data: hello\n\n")


async def test_a_response_of_a_sync_client_is_refused() -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=iter([b"x"]))

    with (
        httpx.Client(transport=httpx.MockTransport(handle)) as http,
        http.stream("GET", "http://example.org/") as response,
        pytest.raises(TypeError, match=r"use httpx\.AsyncClient"),
    ):
        Stream(response)
