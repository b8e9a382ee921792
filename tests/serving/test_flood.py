"""A source as fast as it goes, over both transports: all of it, in order, whatever the values."""

from collections.abc import AsyncIterator

import httpx
import pytest
import trio
import trio.testing

from tests.serving.test_serve import serving
from trio_stream import EncodedEvent, EventStreamDecoder, ServerSentEvent, Stream
from trio_stream.codec import encode_sse, join_events

COUNT = 5000


def value(number: int) -> object:
    """Plain lines for the most part, and every so often something that is not."""
    event = ServerSentEvent(str(number), event="x")
    kinds = [f"é {number}", f"two\n{number}", {"n": number}, event]
    return kinds[number // 7 % 4] if number % 7 == 0 else f"plain {number}"


def expected() -> list[tuple[str, str]]:
    decoder = EventStreamDecoder()
    return [
        (event.event or "", event.data)
        for number in range(COUNT)
        for event in decoder.feed(encode_sse(value(number)))
    ]


async def numbers() -> AsyncIterator[object]:
    for number in range(COUNT):
        yield value(number)


@pytest.mark.parametrize("direct", [True, False])
@pytest.mark.parametrize("slow", [False, True])
async def test_all_of_a_flood_arrives_in_order(direct: bool, slow: bool) -> None:
    async def app(scope: object, receive: object, send: object) -> None:
        await Stream(numbers())(scope, receive, send)  # type: ignore[arg-type]

    received = []
    decoder = EventStreamDecoder()
    async with (
        serving(app, bind="127.0.0.1:0", direct=direct) as binds,
        httpx.AsyncClient() as client,
        client.stream("GET", binds[0]) as response,
    ):
        async for chunk in response.aiter_bytes():
            received += [(event.event or "", event.data) for event in decoder.feed(chunk)]
            if slow:  # so that the server's buffers fill and its writes are cut
                await trio.sleep(0.002)
    assert received == expected()


@pytest.mark.parametrize("direct", [True, False])
async def test_text_of_no_length_does_not_end_the_response(direct: bool) -> None:
    async def parts(stream: Stream) -> None:
        for part in ["a", "", EncodedEvent(b"", format="text"), b"", "b"]:
            await trio.testing.wait_all_tasks_blocked()  # the writer rests, so each goes alone
            await stream.send(part)
            stream.send_nowait(part)

    async def app(scope: object, receive: object, send: object) -> None:
        await Stream(parts, format="text")(scope, receive, send)  # type: ignore[arg-type]

    async with (
        serving(app, bind="127.0.0.1:0", direct=direct) as binds,
        httpx.AsyncClient() as client,
    ):
        response = await client.get(binds[0])
    assert response.text == "aabb"


async def test_a_fast_source_that_never_awaits_leaves_others_their_turn() -> None:
    async def endless() -> AsyncIterator[str]:
        while True:
            yield "x"

    async def app(scope: object, receive: object, send: object) -> None:
        await Stream(endless())(scope, receive, send)  # type: ignore[arg-type]

    async with serving(app, bind="127.0.0.1:0") as binds:
        client = await trio.open_tcp_stream("127.0.0.1", int(binds[0].rpartition(":")[2]))
        async with client:
            await client.send_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            for _ in range(10):  # client and server share one Trio run: each needs its turns
                assert await client.receive_some()


def test_joined_are_the_bytes_of_each() -> None:
    values = ["a", "b", "é", "c\nd", "", "e"]
    chunks = [v if v.isascii() and "\n" not in v else encode_sse(v) for v in values]
    assert join_events(chunks) == b"".join(encode_sse(v) for v in values)
    assert join_events([]) == b""
