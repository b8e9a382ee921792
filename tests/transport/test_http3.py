"""HTTP/3 by hand, on Hypercorn with `--quic-bind`: what HTTP/2 has there without direct writes.

Each server is asked for several things, because none of them may spoil another.
"""

import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from functools import partial
from typing import Any

import pytest
from hypercorn.config import Config, Sockets

from tests.serving.test_serve import serving
from tests.support.certificates import Certificate
from tests.support.hypercorn_process import Server
from trio_stream import Stream
from trio_stream.transport.asgi import Receive, Scope, Send
from trio_stream.transport.hypercorn.http3_connection import Http3Connection, find_http3

from .h3_client import connect_h3, speak_h3
from .support import Notes, events_of, nothing_left, state

App = Callable[[Scope, Receive, Send], Awaitable[None]]

MIB = 2**20

# RFC 9114, 8.1.
NO_ERROR, INTERNAL_ERROR, REQUEST_CANCELLED = 0x100, 0x102, 0x10C

WARNING = "HTTP/3: a defect of Hypercorn's can end this worker"


def serve(
    notes: Notes, certificate: Certificate, app: str = "direct", **options: Any
) -> AbstractAsyncContextManager[Server]:
    options.setdefault("graceful_timeout", 1)
    # Hypercorn's first process does not close the socket that it has opened for its workers.
    options["env"] = {"PYTHONWARNINGS": "ignore:unclosed <socket.socket:ResourceWarning"}
    return notes.serve(app, certificate=certificate, quic_bind="127.0.0.1:0", **options)


every_app = pytest.mark.parametrize("app", ["direct", "under_middleware"])


@every_app
async def test_responses_end_in_order_or_are_reset(
    app: str, notes: Notes, certificate: Certificate
) -> None:
    async with (
        serve(notes, certificate, app, expect_errors=True) as server,
        connect_h3(server) as client,
    ):
        other = await client.request("/ticks")
        response = await client.until_ended(await client.request("/count"))
        assert (events_of(response.body), response.ended) == (["0", "1", "2"], True)
        post = await client.request("/count?every=0.05", method="POST", end=False)
        client.h3.send_data(post, bytes(10_000), end_stream=True)
        await client.flush()
        response = await client.until_ended(post)
        assert (events_of(response.body), response.ended) == (["0", "1", "2"], True)
        response = await client.until_ended(await client.request("/count", method="HEAD"))
        assert (response.body, response.ended) == (b"", True)
        response = await client.until_ended(await client.request("/refused"))
        assert (response.headers[b":status"], response.ended) == (b"502", True)

        response = await client.until_ended(await client.request("/fail"))
        assert events_of(response.body) == ["0", "1", "2"]
        assert (response.ended, response.reset) == (False, INTERNAL_ERROR)
        await client.until_more(other)
    log = server.process.log()
    assert log.count("ZeroDivisionError: the producer's own") == 1
    assert log.count(WARNING) == 1
    assert {note["transport"] for note in notes.all("finally")} == {"Http3Transport"}


async def test_a_request_that_is_not_over_when_its_response_is_gets_told_to_stop(
    notes: Notes, certificate: Certificate
) -> None:
    async with serve(notes, certificate) as server, connect_h3(server) as client:
        other = await client.request("/ticks")
        posts = [
            await client.request(path, method=method, end=False)
            for method, path in (("POST", "/count"), ("POST", "/refused"), ("HEAD", "/count"))
        ]
        for post in posts:
            assert (await client.until_ended(post)).ended
            await client.wait(lambda post=post: post in client.stopped)
            assert client.stopped[post] == NO_ERROR
        await client.until_more(other)


async def test_a_client_that_takes_nothing_holds_its_producer_back_and_is_cut_off(
    notes: Notes, certificate: Certificate
) -> None:
    async with serve(notes, certificate) as server:
        async with connect_h3(server) as warmed_up:
            await warmed_up.until_ended(await warmed_up.request("/count"))
        before = (await state(server))["rss"]
        async with connect_h3(server, window=100_000, generous=False) as client:
            beside = await client.request("/ticks")
            begun = time.monotonic()
            stuck = await client.request("/flood?stall_timeout=1&size=60000")
            response = await client.until_ended(stuck)
            assert response.reset == REQUEST_CANCELLED
            assert len(response.body) < 100_000
            assert time.monotonic() - begun > 1
            [note] = await notes.wait("returned", "/flood")
            assert note["outcome"] == "stalled"
            # The other stream of the same connection goes on.
            await client.until_more(beside)
        # One that does not even acknowledge what comes.
        async with connect_h3(server) as client:
            await client.until_more(await client.request("/flood?stall_timeout=1&size=60000"))
            client.vanished = True
            stalled = await notes.wait("returned", "/flood", count=2)
            assert stalled[-1]["outcome"] == "stalled"
        assert (await state(server))["rss"] - before < 4 * MIB


