"""`compress="upstream"`: a response stays in its coding, for clients that read it."""

from __future__ import annotations

import gzip
import zlib
from typing import Any

import httpx
import httpx2
import pytest
import trio

from tests.stream.upstream_server import Respond, chunk, head, upstream
from trio_stream import EncodedEvent, Stream
from trio_stream.testing import Client, connect

PLAIN = b"what repeats itself, " * 50
GZIP = gzip.compress(PLAIN)


def coded(coding: str, *chunks: bytes, end: bytes = b"0\r\n\r\n") -> Respond:
    async def respond(stream: trio.SocketStream) -> None:
        await stream.send_all(head("image/svg+xml", f"content-encoding: {coding}"))
        for data in chunks:
            await stream.send_all(chunk(data))
        await stream.send_all(end)

    return respond


async def raw(client: Client) -> bytes:
    """The body as it is on the wire."""
    body = b""
    while piece := await client._connection.read():
        body += piece
    return body


async def passed(
    respond: Respond, accept: str | None, *, module: Any = httpx, **options: Any
) -> tuple[bytes, str | None]:
    """What a client gets on the wire, and in which coding it is said to be."""
    options = {"format": "bytes", "compress": "upstream", **options}
    headers = {} if accept is None else {"accept-encoding": accept}
    async with upstream(respond) as server, module.AsyncClient() as http:
        stream = Stream(http.send(http.build_request("GET", server.url), stream=True), **options)
        async with connect(stream, headers=headers) as client:
            assert client.headers["vary"] == "accept-encoding"
            assert client.headers["content-type"] == "image/svg+xml"
            return await raw(client), client.headers.get("content-encoding")


@pytest.mark.parametrize("module", [httpx, httpx2], ids=["httpx", "httpx2"])
async def test_it_is_passed_on_as_it_comes(module: Any) -> None:
    respond = coded("gzip", GZIP[:20], GZIP[20:])
    assert await passed(respond, "br, gzip", module=module) == (GZIP, "gzip")


@pytest.mark.parametrize(
    ("coding", "accept"), [("X-Gzip", "gzip"), ("gzip", "x-gzip"), ("gzip ", "*"), ("br", "br")]
)
async def test_by_any_of_its_names(coding: str, accept: str) -> None:
    # Of br nothing is looked at, so that its module need not be there, nor these bytes be any.
    assert await passed(coded(coding, GZIP), accept) == (GZIP, "br" if "br" in accept else "gzip")


@pytest.mark.parametrize(
    "accept", [None, "", "br", "gzip;q=0, *", "gzip;q=0.5, identity", "nonsense;;=,"]
)
async def test_clients_that_do_not_accept_it_have_it_decoded(accept: str | None) -> None:
    assert await passed(coded("gzip", GZIP), accept) == (PLAIN, None)


async def test_nobody_gets_it_unasked() -> None:
    async with upstream(coded("gzip", GZIP)) as server, httpx.AsyncClient() as http:
        request = http.build_request("GET", server.url)
        stream = Stream(http.send(request, stream=True), format="bytes")
        async with connect(stream, headers={"accept-encoding": "gzip"}) as client:
            assert "content-encoding" not in client.headers
            assert await raw(client) == PLAIN


async def test_several_codings_are_undone() -> None:
    respond = coded("deflate, gzip", gzip.compress(zlib.compress(PLAIN)))
    assert await passed(respond, "gzip, deflate") == (PLAIN, None)


async def test_what_comes_plain_is_passed_on_plain() -> None:
    assert await passed(coded("identity", PLAIN), "gzip") == (PLAIN, None)
    assert await passed(coded("none", PLAIN), "gzip, none") == (PLAIN, None)


async def test_what_was_read_before_is_decoded_already() -> None:
    async with upstream(coded("gzip", GZIP)) as server, httpx.AsyncClient() as http:
        response = await http.get(server.url)
        stream = Stream(response, format="bytes", compress="upstream")
        async with connect(stream, headers={"accept-encoding": "gzip"}) as client:
            assert "content-encoding" not in client.headers
            assert await raw(client) == PLAIN


