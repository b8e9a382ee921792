"""`connect`: reading a response while its application runs."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio
import trio.testing

from tests.support.tasks import NothingLeft
from trio_stream import ServerSentEvent, Stream, encode
from trio_stream.testing import connect
from trio_stream.transport.asgi import Receive, Scope, Send


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 201, "headers": [(b"X-Who", b"hello")]})
    await send({"type": "http.response.body", "body": b"data: hello\n\n", "more_body": True})
    await send({"type": "http.response.body", "body": b"data: world\n\n"})


async def test_status_and_headers_are_there_on_entering() -> None:
    async with connect(hello) as client:
        assert client.status == 201
        assert client.headers["x-who"] == "hello"


async def test_events_are_decoded_one_by_one() -> None:
    async with connect(hello) as client:
        assert [event.data async for event in client.events()] == ["hello", "world"]


async def test_chunks_are_what_the_app_sent() -> None:
    async with connect(hello) as client:
        assert [chunk async for chunk in client.chunks()] == [
            b"data: hello\n\n",
            b"data: world\n\n",
        ]


async def test_read_gives_the_rest() -> None:
    async with connect(hello) as client:
        assert await client.receive_chunk() == b"data: hello\n\n"
        assert await client.read() == b"data: world\n\n"
        assert await client.read() == b""


async def test_receive_event_after_the_end_says_so() -> None:
    async with connect(hello) as client:
        await client.receive_event()
        await client.receive_event()
        with pytest.raises(trio.EndOfChannel):
            await client.receive_event()


async def test_reading_happens_while_the_app_runs(autojump_clock: trio.testing.MockClock) -> None:
    async def clock() -> AsyncIterator[float]:
        while True:
            yield trio.current_time()
            await trio.sleep(3600)

    async with connect(Stream(clock(), ping=None)) as client:
        times = [(await client.receive_event()).json() for _ in range(3)]
        assert trio.current_time() < 2 * 3600 + 1
    assert [round(time - times[0]) for time in times] == [0, 3600, 7200]


async def test_comments_retry_and_id_are_seen(autojump_clock: trio.testing.MockClock) -> None:
    async def produce(stream: Stream) -> None:
        await trio.sleep(17)
        await stream.send("late", id=7)

    async with connect(Stream(produce, retry=1234)) as client:
        event = await client.receive_event()
        assert event == ServerSentEvent("late", event="message", id="7", retry=1234)
        assert client.comments == ["", ""]
        assert client.retry == 1234
        assert client.last_event_id == "7"


async def test_the_request_is_what_was_asked_for() -> None:
    seen: dict[str, Any] = {}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.update(scope)
        await hello(scope, receive, send)

    async with connect(
        app,
        "/caf%C3%A9/x?a=1",
        method="post",
        query={"b": "2 3"},
        headers=[("X-One", "1"), ("x-one", "2")],
        last_event_id="é7",
        http_version="2",
        scope={"state": {"db": 1}, "client": None},
    ):
        pass
    assert (seen["type"], seen["method"], seen["http_version"]) == ("http", "POST", "2")
    assert (seen["path"], seen["raw_path"]) == ("/café/x", b"/caf%C3%A9/x")
    assert seen["query_string"] == b"a=1&b=2+3"
    assert seen["headers"] == [
        (b"host", b"testserver"),
        (b"x-one", b"1"),
        (b"x-one", b"2"),
        (b"last-event-id", "é7".encode()),
    ]
    assert seen["state"] == {"db": 1}
    assert seen["client"] is None


async def test_a_host_of_ones_own_replaces_ours() -> None:
    async with connect(hello, headers={"Host": "example.org"}) as client:
        assert client.scope["headers"] == [(b"host", b"example.org")]


@pytest.mark.parametrize(("path", "query"), [("/ü", ""), ("/", "name=ü")])
async def test_a_path_that_is_not_quoted_is_refused_by_its_name(path: str, query: str) -> None:
    name = "query" if query else "path"
    with pytest.raises(ValueError, match=rf"^{name} is quoted, .*urllib\.parse\.quote"):
        async with connect(Stream([1]), path, query=query):
            pass


@pytest.mark.parametrize("body", [b"one two", [b"one", b" ", b"two"]])
async def test_the_body_arrives(body: bytes | list[bytes]) -> None:
    async def echo(scope: Scope, receive: Receive, send: Send) -> None:
        received = b""
        while (message := await receive())["more_body"]:
            received += message["body"]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": received})

    async with connect(echo, method="POST", body=body) as client:
        assert await client.read() == b"one two"


async def test_a_body_may_take_its_time(autojump_clock: trio.testing.MockClock) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"one"
        await trio.sleep(10)
        yield b"two"

    received = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while (message := await receive())["more_body"]:
            received.append((message["body"], round(trio.current_time() - began)))
        await hello(scope, receive, send)

    began = trio.current_time()
    async with connect(app, method="POST", body=chunks()):
        pass
    assert received == [(b"one", 0), (b"two", 10)]


async def test_leaving_the_block_ends_the_app(no_task_left: NothingLeft) -> None:
    stream = Stream(lambda stream: trio.sleep_forever(), hold_headers=False)
    async with connect(stream) as client:
        assert client.status == 200
    assert stream.outcome == "disconnected"
    assert client.ended is None
    await no_task_left()


async def test_an_event_may_be_cut_anywhere() -> None:
    wire = encode("a\nb", event="é", id=1).data
    async with connect(Stream([bytes([byte]) for byte in wire], format="bytes")) as client:
        event = await client.receive_event()
    assert event == ServerSentEvent("a\nb", event="é", id="1")
