"""A `Stream` out of the endpoints of real frameworks, each on a real Hypercorn with Trio."""

import json
import subprocess
import sys
import zlib
from typing import Any

import httpx
import pytest
import trio

from tests.support.hypercorn_process import Server, hypercorn
from tests.support.raw import read_until, send_request

APPS = {
    "starlette": "starlette_app:app",
    "starlette-direct": "starlette_app:direct",
    "starlette-middleware": "starlette_app:with_middleware",
    "starlette-base-middleware": "starlette_app:with_base_middleware",
    "fastapi": "fastapi_app:app",
    "fastapi-direct": "fastapi_app:direct",
    "litestar": "litestar_app:app",
    "litestar-direct": "litestar_app:direct",
    "litestar-compressing": "litestar_app:compressing",
    "quart-trio": "quart_app:app",
    "quart-trio-direct": "quart_app:direct",
}
# `StreamMiddleware` around the same app: writes past the framework, where that is transparent.
SAME_ORIGIN = {"starlette", "starlette-direct", "starlette-base-middleware", "litestar-compressing"}

every_app = pytest.mark.parametrize("name", APPS)
FINITE = "retry: 2000\nevent: number\ndata: one\n\nevent: number\ndata: two\n\n"


def serve(name: str, **options: Any) -> Any:
    env = {"BODY_SECONDS": "3600"}
    return hypercorn(f"tests.frameworks.apps.{APPS[name]}", env=env, **options)


async def ends(client: httpx.AsyncClient, count: int) -> list[str]:
    """How that many streams ended, once they have."""
    with trio.fail_after(30):
        while len(ended := (await client.get("/ended")).json()) < count:
            await trio.sleep(0.02)
    return [end["outcome"] for end in ended]


@every_app
async def test_a_stream_answers_whole_with_its_headers_and_keeps_the_connection(name: str) -> None:
    async with serve(name) as server, server.client() as client:
        headers = {"origin": "https://example.org", "accept-encoding": "identity"}
        response = await client.get("/finite", headers=headers)
        assert (response.status_code, response.text) == (200, FINITE)
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert response.headers["cache-control"] == "no-store, no-transform"
        assert "content-length" not in response.headers
        if name not in SAME_ORIGIN:
            assert response.headers["access-control-allow-origin"] == "https://example.org"
        connection = response.extensions["network_stream"].get_extra_info("client_addr")
        again = await client.get("/finite", headers=headers)
        assert again.text == FINITE
        assert again.extensions["network_stream"].get_extra_info("client_addr") == connection


@every_app
async def test_a_request_whose_body_the_endpoint_has_read_ends_at_once(name: str) -> None:
    async with serve(name) as server, server.client() as client:
        # For a body that has not ended an hour would be waited, see `serve`.
        response = await client.post("/echo", json={"text": "hello"})
        assert response.text == "retry: 3000\ndata: hello\n\n"


@every_app
async def test_the_client_leaves_and_its_producer_is_cancelled(name: str) -> None:
    async with serve(name) as server, server.client() as client:
        async with await server.connect() as stream:
            await send_request(stream, "/endless")
            assert b"\r\nx-own: stream\r\n" in await read_until(stream, b"data: 3\n")
        assert await ends(client, 1) == ["disconnected"]
        # The endpoint never reads this body: behind it the leaving must be noticed all the same.
        async with await server.connect() as stream:
            await send_request(stream, "/endless", method="POST", body=b"x" * 1000)
            await read_until(stream, b"data: 3\n")
        assert await ends(client, 2) == ["disconnected"] * 2


@every_app
async def test_failures_are_told_to_the_client_and_to_the_log(name: str) -> None:
    async with serve(name, expect_errors=True) as server, server.client() as client:
        response = await client.get("/upstream-down")
        assert (response.status_code, response.text) == (502, "502 Bad Gateway\n")
        if name == "starlette-base-middleware":  # which ends a broken response properly
            assert (await client.get("/failing")).text.endswith("data: one\n\n")
        else:
            with pytest.raises(httpx.RemoteProtocolError, match="incomplete chunked read"):
                await client.get("/failing")
        await server.process.stop()
        log = server.process.log()
        assert log.count("answered 502, because the stream's upstream failed") == 1
        assert "ZeroDivisionError: the producer's own" in log


