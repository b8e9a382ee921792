"""Clients from npm and PyPI, and Chromium, in front of streams that end early, fail or refuse."""

import json
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx_sse
import pytest
import trio

from tests.support.chromium import chromium
from tests.support.hypercorn_process import Server, hypercorn
from tests.support.processes import Process

from .npm import node
from .parts import ANSWER, RUN

every_transport = pytest.mark.parametrize("transport", ["direct", "portable"])
pytestmark = pytest.mark.timeout(400)  # the first one may have to install the packages


class Driven:
    """A client that runs in node, and what it has said so far."""

    def __init__(self, process: trio.Process) -> None:
        self.said: list[dict[str, Any]] = []
        assert process.stdout is not None
        self._output = process.stdout
        self._rest = b""

    def all(self, what: str) -> list[dict[str, Any]]:
        return [line for line in self.said if line["what"] == what]

    @property
    def data(self) -> list[Any]:
        return [event["data"] for event in self.all("event")]

    async def next(self) -> dict[str, Any] | None:
        """The next that it says; None when it has ended."""
        while b"\n" not in self._rest:
            piece = await self._output.receive_some()
            if not piece:
                return None
            self._rest += piece
        line, _, self._rest = self._rest.partition(b"\n")
        self.said.append(json.loads(line))
        return self.said[-1]

    async def until(self, what: str, count: int = 1, *, within: float = 60) -> None:
        with trio.fail_after(within):
            while len(self.all(what)) < count:
                assert await self.next() is not None, self.said

    async def to_end(self, *, within: float = 60) -> None:
        with trio.fail_after(within):
            while await self.next() is not None:
                pass


@asynccontextmanager
async def driven(client: str, url: str) -> AsyncIterator[Driven]:
    program = await node()
    command = [program, str(Path(__file__).with_name("drive.mjs")), client, url]
    async with trio.open_nursery() as nursery:
        process: trio.Process = await nursery.start(_run, command)
        yield Driven(process)
        nursery.cancel_scope.cancel()


async def _run(command: list[str], *, task_status: trio.TaskStatus[trio.Process]) -> None:
    await trio.run_process(command, stdout=subprocess.PIPE, check=False, task_status=task_status)


def serve(transport: str, **options: Any) -> AbstractAsyncContextManager[Server]:
    return hypercorn(f"tests.clients.apps:{transport}", graceful_timeout=1, **options)


def parts(count: int) -> list[Any]:
    """The beginning of what `apps.answer` sends."""
    return ANSWER[:count]


# A stream whose time is over.


@every_transport
async def test_fetch_event_source_comes_back_and_loses_nothing(transport: str) -> None:
    async with (
        serve(transport) as server,
        driven("fetch-event-source", f"{server.url}/short") as client,
    ):
        await client.until("error", 2)
        await client.until("event", len(client.data) + 3)
        assert client.data == [str(n + 1) for n in range(len(client.data))]
        assert client.all("end") == []


async def test_it_takes_a_proper_end_for_the_end() -> None:
    """Why a farewell is not always a proper end: this is what would be."""
    async with (
        serve("direct") as server,
        driven("fetch-event-source", f"{server.url}/short-proper") as client,
    ):
        await client.to_end()
        assert (client.said[-1]["what"], client.all("error")) == ("end", [])


@pytest.mark.parametrize("name", ["eventsource-client", "launchdarkly-eventsource", "undici"])
@every_transport
async def test_event_sources_come_back_after_a_proper_end(transport: str, name: str) -> None:
    async with serve(transport) as server, driven(name, f"{server.url}/short") as client:
        await client.until("event", 20)  # one connection brings about ten
        assert client.data == [str(n + 1) for n in range(len(client.data))]


@every_transport
async def test_half_an_answer_is_an_error_to_the_ai_sdk(transport: str) -> None:
    async with serve(transport) as server:
        async with driven("ai", f"{server.url}/half") as client:
            await client.to_end()
            assert client.data == parts(3)
            assert client.said[-1]["what"] == "error"
        async with driven("ai", f"{server.url}/half-told") as client:
            await client.to_end()
            assert client.data[:3] == parts(3)
            assert client.data[3]["errorText"] == "the server is restarted"
            assert client.said[-1]["what"] == "end"
        async with driven("ai", f"{server.url}/half-proper") as client:  # what would be
            await client.to_end()
            assert (client.data, client.said[-1]["what"]) == (parts(3), "end")


@every_transport
async def test_half_a_run_looks_whole_to_ag_ui_unless_it_breaks_off(transport: str) -> None:
    async with serve(transport, expect_errors=True) as server:
        ends = {}
        for path in ("run", "run-half", "run-fails", "run-done"):
            async with driven("ag-ui", f"{server.url}/{path}") as client:
                await client.to_end()
            ends[path] = (len(client.data), client.said[-1]["what"])
        assert ends["run"] == (len(RUN), "end")
        assert ends["run-half"] == (3, "end")
        assert ends["run-fails"][1] == "error"
        assert ends["run-done"][1] == "error"


@every_transport
async def test_a_failure_is_told_by_its_event_and_a_proper_end(transport: str) -> None:
    async with serve(transport, expect_errors=True) as server:
        async with driven("ai", f"{server.url}/fails") as client:
            await client.to_end()
            assert client.data[3]["type"] == "error"
            assert client.said[-1]["what"] == "end"
        await server.process.wait_for_log("RuntimeError: half way")


