"""What a client says of a page's urgency holds beside streams that are written past Hypercorn."""

import pytest

from tests.support.certificates import Certificate
from trio_stream import Stream
from trio_stream.transport.asgi import Receive, Scope, Send

from .h2_client import speak_h2
from .wires import connect, listening

#: Sixty frames and more.
PAGE = b"p" * 2**20


async def flood(stream: Stream) -> None:
    while True:
        await stream.send("z" * 1000)


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["path"] == "/page":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": PAGE})
    else:
        await Stream(flood)(scope, receive, send)


@pytest.mark.parametrize("wire", ["2", "2 tls"])
async def test_a_page_that_is_to_go_before_99_streams_does(
    wire: str, certificate: Certificate
) -> None:
    """As Chromium asks for it: a header, and the exclusive dependency that Hypercorn knows."""
    async with listening(app, wire=wire, certificate=certificate) as port:
        connection = await connect(port, wire=wire, certificate=certificate)
        async with speak_h2(connection, window=2**18) as client:
            await client.grant(2**20)
            streams = [await client.request("/") for _ in range(99)]
            for stream in streams:
                await client.until(stream, b"z" * 1000)
            page = client.connection.get_next_available_stream_id()
            client.connection.prioritize(page, weight=256, exclusive=True)
            await client.request("/page", (b"priority", b"u=0, i"))
            await client.until(page, b"p")
            before = sum(len(client.responses[stream].body) for stream in streams)
            response = await client.until_ended(page)
            after = sum(len(client.responses[stream].body) for stream in streams)
            assert response.body == PAGE
            # What was under way in the socket, and frames of a turn between the page's. What has
            # no room there waits in Hypercorn, which asks its tree of priorities whose turn it is;
            # equal shares would be 99 times the page's size.
            assert after - before < 8 * len(PAGE)
            for stream in streams[:5]:  # they go on when it is out
                await client.until_more(stream)
