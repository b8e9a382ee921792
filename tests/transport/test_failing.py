"""A producer that fails: what it had sent comes through, and the client sees the break."""

import pytest
import trio

from tests.support.certificates import Certificate
from tests.support.raw import send_request

from .h2_client import connect_h2
from .support import Notes, body_of, events_of, every_transport

FAILURE = "ZeroDivisionError: the producer's own"


async def receive(
    stream: trio.abc.Stream, path: str, version: str, *headers: str
) -> tuple[bytes, bool]:
    """A whole response, and whether its connection was reset."""
    await send_request(stream, path, *headers, version=version)
    received = b""
    with trio.fail_after(60):
        try:
            while piece := await stream.receive_some():
                received += piece
                await trio.sleep(0.01)  # a reset must not throw away what has not been read yet
        except trio.BrokenResourceError:
            return received, True
        finally:
            await trio.aclose_forcefully(stream)
    return received, False


@every_transport
@pytest.mark.parametrize("secure", [False, True])
async def test_by_version_of_http(
    transport: str, secure: bool, notes: Notes, certificate: Certificate
) -> None:
    options = {"certificate": certificate} if secure else {}
    async with notes.serve(transport, expect_errors=True, **options) as server:
        # 1.1: closed without the final chunk.
        response, _ = await receive(await server.connect(), "/fail?after=3", "1.1")
        body, complete = body_of(response)
        assert (events_of(body), complete) == (["0", "1", "2"], False)
        # 1.0: the end of the connection is the end of the body, so that only a reset tells.
        response, reset = await receive(await server.connect(), "/fail?after=100&every=0", "1.0")
        assert events_of(response) == [str(number) for number in range(100)]
        assert reset == (transport == "direct")
        await server.process.wait_for_log(FAILURE, count=2)
        assert {note["outcome"] for note in notes.all("returned")} == {"failed"}


async def test_portable_over_http2_can_only_end_in_order_and_logs_it(notes: Notes) -> None:
    async with notes.serve("portable", expect_errors=True) as server, connect_h2(server) as client:
        response = await client.until_ended(await client.request("/fail"))
        assert events_of(response.body) == ["0", "1", "2"]
        assert (response.ended, response.reset) == (True, None)
        await server.process.wait_for_log(FAILURE)
        assert "HTTP/2: a stream that broke off looks as if it were" in server.process.log()


async def test_portable_over_http1_0_looks_complete_and_what_to_set_is_said_once(
    notes: Notes,
) -> None:
    async with notes.serve("portable", expect_errors=True, graceful_timeout=1) as server:
        for path in ("/fail", "/fail", "/ticks?max_duration=0.1"):
            response, reset = await receive(await server.connect(), path, "1.0")
            assert (events_of(response)[:1] != [], reset) == (True, False)
        log = server.process.log()
        assert log.count("HTTP/1.0: a stream that broke off looks as if it were complete") == 1
        assert "proxy_http_version 1.1" in log


async def test_a_farewell_over_http1_0_can_be_told_where_the_connection_is_known(
    notes: Notes,
) -> None:
    async with notes.serve("direct", graceful_timeout=30) as server:
        for query, broken in (("", True), ("&farewell=proper", False)):
            path = f"/ticks?max_duration=0.1{query}"
            _, reset = await receive(await server.connect(), path, "1.0", "accept: */*")
            assert reset == broken
        assert "as if it were complete" not in server.process.log()


@every_transport
async def test_before_the_first_byte_it_is_an_answer(transport: str, notes: Notes) -> None:
    async with notes.serve(transport) as server, server.client() as client:
        refused = await client.get("/refused")
        assert (refused.status_code, refused.text) == (502, "502 Bad Gateway\n")
        assert "ConnectError" in server.process.log()
        # The connection is kept.
        again = await client.get("/count")
        assert again.text.endswith("data: 2\n\n")
        ports = [
            r.extensions["network_stream"].get_extra_info("client_addr")[1]
            for r in (refused, again)
        ]
        assert ports[0] == ports[1]
