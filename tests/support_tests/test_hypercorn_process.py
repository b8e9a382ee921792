import signal
import socket

import httpx
import pytest
import trio

from tests.support.certificates import Certificate
from tests.support.hypercorn_process import hypercorn

APP = "tests.support_tests.apps:hello"


@pytest.mark.parametrize("server", ["hypercorn", "anycorn"])
async def test_serves_on_a_port_of_its_own(server: str) -> None:
    async with hypercorn(APP, server=server) as running, running.client() as client:
        response = await client.get("/")
        assert response.text == f"hello from {running.worker_pids[0]} over 1.1"
        assert running.worker_pids[0] != running.process.pid
    with pytest.raises(OSError, match="all attempts to connect"):
        await trio.open_tcp_stream("127.0.0.1", running.port)


async def test_workers_are_all_up_and_all_ended() -> None:
    async with hypercorn(APP, workers=2) as running, running.client() as client:
        assert len(set(running.worker_pids)) == 2
        assert int((await client.get("/")).text.split()[2]) in running.worker_pids
    assert running.process.returncode == 0


async def test_without_workers_it_serves_in_the_one_process() -> None:
    async with hypercorn(APP, workers=0) as running:
        assert running.worker_pids == [running.process.pid]
        # `hypercorn -w 0` has no handler for SIGTERM; only Ctrl-C's signal ends it in order.
        await running.process.stop(signal.SIGINT)


async def test_https_by_a_certificate_that_only_its_clients_trust(certificate: Certificate) -> None:
    async with hypercorn(APP, certificate=certificate) as running:
        async with running.client() as client:
            assert (await client.get("/")).text.endswith("over 1.1")
        async with httpx.AsyncClient() as stranger:
            with pytest.raises(httpx.ConnectError):
                await stranger.get(running.url)
        stream = await running.connect("h2")
        assert isinstance(stream, trio.SSLStream)
        assert stream.selected_alpn_protocol() == "h2"
        await stream.aclose()


async def test_a_unix_socket() -> None:
    async with hypercorn(APP, unix=True) as running:
        async with running.client() as client:
            assert (await client.get("/")).text.startswith("hello")
        stream = await running.connect()
        assert isinstance(stream, trio.SocketStream)
        assert stream.socket.family == socket.AF_UNIX
        await stream.aclose()


async def test_settings_reach_the_server() -> None:
    for included in (True, False):
        settings = {"include_server_header": included, "graceful_timeout": 1}
        async with hypercorn(APP, **settings) as running, running.client() as client:
            assert ("server" in (await client.get("/")).headers) == included


async def test_a_server_that_cannot_start_shows_its_log() -> None:
    with pytest.raises(AssertionError, match=r"No module named 'tests\.missing'"):
        async with hypercorn("tests.missing:app"):
            pytest.fail("it started")


async def test_an_error_in_the_log_fails_the_test_unless_it_is_expected() -> None:
    async with hypercorn(APP, expect_errors=True) as running, running.client() as client:
        assert (await client.get("/fail")).status_code == 500
    assert "failing as asked" in running.process.log()