async def test_a_client_that_opens_its_window_in_time_gets_everything(
    notes: Notes, certificate: Certificate
) -> None:
    async with (
        serve(notes, certificate) as server,
        connect_h3(server, window=20_000, generous=False) as client,
    ):
        numbers = await client.request("/flood?to=40&size=5000&stall_timeout=20")
        response = client.responses[numbers]
        for so_far in (10_000, 30_000, 70_000, 150_000):
            await client.wait(lambda so_far=so_far: len(response.body) > so_far)
            await client.grant(numbers)
        await client.until_ended(numbers)
        assert response.ended
        assert [event.split()[0] for event in events_of(response.body)] == [
            str(number) for number in range(40)
        ]


@every_app
async def test_who_leaves_is_found_at_once(
    app: str, notes: Notes, certificate: Certificate
) -> None:
    async with (
        serve(notes, certificate, app) as server,
        connect_h3(server) as staying,
    ):
        other = await staying.request("/ticks")
        await staying.until_more(other)
        before = await state(server)
        for path in ("/quiet?ping=null", "/ticks?ping=null", "/flood?ping=null"):
            # By itself, and with its whole connection.
            leaving = await staying.request(path)
            await staying.until(leaving, b"retry")
            await staying.cancel(leaving)
            async with connect_h3(server) as client:
                await client.until(await client.request(path), b"retry")
        await notes.wait("returned", count=6)
        await staying.until_more(other)
        await nothing_left(server, before)
        ends = notes.all("returned")
    assert {note["outcome"] for note in ends} == {"disconnected"}


async def test_who_vanishes_is_found_by_a_ping(notes: Notes, certificate: Certificate) -> None:
    async with serve(notes, certificate) as server, connect_h3(server) as staying:
        stays = await staying.request("/quiet?ping=0.5&stall_timeout=5")
        async with connect_h3(server) as client:
            leaves = await client.request("/quiet?ping=0.2&stall_timeout=0.5")
            await client.until(leaves, b"retry")
            client.vanished = True
            [note] = await notes.wait("returned", "/quiet")
            assert note["outcome"] == "disconnected"
        # One that acknowledges pings for longer than it may say nothing is there.
        await staying.until(stays, b":\n" * 12)
        assert notes.all("returned", "/quiet") == [note]


async def test_what_is_lost_on_the_way_is_sent_again(
    notes: Notes, certificate: Certificate
) -> None:
    """Also when nothing else happens on the connection, and when it is lost again."""
    async with serve(notes, certificate) as server, connect_h3(server) as client:
        counting = await client.request("/count?to=2&every=1")
        await client.until(counting, b"data: 0")
        client.losing = 6
        response = await client.until_ended(counting)
        assert events_of(response.body) == ["0", "1"]
        assert response.ended
        assert client.losing == 0


async def test_a_crowd_that_fails_and_leaves_leaves_nothing(
    notes: Notes, certificate: Certificate
) -> None:
    async with (
        serve(notes, certificate, expect_errors=True) as server,
        connect_h3(server) as client,
    ):
        other = await client.request("/ticks")
        await client.until_more(other)
        before = await state(server)
        for _ in range(5):
            failing = await client.request("/fail?every=0.02")
            leaving = await client.request("/flood")
            async with connect_h3(server) as closing:
                await closing.until(await closing.request("/flood"), b"data: ")
            await client.until(leaving, b"data: ")
            await client.cancel(leaving)
            await client.until_ended(failing)
        await notes.wait("returned", count=15)
        await client.until_more(other)
        await nothing_left(server, before)
    assert server.process.log().count("Traceback") == 5  # the failures' own
    outcomes = [note["outcome"] for note in notes.all("returned")]
    assert (outcomes.count("failed"), outcomes.count("disconnected")) == (5, 11)


