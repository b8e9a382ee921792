"""Real clients of upstreams, proxied: two Hypercorn processes, and a client of the second."""

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
import trio

from tests.real.upstream import WORDS
from tests.support.chromium import chromium
from tests.support.hypercorn_process import Server, hypercorn
from tests.support.raw import read_until, send_request
from trio_stream import EventSource, EventStreamDecoder, ServerSentEvent

SDK = ["/sdk", "/sdk-unawaited"]
HTTP = ["/workers-ai/httpx", "/workers-ai/httpx2"]


# The openai SDK leaves generators to the garbage collector whenever it has seen [DONE]: its own,
# and those of httpx2 inside. The response itself it closes.
SDKS_OWN = ",".join(
    f"ignore:Async generator '{package}:ResourceWarning"
    for package in ("openai", "httpx2", "httpc")
)


@asynccontextmanager
async def servers(
    *, sdk: bool = False, expect_errors: bool = False
) -> AsyncIterator[tuple[Server, Server]]:
    """The proxy and its upstream."""
    async with hypercorn("tests.real.upstream:app", expect_errors=expect_errors) as upstream:
        env = {"UPSTREAM": upstream.url}
        if sdk:
            env["PYTHONWARNINGS"] = f"default::ResourceWarning,{SDKS_OWN}"
        async with hypercorn("tests.real.proxy:app", env=env, expect_errors=expect_errors) as proxy:
            yield proxy, upstream


async def get_events(server: Server, path: str, **headers: str) -> list[ServerSentEvent]:
    async with server.client() as client:
        response = await client.get(path, headers=headers)
    assert response.status_code == 200, response.text
    return EventStreamDecoder().feed(response.content)


async def outcome(server: Server, number: int, within: float = 60) -> str:
    """How the stream of that number there ended, waiting for it."""
    with trio.fail_after(within):
        async with server.client() as client:
            while not all(ended := (await client.get("/outcomes")).json()):
                await trio.sleep(0.02)
    assert len(ended) == number
    return str(ended[-1])


async def test_the_openai_sdk_streams_on_trio_and_its_stream_is_a_source() -> None:
    async with servers(sdk=True) as (proxy, upstream):
        for number, path in enumerate(SDK, 1):
            events = await get_events(proxy, f"{path}/words")
            chunks = [event.json() for event in events]
            assert [chunk["choices"][0]["delta"]["content"] for chunk in chunks] == WORDS, path
            # The SDK swallows [DONE]: it ends its iteration, and so our stream.
            ends = [await outcome(server, number) for server in (proxy, upstream)]
            assert ends == ["completed", "completed"], path
        async with proxy.client() as client:  # only the text of its chunks
            assert (await client.get("/sdk-text/words")).text == "".join(WORDS)


async def test_a_workers_ai_response_is_passed_on_event_by_event() -> None:
    async with servers() as (proxy, _):
        for path in HTTP:
            *events, last = await get_events(proxy, f"{path}/words")
            assert [event.json() for event in events] == [{"response": word} for word in WORDS]
            assert last.data == "[DONE]", path


async def test_names_and_ids_of_an_upstream_are_kept_and_last_event_id_goes_up() -> None:
    async with servers() as (proxy, _):
        events = await get_events(proxy, "/named")
        assert [(e.event, e.id, e.data) for e in events] == [
            ("count", "1", "1"),
            ("count", "2", "2"),
            ("count", "3", "3"),
        ]
        assert [event.retry for event in events] == [3000, None, None]  # the proxy's own
        events = await get_events(proxy, "/named", **{"last-event-id": "3"})
        assert [event.id for event in events] == ["4", "5", "6"]


@pytest.mark.parametrize("paths", [SDK, HTTP], ids=["sdk", "http"])
async def test_when_the_client_leaves_the_upstream_request_is_aborted(paths: list[str]) -> None:
    async with servers(sdk=paths is SDK) as (proxy, upstream):
        for number, path in enumerate(paths, 1):
            async with await proxy.connect() as stream:
                await send_request(stream, f"{path}/endless")
                await read_until(stream, b"tick")
            ends = [await outcome(server, number) for server in (proxy, upstream)]
            assert ends == ["disconnected", "disconnected"], path


@pytest.mark.parametrize("paths", [SDK, HTTP], ids=["sdk", "http"])
async def test_a_client_that_stops_reading_and_leaves_aborts_it_too(paths: list[str]) -> None:
    async with servers(sdk=paths is SDK) as (proxy, upstream):
        for number, path in enumerate(paths, 1):
            async with await proxy.connect() as stream:
                await send_request(stream, f"{path}/flood")
                await read_until(stream, b"xxx")
                await trio.sleep(1)  # all buffers between are full: the source waits at its `yield`
            ends = [await outcome(server, number) for server in (proxy, upstream)]
            assert ends == ["disconnected", "disconnected"], path


async def test_an_error_of_the_api_is_a_502_with_its_retry_after() -> None:
    async with servers() as (proxy, _), proxy.client() as client:
        for path, status in itertools.product(["/sdk-unawaited", *HTTP], [429, 500]):
            response = await client.get(f"{path}/{status}")
            assert (response.status_code, response.text) == (502, "502 Bad Gateway\n"), path
            assert response.headers["retry-after"] == "7"


async def test_an_upstream_that_dies_mid_event_breaks_the_stream_off() -> None:
    async with servers(expect_errors=True) as (proxy, _), proxy.client() as client:
        for path in ["/workers-ai/httpx/dies", "/workers-ai/httpx2/dies", "/sdk/dies"]:
            with pytest.raises(httpx.RemoteProtocolError, match="incomplete chunked read"):
                await client.get(path)
        await proxy.process.stop()
        assert proxy.process.log().count("Error in ASGI Framework") == 3


DONE = ["/done/httpx", "/done/httpx2", "/done/eventsource"]


async def test_an_upstream_that_has_no_more_is_a_204() -> None:
    async with servers() as (proxy, _), proxy.client() as client:
        for path in DONE * 2:  # over one connection
            response = await client.get(path)
            assert (response.status_code, response.content) == (204, b""), path
            assert not {"content-type", "transfer-encoding"} & response.headers.keys()
        for path in DONE:
            async with EventSource(f"{proxy.url}{path}") as source:
                assert [event async for event in source] == []
        assert set((await client.get("/outcomes")).json()) == {"completed"}


async def test_and_a_browser_stays_away_for_good() -> None:
    async with servers() as (proxy, _), chromium() as browser:
        await browser.open(f"{proxy.url}/outcomes")
        for path in DONE:
            await browser.run("window.source = new EventSource(arguments[0])", path)
            await browser.wait_until("source.readyState == EventSource.CLOSED")
        await trio.sleep(4)  # more than the 3 s after which Chromium comes back
        assert len(await browser.run("return fetch('/outcomes').then(a => a.json())")) == len(DONE)
