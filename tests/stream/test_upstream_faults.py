"""Upstreams that refuse, break and flood: the client is told, and the upstream's text is not."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
import trio
import trio.testing

from tests.stream.helpers import PRIMER
from tests.stream.upstream_server import answer, chunk, head, upstream
from tests.support.tasks import NothingLeft
from trio_stream import EventTooLargeError, Stream, UpstreamStatusError
from trio_stream.testing import connect
from trio_stream.testing.client import Client

both = pytest.mark.parametrize("module", [httpx, httpx2], ids=["httpx", "httpx2"])


def refusal(status: str, *headers: str, body: bytes = b"upstream's secret") -> Any:
    async def respond(stream: trio.SocketStream) -> None:
        lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", *headers, ""]
        await stream.send_all("".join(f"{line}\r\n" for line in lines).encode() + body)

    return respond


@asynccontextmanager
async def asking(respond: Any, module: Any = httpx, **client: Any) -> AsyncIterator[Client]:
    """A client of a stream that proxies what `respond` answers."""
    async with (
        upstream(respond) as server,
        module.AsyncClient(**client) as http,
        connect(stream_of(http, server.url)) as asked,
    ):
        yield asked


def stream_of(http: Any, url: str, **options: Any) -> Stream:
    return Stream(http.send(http.build_request("GET", url), stream=True), **options)


@both
@pytest.mark.parametrize("status", ["302 Found", "400 Bad Request", "404 Not Found", "500 Broken"])
async def test_an_error_status_is_a_502(
    module: Any, status: str, caplog: pytest.LogCaptureFixture, no_task_left: NothingLeft
) -> None:
    caplog.set_level(logging.ERROR, "trio_stream")
    async with upstream(refusal(status)) as server, module.AsyncClient() as http:
        stream = stream_of(http, server.url)
        async with connect(stream) as client:
            assert client.status == 502
            assert await client.read() == b"502 Bad Gateway\n"
            assert client.ended == "complete"
    assert stream.outcome == "failed"
    code = status.split()[0]
    text = [r.getMessage() for r in caplog.records if r.name == "trio_stream"]
    assert text == [
        "answered 502, because the stream's upstream failed: "
        f"UpstreamStatusError('{server.url} answered {code}')"
    ]
    await no_task_left()


@both
async def test_its_retry_after_is_copied(module: Any) -> None:
    respond = refusal("429 Too Many Requests", "retry-after: 120")
    async with asking(respond, module) as client:
        assert client.status == 502
        assert client.headers["retry-after"] == "120"


@both
async def test_handed_over_as_a_response_it_is_the_same(module: Any) -> None:
    async with upstream(refusal("503 Busy")) as server, module.AsyncClient() as http:
        response = await http.send(http.build_request("GET", server.url), stream=True)
        async with connect(Stream(response)) as client:
            assert client.status == 502
        assert response.is_closed


async def test_a_long_error_page_is_logged_in_part(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "trio_stream.excerpts")
    async with asking(refusal("500 X", body=b"x" * 100_000)) as client:
        assert client.status == 502
    [page] = [r.getMessage() for r in caplog.records if r.name == "trio_stream.excerpts"]
    assert 2048 <= len(page) < 2200


async def test_an_error_page_that_never_ends_is_waited_for_a_second() -> None:
    async def respond(stream: trio.SocketStream) -> None:
        await stream.send_all(head("text/plain", status="500 X") + chunk(b"begin"))
        await trio.sleep_forever()

    began = trio.current_time()
    async with asking(respond) as client:
        assert client.status == 502
        assert 0.9 < trio.current_time() - began < 15


async def test_without_a_served_stream_it_is_an_error_of_its_own() -> None:
    async with (
        upstream(refusal("404 X", "retry-after: 5")) as server,
        httpx.AsyncClient() as http,
        stream_of(http, server.url) as stream,
    ):
        with pytest.raises(UpstreamStatusError) as caught:
            await anext(stream.value)
    error = caught.value
    assert (error.url, error.status, error.retry_after) == (server.url, 404, "5")


@both
async def test_nobody_there_is_a_502(module: Any) -> None:
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    await listener.aclose()
    async with (
        module.AsyncClient() as http,
        connect(stream_of(http, f"http://127.0.0.1:{port}/")) as client,
    ):
        assert client.status == 502


@both
async def test_no_answer_in_time_is_a_504(module: Any) -> None:
    async def respond(stream: trio.SocketStream) -> None:
        await trio.sleep_forever()

    async with asking(respond, module, timeout=0.1) as client:
        assert client.status == 504


@both
async def test_one_that_dies_in_the_middle_of_an_event_breaks_the_stream(
    module: Any, no_task_left: NothingLeft
) -> None:
    async def respond(stream: trio.SocketStream) -> None:
        await stream.send_all(head("text/event-stream") + chunk(b"data: one\n\ndata: tw"))

    async with upstream(respond) as server, module.AsyncClient() as http:
        stream = stream_of(http, server.url)
        async with connect(stream, raise_app_exceptions=False) as client:
            assert await client.read() == PRIMER + b"data: one\n\n"
            assert client.ended == "broken"
    assert stream.outcome == "failed"
    await no_task_left()


@both
async def test_its_own_error_reaches_the_log(module: Any) -> None:
    async def respond(stream: trio.SocketStream) -> None:
        await stream.send_all(head("text/event-stream") + chunk(b"data: one\n\n"))

    async def read(url: str) -> None:
        async with module.AsyncClient() as http, connect(stream_of(http, url)) as client:
            await client.read()

    async with upstream(respond) as server:
        with pytest.raises(module.RemoteProtocolError, match="incomplete chunked read"):
            await read(server.url)


@pytest.mark.parametrize(
    ("content_type", "piece", "what"),
    [
        ("application/x-ndjson", b"x" * 600, "a line"),
        ("application/json", b'{"' + b"x" * 600, "an event"),
        ("text/event-stream", b"data: " + b"x" * 600, "a line"),
        ("text/event-stream", b"data: " + b"x" * 600 + b"\n", "an event"),
    ],
)
async def test_an_upstream_that_floods_one_event_is_cut_off(
    content_type: str, piece: bytes, what: str
) -> None:
    async def read(url: str) -> None:
        async with (
            httpx.AsyncClient() as http,
            connect(stream_of(http, url, max_event_bytes=1000)) as client,
        ):
            await client.read()

    async with upstream(answer(content_type, piece, piece)) as server:
        with pytest.raises(EventTooLargeError, match=f"{what} of more than 1000 bytes"):
            await read(server.url)


async def test_who_comes_back_gets_past_an_event_that_is_too_large() -> None:
    wire = b"id: 1\ndata: x\n\nid: 2\ndata: " + b"x" * 1000
    async with upstream(answer("text/event-stream", wire)) as server, httpx.AsyncClient() as http:
        stream = stream_of(http, server.url, max_event_bytes=100)
        async with connect(stream, raise_app_exceptions=False) as client:
            assert [event.data async for event in client.events()] == ["x"]
            assert (client.ended, client.last_event_id) == ("broken", "2")


async def test_a_slow_upstream_that_goes_silent_times_out_and_breaks_the_stream(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async def respond(stream: trio.SocketStream) -> None:
        await stream.send_all(head("text/event-stream") + chunk(b"data: one\n\n"))
        await trio.sleep_forever()

    unix = tmp_path / "upstream"
    transport = httpx.AsyncHTTPTransport(uds=str(unix))
    async with (
        upstream(respond, unix=unix) as server,
        httpx.AsyncClient(transport=transport, timeout=1.5) as http,
    ):
        stream = stream_of(http, server.url)
        async with connect(stream, raise_app_exceptions=False) as client:
            assert (await client.receive_event()).data == "one"
            await client.read()
            assert client.ended == "broken"
    assert stream.outcome == "failed"


@both
async def test_what_httpx_says_of_a_status_is_logged_without_the_query(
    module: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def ask(http: Any, url: str) -> Any:
        response = await http.send(http.build_request("GET", f"{url}?key=s3cret"), stream=True)
        try:
            response.raise_for_status()
        finally:
            await response.aclose()

    async with upstream(refusal("401 Unauthorized")) as server, module.AsyncClient() as http:
        async with connect(Stream(ask(http, server.url))) as client:
            assert client.status == 502
        [text] = [r.getMessage() for r in caplog.records if r.name == "trio_stream"]
        assert server.url in text
        assert "s3cret" not in text
