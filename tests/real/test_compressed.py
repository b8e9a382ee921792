"""Compressed streams, read by other people's clients: each event before the next is sent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from subprocess import PIPE
from typing import Any

import httpx
import pytest
import trio

from tests.codec.test_compressor import READERS
from tests.support.certificates import Certificate
from tests.support.chromium import chromium
from tests.support.need import need
from tests.transport.wires import listening
from trio_stream import Stream
from trio_stream.transport.asgi import Receive, Scope, Send

PAGE = b"""<!doctype html><title>t</title><script>
const got = [];
if (location.hash === "#fetch")
  fetch("/events").then(async (response) => {
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let part; !(part = await reader.read()).done; )
      for (const [, data] of part.value.matchAll(/data: (.*)/g)) got.push(data);
    got.push("end");
  });
else
  new EventSource("/events").onmessage = (event) => got.push(event.data);
</script>"""

NODE = """
const response = await fetch(process.argv[1]);
for await (const chunk of response.body) process.stdout.write(chunk);
"""


class Site:
    """A page, and a stream that is compressed as is asked: given to the test as it is opened."""

    def __init__(self, *codings: str) -> None:
        self._codings: Any = codings
        self._opened, self._streams = trio.open_memory_channel[Stream](10)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/events":
            stream = Stream(compress=self._codings)
            await self._opened.send(stream)
            await stream(scope, receive, send)
            return
        headers = [(b"content-type", b"text/html")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": PAGE})

    async def stream(self) -> Stream:
        with trio.fail_after(60):
            return await self._streams.receive()


async def five(stream: Stream, arrives: Callable[[str], Awaitable[None]]) -> None:
    """Send events, each when the one before has arrived; then end."""
    for number in range(5):
        data = f"{number} of five events that are much alike"
        await stream.send(data)
        with trio.fail_after(60):
            await arrives(data)
    stream.close()


@pytest.mark.parametrize("wire", ["1.1", "1.1 tls", "2 tls"])
@pytest.mark.parametrize("coding", ["gzip", "zstd"])
async def test_over_every_wire(wire: str, coding: str, certificate: Certificate) -> None:
    site = Site(coding)
    scheme = "https" if "tls" in wire else "http"
    async with (
        listening(site, wire=wire, certificate=certificate) as port,
        httpx.AsyncClient(
            verify=certificate.client_context(), http2=wire.startswith("2"), trust_env=False
        ) as http,
        http.stream(
            "GET", f"{scheme}://localhost:{port}/events", headers={"accept-encoding": coding}
        ) as response,
    ):
        assert response.headers["content-encoding"] == coding
        read, raw = READERS[coding](), response.aiter_raw()
        text = b""

        async def arrives(data: str) -> None:
            nonlocal text
            while data.encode() not in text:
                text += read(await anext(raw))

        await five(await site.stream(), arrives)
        async for rest in raw:
            text += read(rest)
        assert text.count(b"data: ") == 5


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
async def test_by_programs(program: str, coding: str, certificate: Certificate) -> None:
    [path] = need(program)
    site = Site(coding)
    async with listening(site, wire="1.1", certificate=certificate) as port:
        url = f"http://127.0.0.1:{port}/events"
        command = {
            "curl": (path, "-sSN", "--compressed", url),
            "node": (path, "--input-type=module", "-e", NODE, url),
        }[program]
        async with running(*command) as process:
            stream = await site.stream()
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
async def test_by_chromium(way: str, coding: str, certificate: Certificate) -> None:
    site = Site(coding)
    async with listening(site, wire="1.1", certificate=certificate) as port, chromium() as browser:
        await browser.open(f"http://127.0.0.1:{port}/#{way}")

        async def arrives(data: str) -> None:
            await browser.wait_until(f"got.includes({data!r})")

        stream = await site.stream()
        await five(stream, arrives)
        if way == "fetch":
            await browser.wait_until("got.includes('end')")
