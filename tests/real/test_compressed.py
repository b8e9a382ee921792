"""Compressed streams, read by other people's clients: each event before the next is sent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from subprocess import PIPE
from typing import Any

import httpx
import pytest
import trio
import trio.testing

from tests.codec.test_compressor import READERS
from tests.support.certificates import Certificate
from tests.support.chromium import chromium
from tests.support.need import need
from tests.transport.wires import listening
from trio_stream import ServerSentEvent, Stream, StreamMiddleware
from trio_stream.broker import Broker, open_broker
from trio_stream.codec import groups
from trio_stream.transport.asgi import Message, Receive, Scope, Send

PAGE = b"""<!doctype html><title>t</title><script>
const got = [];
for (const path of ["/events", "/topic"])
  if (location.hash === "#fetch")
    fetch(path).then(async (response) => {
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let part; !(part = await reader.read()).done; )
        for (const [, data] of part.value.matchAll(/data: (.*)/g)) got.push(data);
      got.push("end of " + path);
    });
  else
    new EventSource(path).onmessage = (event) => got.push(event.data);
</script>"""

NODE = """
const response = await fetch(process.argv[1]);
for await (const chunk of response.body) process.stdout.write(chunk);
"""


class Site:
    """A page, a stream, and one of a topic, compressed as is asked; given to the test when open."""

    def __init__(self, broker: Broker, *codings: str) -> None:
        self._broker = broker
        self._codings: Any = codings
        self._opened = {"/events": Opened(), "/topic": Opened()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if opened := self._opened.get(scope["path"]):
            of_topic = scope["path"] == "/topic"
            source = self._broker.subscribe("t") if of_topic else None
            stream = Stream(source, compress=self._codings)
            sender = Topic(self._broker, stream) if of_topic else stream
            await opened.send.send(sender)
            await stream(scope, receive, send)
            return
        headers = [(b"content-type", b"text/html")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": PAGE})

    async def stream(self, path: str) -> Stream | Topic:
        with trio.fail_after(60):
            return await self._opened[path].receive.receive()


class Opened:
    def __init__(self) -> None:
        self.send, self.receive = trio.open_memory_channel[Stream | Topic](10)


class Topic:
    """Sends to a stream by its topic, and each time but the first what is for it alone as well.

    So that it reads several groups, and what is between them.
    """

    def __init__(self, broker: Broker, stream: Stream) -> None:
        self._broker = broker
        self._stream = stream
        self._count = 0

    async def send(self, data: str) -> None:
        self._count += 1
        await self._broker.publish("t", data)
        if self._count % 2 == 0:
            await trio.testing.wait_all_tasks_blocked(0.01)
            await self._stream.send(ServerSentEvent(comment="for one alone"))

    def close(self) -> None:
        self._stream.close()


@pytest.fixture
async def broker(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Broker]:
    monkeypatch.setattr(groups, "LEAST", 0)  # who waits for a group gets it with the next event
    async with open_broker() as broker:
        yield broker


@pytest.fixture(params=["/events", "/topic"])
def path(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


async def five(
    stream: Stream | Topic, arrives: Callable[[str], Awaitable[None]], name: str = ""
) -> None:
    """Send events, each when the one before has arrived; then end."""
    for number in range(5):
        data = f"{number} of five events that are much alike"
        await stream.send(name + data)
        with trio.fail_after(60):
            await arrives(data)
    stream.close()


@pytest.mark.parametrize("wire", ["1.1", "1.1 tls", "2 tls"])
@pytest.mark.parametrize("coding", ["gzip", "zstd"])
async def test_over_every_wire(
    wire: str, coding: str, path: str, broker: Broker, certificate: Certificate
) -> None:
    site = Site(broker, coding)
    scheme = "https" if "tls" in wire else "http"
    async with (
        listening(site, wire=wire, certificate=certificate) as port,
        httpx.AsyncClient(
            verify=certificate.client_context(), http2=wire.startswith("2"), trust_env=False
        ) as http,
        http.stream(
            "GET", f"{scheme}://localhost:{port}{path}", headers={"accept-encoding": coding}
        ) as response,
    ):
        assert response.headers["content-encoding"] == coding
        read, raw = READERS[coding](), response.aiter_raw()
        text = b""

        async def arrives(data: str) -> None:
            nonlocal text
            while data.encode() not in text:
                text += read(await anext(raw))

        await five(await site.stream(path), arrives)
        async for rest in raw:
            text += read(rest)
        assert text.count(b"data: ") == 5


async def test_it_is_direct_in_a_middleware(broker: Broker, certificate: Certificate) -> None:
    site = Site(broker, "gzip")

    async def between(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_on(message: Message) -> None:
            await send(message)

        await site(scope, receive, send_on)

    async with (
        listening(StreamMiddleware(between), wire="1.1", certificate=certificate) as port,
        httpx.AsyncClient(trust_env=False) as http,
        http.stream(
            "GET", f"http://127.0.0.1:{port}/events", headers={"accept-encoding": "gzip"}
        ) as response,
    ):
        stream = await site.stream("/events")
        assert isinstance(stream, Stream)
        text, parts = "", response.aiter_text()
        for number in range(5):
            await stream.send(number)
            while f"data: {number}" not in text:
                text += await anext(parts)
        transport = stream._state.transport
        assert transport is not None
        assert transport.direct
        stream.close()
        assert [part async for part in parts if "data" in part] == []


async def test_by_httpx(path: str, broker: Broker, certificate: Certificate) -> None:
    site = Site(broker, "gzip", "zstd")
    async with (
        listening(site, wire="1.1", certificate=certificate) as port,
        httpx.AsyncClient(trust_env=False) as http,
        http.stream(
            "GET", f"http://127.0.0.1:{port}{path}", headers={"accept-encoding": "gzip"}
        ) as response,
    ):
        text, parts = "", response.aiter_text()

        async def arrives(data: str) -> None:
            nonlocal text
            while data not in text:
                text += await anext(parts)

        await five(await site.stream(path), arrives)
        assert [part async for part in parts if "data" in part] == []


@asynccontextmanager
async def running(*command: str) -> AsyncIterator[trio.Process]:
    async with trio.open_nursery() as nursery:
        process = await nursery.start(
            lambda task_status: trio.run_process(
                command, stdout=PIPE, capture_stdout=False, task_status=task_status, check=False
            )
        )
        yield process
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("program", ["curl", "node"])
@pytest.mark.parametrize("coding", ["gzip", "zstd"])
async def test_by_programs(
    program: str, coding: str, path: str, broker: Broker, certificate: Certificate
) -> None:
    [found] = need(program)
    site = Site(broker, coding)
    async with listening(site, wire="1.1", certificate=certificate) as port:
        url = f"http://127.0.0.1:{port}{path}"
        command = {
            "curl": (found, "-sSN", "--compressed", url),
            "node": (found, "--input-type=module", "-e", NODE, url),
        }[program]
        async with running(*command) as process:
            stream = await site.stream(path)
            assert process.stdout is not None
            text = b""

            async def arrives(data: str) -> None:
                nonlocal text
                while data.encode() not in text:
                    assert process.stdout is not None
                    text += await process.stdout.receive_some(2**16)

            await five(stream, arrives)
            with trio.fail_after(60):
                assert await process.wait() == 0


@pytest.mark.parametrize("way", ["eventsource", "fetch"])
@pytest.mark.parametrize("coding", ["gzip", "zstd"])
async def test_by_chromium(way: str, coding: str, broker: Broker, certificate: Certificate) -> None:
    site = Site(broker, coding)
    async with listening(site, wire="1.1", certificate=certificate) as port, chromium() as browser:
        await browser.open(f"http://127.0.0.1:{port}/#{way}")
        for path in ("/events", "/topic"):

            async def arrives(data: str, path: str = path) -> None:
                await browser.wait_until(f"got.includes({path + data!r})")

            await five(await site.stream(path), arrives, path)
            if way == "fetch":
                await browser.wait_until(f"got.includes('end of {path}')")