@every_transport
async def test_a_restart_brings_fetch_event_source_back_without_a_loss(
    transport: str, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "hypercorn", "--worker-class", "trio"]
    command += ["--graceful-timeout", "1", f"tests.clients.apps:{transport}", "--bind"]
    running = r"Running on http://127.0.0.1:(\d+) \(CTRL"
    first = await Process.start([*command, "127.0.0.1:0"], tmp_path / "log")
    try:
        [port] = await first.wait_for_log(running)
        address = f"127.0.0.1:{port}"
        async with driven("fetch-event-source", f"http://{address}/ticks") as client:
            await client.until("event", 5)
            assert await first.stop(signal.SIGTERM) == 0
            second = await Process.start([*command, address], tmp_path / "second")
            try:
                await client.until("error")
                seen = len(client.data)
                await client.until("event", seen + 5)
                assert client.data == [str(n + 1) for n in range(len(client.data))]
                assert client.all("end") == []
            finally:
                await second.kill()
        assert "ERROR" not in first.log()
    finally:
        await first.kill()


# One too many.


@asynccontextmanager
async def full(server: Server) -> AsyncIterator[str]:
    """A stream that admits nobody else while it is there."""
    path = "/one-at-a-time"
    async with server.client() as client, client.stream("GET", path) as response:
        assert response.status_code == 200
        yield server.url + path


async def refused(server: Server) -> None:
    """Wait until somebody was one too many."""
    async with server.client() as client:
        with trio.fail_after(60):
            while (await client.get("/refused")).text == "0":
                await trio.sleep(0.05)


@pytest.mark.parametrize(
    "name", ["eventsource-client", "launchdarkly-eventsource", "undici", "fetch-event-source"]
)
@every_transport
async def test_the_refused_come_back_until_there_is_room(transport: str, name: str) -> None:
    async with serve(transport) as server, AsyncExitStack() as there:
        url = await there.enter_async_context(full(server))
        async with driven(name, url) as client:
            await refused(server)
            assert client.data == []
            await there.aclose()
            await client.until("event", 3)
            assert client.data[:3] == ["1", "2", "3"]  # and none without data
            # Two of them do not say that.
            assert client.all("error") or name in ("launchdarkly-eventsource", "undici")


@every_transport
async def test_the_ai_sdk_is_told_that_it_is_refused(transport: str) -> None:
    async with serve(transport) as server, full(server) as url, driven("ai", url) as client:
        await client.to_end()
        assert [line["what"] for line in client.said] == ["error"]


@every_transport
async def test_httpx_sse_is_told_too(transport: str) -> None:
    async with (
        serve(transport) as server,
        full(server) as url,
        server.client() as client,
        httpx_sse.aconnect_sse(client, "GET", url) as source,
    ):
        assert source.response.status_code == 503
        assert float(source.response.headers["retry-after"]) >= 1


# Runs that outlive their client.


@every_transport
async def test_the_ai_sdk_resumes_a_run(transport: str) -> None:
    async with serve(transport) as server:
        url = f"{server.url}/answer-without-done?{uuid.uuid4().hex}"
        for name in ("ai", "ai-resume"):
            async with driven(name, url) as client:
                await client.to_end()
                assert client.data == parts(6)
                assert client.said[-1]["what"] == "end"


async def test_it_takes_done_for_a_fault() -> None:
    """Why `done` can be left out."""
    async with serve("direct") as server, driven("ai", f"{server.url}/answer?a") as client:
        await client.to_end()
        assert (client.data, client.said[-1]["what"]) == (parts(6), "error")


@every_transport
async def test_graphql_sse_knows_the_end_by_its_own_name(transport: str) -> None:
    async with serve(transport) as server:
        async with driven("graphql-sse", f"{server.url}/words-complete?a") as client:
            await client.to_end()
            assert [data["data"]["word"] for data in client.data] == ["one", "two"]
            assert client.said[-1]["what"] == "end"
        async with driven("graphql-sse", f"{server.url}/words?b") as client:  # what would be
            await client.to_end()
            assert client.said[-1]["what"] == "error"


@every_transport
async def test_httpx_sse_hears_of_a_run_what_its_producer_sent(transport: str) -> None:
    async with serve(transport) as server, server.client() as client:
        path = "/answer-without-done?a"
        async with httpx_sse.aconnect_sse(client, "GET", path) as source:
            events = [event.json() async for event in source.aiter_sse()]
        assert events == parts(6)


# Chromium.


LISTEN = """
window.data = [];
window.source = new EventSource(arguments[0]);
source.onmessage = event => data.push(Number(event.data));
"""

FETCH = """
return fetch(arguments[0]).then(response => response.text()).then(() => "whole", String);
"""


async def test_chromiums_event_source_comes_back_and_its_fetch_is_told() -> None:
    async with serve("direct") as server, chromium() as browser:
        await browser.open(server.url)
        await browser.run(LISTEN, f"{server.url}/short")
        await browser.wait_until("data.length > 20")
        seen = await browser.run("source.close(); return data")
        assert seen == [n + 1 for n in range(len(seen))]
        assert "TypeError" in await browser.run(FETCH, f"{server.url}/half")
        assert await browser.run(FETCH, f"{server.url}/half-proper") == "whole"
        async with full(server) as url:
            await browser.run(LISTEN, url)  # refused, in its own way: it is not closed for good
            await refused(server)
        await browser.wait_until("data.length > 3")
        assert await browser.run("source.close(); return data.slice(0, 3)") == [1, 2, 3]


async def test_htmx_4_comes_back_after_each_end_and_shows_a_refusal() -> None:
    await node()  # its package, too
    async with serve("direct") as server, chromium() as browser:
        for path in ("/short", "/short-proper"):
            await browser.open(f"{server.url}/htmx?{path}")
            await browser.wait_until("Number(document.getElementById('last').textContent) > 20")
        async with full(server):
            await browser.open(f"{server.url}/htmx?/one-at-a-time")
            await browser.wait_until("document.getElementById('last').textContent")
            assert "Service Unavailable" in await browser.text()