@pytest.mark.parametrize("name", ["starlette", "fastapi", "quart-trio"])
async def test_head_answers_headers_and_runs_no_producer(name: str) -> None:
    async with serve(name) as server, server.client() as client:
        response = await client.head("/finite")
        if name == "fastapi":  # adds HEAD to no route
            assert response.status_code == 405
        else:
            assert (response.status_code, response.content) == (200, b"")
            assert response.headers["content-type"] == "text/event-stream; charset=utf-8"


async def read_some(stream: trio.abc.Stream) -> bytes:
    with trio.fail_after(60):
        piece = await stream.receive_some()
    assert piece, "the server hung up"
    return bytes(piece)


async def ask_for_gzip(server: Server, path: str, last: bytes) -> bool:
    """Be a client that takes gzip, and leaves when this has come; whether it was compressed."""
    async with await server.connect() as stream:
        await send_request(stream, path, "accept-encoding: gzip", version="1.0")
        head, _, body = (await read_until(stream, b"\r\n\r\n")).partition(b"\r\n\r\n")
        compressed = b"content-encoding: gzip" in head
        assert head.startswith(b"HTTP/1.1 200")
        while last not in (zlib.decompressobj(31).decompress(body) if compressed else body):
            body += await read_some(stream)
    return compressed


@pytest.mark.parametrize("name", ["starlette-middleware", "fastapi", "litestar-compressing"])
async def test_gzip_middleware_does_not_hold_events_back(name: str) -> None:
    async with serve(name) as server:
        # After it nothing comes that could push it out.
        assert await ask_for_gzip(server, "/lines", b'{"number":2}\n')
        # Litestar compresses event streams as well, where it is not told otherwise.
        path = "/uncompressed" if name == "litestar-compressing" else "/finite"
        assert not await ask_for_gzip(server, path, b"data: two\n\n")


async def test_starlette_takes_a_stream_from_a_class_and_runs_background_tasks() -> None:
    async with serve("starlette") as server, server.client() as client:
        async with await server.connect() as stream:
            await send_request(stream, "/class")
            assert b"x-own: stream" in await read_until(stream, b"data: 1\n")
        response = await client.get("/with-background")
        assert response.text == FINITE
        assert response.headers["x-added"] == "by the endpoint"
        assert response.cookies["seen"] == "yes"
        assert sorted(await ends(client, 2)) == ["completed", "disconnected"]


async def test_fastapi_keeps_dependencies_open_until_the_stream_has_ended() -> None:
    async with serve("fastapi") as server, server.client() as client:
        assert (await client.get("/dependency")).text.endswith("data: true\n\n")
        assert (await client.get("/finite")).cookies["seen"] == "yes"
        schema = (await client.get("/openapi.json")).json()
        assert "/finite" in schema["paths"]


async def test_litestar_has_a_schema_for_endpoints_that_return_a_stream() -> None:
    async with serve("litestar") as server, server.client() as client:
        schema = (await client.get("/schema/openapi.json")).json()
        assert "/finite" in schema["paths"]


async def test_quart_saves_the_session_and_has_no_timeout_for_a_stream() -> None:
    async with serve("quart-trio") as server, server.client() as client:
        assert "session=" in (await client.get("/finite?user=me")).headers["set-cookie"]
        async with await server.connect() as stream:
            await send_request(stream, "/endless")
            await read_until(stream, b"data: 40\n")  # 0.8 s; the app's RESPONSE_TIMEOUT is 0.3 s


async def test_quart_without_the_connection_class_says_what_to_write() -> None:
    app = "tests.frameworks.apps.quart_app:without_connection"
    async with hypercorn(app, expect_errors=True) as server, server.client() as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get("/finite")
        await server.process.stop()
        assert "set app.asgi_http_class =" in server.process.log()


def test_nothing_of_a_framework_is_imported_with_trio_stream() -> None:
    code = "import sys, json, trio_stream; print(json.dumps(sorted(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=60)
    modules = set(json.loads(out.stdout))
    assert not modules & {"starlette", "fastapi", "litestar", "quart", "quart_trio", "httpx2"}