@every_app
async def test_a_shutdown_says_farewell(app: str, notes: Notes, certificate: Certificate) -> None:
    headers = [(b"accept", b"text/event-stream"), (b"cache-control", b"no-cache")]
    async with (
        serve(notes, certificate, app, graceful_timeout=2) as server,
        connect_h3(server) as client,
    ):
        source = await client.request("/quiet", *headers)
        fetched = await client.request("/quiet?goodbye=1", headers[0])
        await client.until(source, b"retry")
        await client.until(fetched, b"retry")
        server.process.send_signal(signal.SIGTERM)
        response = await client.until_ended(source)
        assert response.ended
        assert response.body.count(b"retry: ") == 2
        response = await client.until_ended(fetched)
        assert (response.ended, response.reset) == (False, INTERNAL_ERROR)
        assert events_of(response.body) == ['{"type":"error"}']
    assert {note["outcome"] for note in notes.all("returned")} == {"shutdown"}


async def test_where_the_connection_is_not_known_it_is_said_once(
    notes: Notes, certificate: Certificate
) -> None:
    async with serve(notes, certificate, "portable") as server, connect_h3(server) as client:
        for _ in range(2):
            assert (await client.until_ended(await client.request("/count"))).ended
    log = server.process.log()
    assert log.count("HTTP/3: the connection behind this server's send() is not known") == 1
    assert {note["transport"] for note in notes.all("finally")} == {"AsgiTransport"}


async def test_what_fails_in_hypercorn_ends_one_connection_alone(
    certificate: Certificate, caplog: pytest.LogCaptureFixture
) -> None:
    """And what is meant for a stream that has ended does no harm."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        protocol: Any = scope["extensions"]["trio_stream.connection"].protocol
        await Stream(["a"])(scope, receive, send)
        await protocol.streams[0].handle(object())
        if scope["path"] == "/broken":
            protocol.connection.handle_event = fail

    def fail(event: object) -> None:
        raise ZeroDivisionError("in Hypercorn")

    async with (
        serving_h3(app, certificate) as port,
        speak_h3(port, certificate) as other,
        speak_h3(port, certificate) as client,
    ):
        await client.until_ended(await client.request("/broken"))
        await client.request("/")
        await client.until_closed()
        assert client.code == INTERNAL_ERROR
        assert (await other.until_ended(await other.request("/"))).ended
    assert "an HTTP/3 connection was closed, as Hypercorn failed in it" in caplog.text


async def test_whatever_is_not_as_expected_means_portable(certificate: Certificate) -> None:
    found = {}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        http = scope["extensions"]["trio_stream.connection"].http
        own_send = http.app_send
        protocol = http.send.__self__
        manager, connection = protocol.send.func.__self__, protocol.send.args[0]
        stream = connection.quic._streams[http.stream_id]
        for owner, name, other in (
            (http, "send", protocol.handle),
            (http, "state", "begun"),
            (protocol, "send", partial(protocol.send.func, object())),
            (protocol, "streams", []),
            (protocol, "connection", object()),
            (manager, "send", manager.handle),
            (manager, "task_group", None),
            (connection, "task", object()),
            (connection, "quic", object()),
            (connection.quic, "_streams", {}),
            (connection.quic, "_remote_max_data", None),
            (stream, "max_stream_data_remote", None),
            (stream, "receiver", None),
            (stream.sender, "_buffer", b""),
            (stream.sender, "_buffer_start", None),
        ):
            before = getattr(owner, name)
            setattr(owner, name, other)
            found[type(owner).__name__, name] = find_http3(own_send)
            setattr(owner, name, before)
        found["all"] = find_http3(own_send)
        await Stream(["a"])(scope, receive, send)

    async with serving_h3(app, certificate) as port, speak_h3(port, certificate) as client:
        assert (await client.until_ended(await client.request("/"))).ended
    assert isinstance(found.pop("all"), Http3Connection)
    assert set(found.values()) == {None}


@asynccontextmanager
async def serving_h3(app: App, certificate: Certificate) -> AsyncIterator[int]:
    """`serve` in this process; the port for QUIC."""
    config = UdpConfig()
    config.quic_bind = ["127.0.0.1:0"]
    config.certfile, config.keyfile = str(certificate.certfile), str(certificate.keyfile)
    with closing(config):
        async with serving(app, config=config, bind="127.0.0.1:0", graceful_timeout=0.2):
            [(_, port)] = config._quic_addresses
            yield port


class UdpConfig(Config):
    """Hypercorn does not close the sockets that it binds for QUIC."""

    def create_sockets(self) -> Sockets:
        self.sockets = super().create_sockets()
        return self.sockets

    def close(self) -> None:
        for sock in self.sockets.quic_sockets:
            sock.close()
