"""Plain ASGI, over every version of HTTP: on Hypercorn, and on anycorn, a fork of it on anyio."""

from pathlib import Path
from typing import Any

import pytest
import trio

from tests.support.certificates import Certificate
from tests.support.hypercorn_process import Server, hypercorn
from tests.support.need import need
from tests.support.processes import Process
from tests.support.raw import read_to_end, read_until, send_request

every_server = pytest.mark.parametrize("server", ["hypercorn", "anycorn"])


def body(version: str) -> str:
    return f"retry: 1500\nevent: word\ndata: hello\n\nevent: word\ndata: over {version}\n\n"


def serve(server: str, **options: Any) -> Any:
    return hypercorn("tests.frameworks.apps.asgi_app:app", server=server, **options)


async def curl(server: Server, *arguments: str) -> str:
    [program] = need("curl")
    command = [program, "--silent", "--show-error", "--no-buffer", "--max-time", "10", *arguments]
    if server.certificate:
        command += ["--cacert", str(server.certificate.authority)]
    result = await trio.run_process(command, capture_stdout=True)
    return result.stdout.decode()


@every_server
async def test_http1_and_a_connection_that_is_kept_for_the_next_request(server: str) -> None:
    async with serve(server) as running, await running.connect() as stream:
        for _ in range(3):
            await send_request(stream, "/")
            received = await read_until(stream, b"\r\n0\r\n\r\n")
            assert received.startswith(b"HTTP/1.1 200 ")
            assert b"\r\nx-app: plain\r\n" in received
            assert received.count(b"data: hello\n") == 1
            assert b"data: over 1.1\n\n" in received
        assert running.process.log().count("/ ended: None") == 3  # it ended of itself


@every_server
async def test_http10_ends_with_its_connection_and_has_no_chunks(server: str) -> None:
    async with serve(server) as running, await running.connect() as stream:
        await send_request(stream, "/", version="1.0")
        head, _, rest = (await read_to_end(stream)).partition(b"\r\n\r\n")
        assert b"transfer-encoding" not in head.lower()
        # `over 1.0` is what the client asked in; h11 answers in HTTP/1.1.
        assert rest.decode() == body("1.0")


@every_server
async def test_http2_over_tls(server: str, certificate: Certificate) -> None:
    async with serve(server, certificate=certificate) as running:
        async with running.client(http2=True) as client:
            for _ in range(2):
                response = await client.get("/")
                assert (response.http_version, response.text) == ("HTTP/2", body("2"))
                assert response.headers["x-app"] == "plain"
        async with running.client() as client:  # which offers no h2 by ALPN
            assert (await client.get("/")).text == body("1.1")
        assert await curl(running, "--http2", running.url) == body("2")


@every_server
async def test_a_client_that_leaves_over_http2_and_over_tls(
    server: str, certificate: Certificate, tmp_path: Path
) -> None:
    async with serve(server, certificate=certificate) as running:
        for version in ["--http2", "--http1.1"]:
            [program] = need("curl")
            command = [program, "-sN", version, "--cacert", str(certificate.authority)]
            client = await Process.start([*command, f"{running.url}/endless"], tmp_path / version)
            await client.wait_for_log("data: 3\n")
            await client.kill()
        await running.process.wait_for_log("/endless ended: disconnected", count=2)


@every_server
async def test_head(server: str, certificate: Certificate) -> None:
    async with serve(server, certificate=certificate) as running:
        for http2 in [False, True]:
            async with running.client(http2=http2) as client:
                response = await client.head("/endless")
                assert (response.status_code, response.content) == (200, b"")
                assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        await running.process.stop()
        assert "ended" not in running.process.log()  # no producer ever ran


@every_server
async def test_silence_is_broken_by_pings(server: str) -> None:
    async with serve(server) as running, await running.connect() as stream:
        await send_request(stream, "/silent")
        received = await read_until(stream, b":\n\r\n2\r\n:\n")
        assert received.count(b"data: ") == 2


@every_server
async def test_the_lifespan_frames_all_requests_and_the_server_ends_soon(server: str) -> None:
    async with serve(server, graceful_timeout=1) as running, await running.connect() as stream:
        await send_request(stream, "/endless")
        await read_until(stream, b"data: 3\n")
        start = trio.current_time()
        await running.process.stop()
        assert trio.current_time() - start < 15
        log = running.process.log()
        assert log.index("the lifespan has begun") < log.index("/endless ended: shutdown")
        if server == "hypercorn":  # anycorn ends before its lifespan does
            assert log.index("/endless ended") < log.index("the lifespan is over")


async def test_bodies_are_the_same_whether_written_directly_or_portably() -> None:
    async with serve("hypercorn") as direct, serve("anycorn") as portable:
        bodies = [await curl(server, server.url) for server in (direct, portable)]
        assert bodies == [body("1.1")] * 2
