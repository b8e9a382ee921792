"""Direct writes: only where nothing between stream and server touches the bytes."""

import itertools
import zlib
from typing import Any

import pytest
import trio

from tests.support.certificates import Certificate
from tests.support.hypercorn_process import Server
from tests.support.raw import read_to_end, read_until, send_request
from trio_stream.transport.hypercorn.sockets import sender, write_nowait

from .h2_client import connect_h2
from .support import Notes, body_of, events_of, every_transport, read_what_is_left

DIRECT = {
    "bare", "middleware", "middleware-twice", "starlette", "fastapi", "passing", "adding-header",
    "sleeping-afterwards",
}  # fmt: skip
PORTABLE = {
    "wrapped", "starlette-alone", "fastapi-alone", "switched-off", "starlette-switched-off",
    "gzip", "base-http", "rewriting", "copying", "sleeping", "buffering", "another-task",
}  # fmt: skip


async def answer(server: Server, path: str, *headers: str, **options: Any) -> bytes:
    """A whole response, head and chunks as they came."""
    stream = await server.connect()
    await send_request(stream, path, "connection: close", *headers, **options)
    response = await read_to_end(stream)
    await stream.aclose()
    return response


async def test_direct_where_it_is_proved_to_be_right_and_the_same_bytes_everywhere(
    notes: Notes,
) -> None:
    found: dict[str, str] = {}
    async with notes.serve("app", module="middleware_apps") as server:
        for name in DIRECT | PORTABLE:
            # Not compressed as an event stream: Starlette knows better.
            headers = ["accept-encoding: gzip"] * (name == "gzip")
            path = f"/{name}/which" + "?format=ndjson" * (name == "gzip")
            response = await answer(server, path, *headers)
            body, complete = body_of(response)
            assert complete
            if name == "gzip":
                assert b"content-encoding: gzip" in response
                found[name] = zlib.decompress(body, 31).split(b'"')[-4].decode()
                continue
            first, found[name], last = events_of(body)[-3:]
            assert (first, last) == ("first", "last")
            expected = b": rewritten\n" * (name == "rewriting") + b"retry: 3000\n"
            assert body.startswith(expected + b"data: first\n\n"), name
            assert (b"x-added: yes" in response) == (name == "adding-header")
    assert {name for name, transport in found.items() if transport == "direct"} == DIRECT
    assert {name for name, transport in found.items() if transport == "portable"} == PORTABLE


@pytest.mark.parametrize("app", ["direct", "directly_under_middleware"])
@pytest.mark.parametrize("tls", [False, True], ids=["clear", "tls"])
async def test_the_head_comes_with_the_first_line(
    app: str, tls: bool, notes: Notes, certificate: Certificate
) -> None:
    """In one write, which a client that reads finds whole."""
    options = {"certificate": certificate} if tls else {}
    async with notes.serve(app, **options) as server:
        connection = await server.connect()
        await send_request(connection, "/quiet")
        first = bytes(await connection.receive_some())
        assert first.startswith(b"HTTP/1.1 200")
        assert b"retry: " in first
        await connection.aclose()