async def test_it_is_decoded_where_the_headers_are_out_or_something_was_sent() -> None:
    async with upstream(coded("gzip", GZIP)) as server, httpx.AsyncClient() as http:

        async def produce(stream: Stream) -> httpx.Response:
            stream.send_nowait(b"first: ")
            return await http.send(http.build_request("GET", server.url), stream=True)

        for hold in (True, False):
            stream = Stream(produce, format="bytes", compress="upstream", hold_headers=hold)
            async with connect(stream, headers={"accept-encoding": "gzip"}) as client:
                assert "content-encoding" not in client.headers
                assert await raw(client) == b"first: " + PLAIN


async def test_nothing_else_gets_in_between() -> None:
    more = trio.Event()

    async def respond(stream: trio.SocketStream) -> None:
        await stream.send_all(head("text/plain", "content-encoding: gzip") + chunk(GZIP[:20]))
        await more.wait()
        await stream.send_all(chunk(GZIP[20:]) + b"0\r\n\r\n")

    async with upstream(respond) as server, httpx.AsyncClient() as http:
        request = http.build_request("GET", server.url)
        stream = Stream(http.send(request, stream=True), format="bytes", compress="upstream")
        async with connect(stream, headers={"accept-encoding": "gzip"}) as client:
            assert client.headers["content-encoding"] == "gzip"
            with pytest.raises(TypeError, match="leave out compress='upstream'"):
                stream.send_nowait(b"mine")
            with pytest.raises(TypeError, match="leave out compress='upstream'"):
                await stream.send_many([b"mine"])
            with pytest.raises(TypeError, match="bytes in gzip"):
                stream.send_nowait(EncodedEvent(b"mine", format="bytes"))
            with pytest.raises(TypeError, match="bytes in gzip"):
                Stream.send_to_all_nowait([stream], EncodedEvent(b"mine", format="bytes"))
            more.set()
            assert await raw(client) == GZIP


async def test_a_head_an_error_and_no_content_are_in_no_coding() -> None:
    accept = {"accept-encoding": "gzip"}

    async def answered(status: str, method: str = "GET") -> Client:
        async def respond(stream: trio.SocketStream) -> None:
            await stream.send_all(head("text/plain", "content-encoding: gzip", status=status))
            await stream.send_all(chunk(GZIP) + b"0\r\n\r\n")

        async with upstream(respond) as server, httpx.AsyncClient() as http:
            request = http.build_request("GET", server.url)
            stream = Stream(http.send(request, stream=True), format="bytes", compress="upstream")
            async with connect(stream, method=method, headers=accept) as client:
                assert "content-encoding" not in client.headers
                assert GZIP not in await raw(client)
                return client

    assert (await answered("200 OK", "HEAD")).headers["vary"] == "accept-encoding"
    assert (await answered("503 Service Unavailable")).status == 502
    assert (await answered("204 No Content")).status == 204


async def test_what_breaks_off_breaks_off() -> None:
    async with (
        upstream(coded("gzip", GZIP[:20], end=b"")) as server,
        httpx.AsyncClient() as http,
    ):
        request = http.build_request("GET", server.url)
        stream = Stream(http.send(request, stream=True), format="bytes", compress="upstream")
        async with connect(
            stream, headers={"accept-encoding": "gzip"}, raise_app_exceptions=False
        ) as client:
            assert client.headers["content-encoding"] == "gzip"
            assert await raw(client) == GZIP[:20]
            assert client.ended == "broken"
    assert stream.outcome == "failed"


async def test_only_bytes_can_stay_in_their_coding() -> None:
    formats: list[Any] = ["sse", "ndjson", "text"]
    for format in formats:
        with pytest.raises(TypeError, match="needs format='bytes'"):
            Stream(format=format, compress="upstream")
    with pytest.raises(TypeError, match="leave it out of headers"):
        Stream(format="bytes", compress="upstream", headers={"content-encoding": "gzip"})
    with pytest.raises(ValueError, match="'auto', 'upstream' or a tuple"):
        Stream(format="bytes", compress="gzip")  # type: ignore[arg-type]