@every_transport
async def test_the_head_comes_at_once_though_there_is_no_first_line(
    transport: str, notes: Notes
) -> None:
    async with notes.serve(transport) as server:
        for path in ("/quiet?retry=false", "/quiet?format=ndjson"):
            stream = await server.connect()
            await send_request(stream, path)
            head = await read_until(stream, b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200")
            assert head.endswith(b"\r\n\r\n")
            await stream.aclose()


async def test_a_body_of_a_declared_length_stays_portable(notes: Notes) -> None:
    async with notes.serve("app", module="middleware_apps") as server:
        _, _, body = (await answer(server, "/adding-length/which")).partition(b"\r\n\r\n")
        assert body.decode() == "retry: 3000\n" + "".join(
            f"data: {word}\n\n" for word in [*["first"] * 5, "portable", "last"]
        )


async def test_a_middleware_that_waits_for_the_fourth_message_is_not_written_past(
    notes: Notes,
) -> None:
    async with notes.serve("app", module="middleware_apps") as server:
        body, complete = body_of(await answer(server, "/rewriting-later/which"))
        assert complete
        assert body.count(b": rewritten\n") == 1
        assert events_of(body)[-2:] == ["portable", "last"]


async def test_a_compressed_event_stream_stays_portable(notes: Notes) -> None:
    async with notes.serve("app", module="middleware_apps") as server:
        body, complete = body_of(await answer(server, "/compressing/which"))
        assert complete
        plain = b""
        while body:
            decompressor = zlib.decompressobj(31)
            plain += decompressor.decompress(body)
            body = decompressor.unused_data
        assert events_of(plain)[-3:] == ["first", "portable", "last"]
        # What Starlette's does to an event stream is nothing: that may be written past.
        response = await answer(server, "/gzip/which", "accept-encoding: gzip")
        assert events_of(body_of(response)[0])[-3:] == ["first", "direct", "last"]
        response = await answer(server, "/starlette/plain")
        assert response.endswith(b"\r\n\r\nnot a stream")


@pytest.mark.parametrize("app", ["direct", "under_middleware"])
async def test_over_tls_and_http2(app: str, notes: Notes, certificate: Certificate) -> None:
    for secure in (certificate, None):
        async with notes.serve(app, certificate=secure) as server:
            body, complete = body_of(await answer(server, "/which"))
            assert complete
            assert events_of(body)[-3:] == ["first", "direct", "last"]
            async with connect_h2(server) as client:
                response = await client.until_ended(await client.request("/which"))
            assert response.ended
            assert events_of(response.body)[-3:] == ["first", "direct", "last"]


async def test_not_over_http_1_0(notes: Notes) -> None:
    async with notes.serve("direct") as server:
        response = await answer(server, "/which", version="1.0")
        assert events_of(response)[-3:] == ["first", "portable", "last"]


async def test_over_a_unix_socket(notes: Notes) -> None:
    async with notes.serve("direct", unix=True) as server:
        body, _ = body_of(await answer(server, "/which"))
        assert events_of(body)[-3:] == ["first", "direct", "last"]


async def test_a_response_without_a_body_gets_none(notes: Notes) -> None:
    """Though the stream knows nothing of it: a middleware made a GET of the HEAD, or a 204."""
    async with notes.serve("app", module="middleware_apps") as server:
        for name, method in (("head-as-get", "HEAD"), ("no-content", "GET")):
            for wrapper in ("", "-bare"):
                response = await answer(server, f"/{name}{wrapper}/which", method=method)
                assert response.endswith(b"\r\n\r\n"), name
                assert response.count(b"\r\n\r\n") == 1, name


@pytest.mark.parametrize(
    ("deviation", "http1", "http2"),
    [
        # As the pinned Hypercorn is: when this fails, direct writes are lost everywhere.
        ("nothing", "Http1Transport", "DirectHttp2Transport"),
        ("another type in h2", "Http1Transport", "Http2Transport"),
        ("subclassed server", "AsgiTransport", "AsgiTransport"),
        ("moved module", "AsgiTransport", "AsgiTransport"),
        ("moved class", "AsgiTransport", "AsgiTransport"),
        ("missing attribute", "AsgiTransport", "AsgiTransport"),
        ("another type", "AsgiTransport", "AsgiTransport"),
        ("another type over HTTP/2", "Http1Transport", "AsgiTransport"),
        ("wrapped method", "AsgiTransport", "AsgiTransport"),
    ],
)
async def test_whatever_is_not_as_expected_means_portable(
    deviation: str, http1: str, http2: str, notes: Notes
) -> None:
    env = {"DEVIATION": deviation}
    async with notes.serve("app", module="deviating_apps", env=env) as server:
        body, complete = body_of(await answer(server, "/which"))
        assert complete
        expected = "direct" if http1 == "Http1Transport" else "portable"
        assert events_of(body)[-3:] == ["first", expected, "last"]
        async with connect_h2(server) as client:
            response = await client.until_ended(await client.request("/count"))
            assert events_of(response.body) == ["0", "1", "2"]
    assert [note["transport"] for note in notes.all("finally")] == [http1, http2]


async def test_a_descriptor_that_is_another_connection_s_by_now_gets_no_byte(notes: Notes) -> None:
    async with notes.serve("app", module="deviating_apps", env={"DEVIATION": "nothing"}) as server:
        stream = await server.connect()
        await send_request(stream, "/reuse")
        await read_to_end(stream)
        await stream.aclose()
        [note] = await notes.wait("reused")
        assert note["errors"] == ["broken", "broken"]
        assert note["foreign"] == ""
        [note] = await notes.wait("returned")
        assert note["outcome"] == "disconnected"


async def test_a_ping_that_meets_the_clients_end_ends_that_stream_alone(notes: Notes) -> None:
    """A client may leave between the look whether it has and the ping."""
    async with notes.serve(
        "app", module="deviating_apps", env={"DEVIATION": "nobody looks"}
    ) as server:
        other = await server.connect()
        await send_request(other, "/ticks")
        stream = await server.connect()
        await send_request(stream, "/quiet?ping=0.2")
        await read_until(stream, b"retry: ")
        await stream.aclose()
        [note] = await notes.wait("returned")
        assert (note["path"], note["outcome"]) == ("/quiet", "disconnected")
        await read_until(other, b"data: ")
        await other.aclose()


async def test_cancelled_in_the_middle_of_a_write_it_drops_the_connection(notes: Notes) -> None:
    """At once, whatever its app does: a client must not take that for the rest of the chunk."""
    async with notes.serve("app", module="deviating_apps", env={"DEVIATION": "nothing"}) as server:
        stream = await server.connect()
        await send_request(stream, "/cancelled")
        await notes.wait("cancelled")
        received = await read_what_is_left(stream)
        assert notes.all("returned") == []
        _, complete = body_of(received)  # what came was in order
        assert not complete
        async with server.client() as client:
            await client.get("/release")
        await notes.wait("returned")


SAME = [
    "/count?retry=50&event=name",
    "/mixture?events=300",
    "/mixture?events=300&format=text",
    "/count?format=ndjson",
    "/flood?to=300&size=3000",
    "/quiet?max_duration=0.1&farewell=proper",
]


async def test_bodies_are_the_same_by_every_way(notes: Notes, certificate: Certificate) -> None:
    bodies: dict[str, set[bytes]] = {path: set() for path in SAME}
    for transport, secure in itertools.product(("direct", "portable"), (None, certificate)):
        async with (
            notes.serve(transport, certificate=secure) as server,
            connect_h2(server) as client,
        ):
            for path, found in bodies.items():
                body, complete = body_of(await answer(server, path))
                assert complete
                found.add(body)
                _, _, body = (await answer(server, path, version="1.0")).partition(b"\r\n\r\n")
                found.add(body)
                response = await client.until_ended(await client.request(path))
                assert response.ended
                found.add(response.body)
    assert [path for path, found in bodies.items() if len(found) > 1] == []
    assert all(min(map(len, found)) > 5 for found in bodies.values())
    used = {note["transport"] for note in notes.all("finally")}
    assert used == {"Http1Transport", "TlsTransport", "DirectHttp2Transport", "AsgiTransport"}


@pytest.mark.parametrize("secure", [False, True])
@every_transport
async def test_what_is_sent_on_every_path_comes_out_in_order(
    transport: str, secure: bool, notes: Notes, certificate: Certificate
) -> None:
    """By `send` and `send_nowait`, small and large, to a client that reads now and then."""
    async with notes.serve(transport, certificate=certificate if secure else None) as server:
        stream = await server.connect()
        await send_request(stream, "/mixture?events=3000", "connection: close")
        response = b""
        with trio.fail_after(60):
            while piece := await stream.receive_some(2**16):
                response += piece
                await trio.sleep(0.002 if len(response) % 7 else 0.02)
        body, complete = body_of(response)
        assert complete
        events = [event.split() for event in events_of(body)]
        assert [int(number) for number, *_ in events] == list(range(3000))
        assert all(int(size) == len("".join(rest)) for _, size, *rest in events)
        await stream.aclose()


async def test_what_twenty_streams_of_one_connection_send_comes_out_in_order(
    notes: Notes, certificate: Certificate
) -> None:
    """Past windows that open a little at a time, and a socket that is read now and then."""
    async with (
        notes.serve("direct", certificate=certificate) as server,
        connect_h2(server, generous=False, window=1000) as client,
    ):
        numbers = [await client.request("/mixture?events=200") for _ in range(20)]
        with trio.fail_after(30):
            while not all(client.responses[number].ended for number in numbers):
                for number in numbers:
                    if not client.responses[number].ended:
                        await client.grant(7000, number)
                await client.grant(7000 * len(numbers))
                await trio.sleep(0.005)
        for number in numbers:
            events = [event.split() for event in events_of(client.responses[number].body)]
            assert [int(count) for count, *_ in events] == list(range(200))
            assert all(int(size) == len("".join(rest)) for _, size, *rest in events)
        used = {note["transport"] for note in notes.all("finally")}
        assert used == {"DirectHttp2Transport"}


async def test_over_tls_whatever_else_goes_over_the_connection_stays_whole(
    notes: Notes, certificate: Certificate
) -> None:
    """Requests one behind the other, while the response to each is written past Hypercorn."""
    async with notes.serve("direct", certificate=certificate) as server:
        stream = await server.connect()
        for _ in range(3):
            await send_request(stream, "/mixture?events=300")
        await send_request(stream, "/mixture?events=300", "connection: close")
        rest = await read_to_end(stream, within=30)
        await stream.aclose()
        bodies = rest.split(b"HTTP/1.1 200")
        assert bodies.pop(0) == b""
        for response in bodies:
            body, complete = body_of(b"HTTP/1.1 200" + response)
            assert complete
            numbers = [int(event.split()[0]) for event in events_of(body)]
            assert numbers == list(range(300))
        assert len(bodies) == 4


class Wrapped:
    """A Trio socket that keeps the standard library's where nobody looks."""

    def __init__(self, sock: trio.socket.SocketType) -> None:
        self.fileno = sock.fileno


@pytest.mark.parametrize("wrap", [lambda sock: sock, Wrapped])
async def test_a_socket_takes_what_it_has_room_for_and_nothing_once_it_is_closed(wrap: Any) -> None:
    ours, theirs = trio.socket.socketpair()
    with theirs:
        send = sender(wrap(ours))
        assert write_nowait(send, b"a few bytes") == 11
        assert await theirs.recv(100) == b"a few bytes"
        assert 0 < write_nowait(send, bytes(2**22)) < 2**22
        assert write_nowait(send, b"no room") == 0
        ours.close()
        with pytest.raises(trio.BrokenResourceError):
            write_nowait(send, b"x")
