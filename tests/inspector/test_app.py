"""The inspector without a browser: who is let in, what is answered, and what its feed sends."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from weakref import ref

import pytest
import trio
import trio.testing

from trio_stream import (
    InspectorApp,
    ServerSentEvent,
    Stream,
    inspector_app,
    open_streams,
    outcome_counts,
)
from trio_stream.inspector.process import process_name
from trio_stream.testing import Client, connect

Clock = trio.testing.MockClock
JSON = {"content-type": "application/json"}
FEED = {"accept": "text/event-stream"}


def anybody(scope: Any) -> bool:
    return True


def merged(target: Any, patch: Any) -> Any:
    """MergePatch of RFC 7396, section 2, word for word."""
    if isinstance(patch, dict):
        if not isinstance(target, dict):
            target = {}
        for name, value in patch.items():
            if value is None:
                target.pop(name, None)
            else:
                target[name] = merged(target.get(name), value)
        return target
    return patch


def end(number: int, process: str | None = None) -> bytes:
    """The body that ends a stream of this process, or of another."""
    of = process_name() if process is None else process
    return json.dumps({"do": "end", "process": of, "stream": number}).encode()


class Page:
    """What a page makes of its feed."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.picture: dict[str, Any] = {}

    async def next(self) -> ServerSentEvent:
        """The next picture, as the patch that came."""
        event = await self.client.receive_event()
        if event.event == "about":
            event = await self.client.receive_event()
        assert event.event == "picture"
        self.picture = merged(self.picture, json.loads(event.data))
        return event

    @property
    def requests(self) -> list[str]:
        return [self.picture["streams"][str(n)]["request"] for n in self.picture["order"]]


@asynccontextmanager
async def watching(app: InspectorApp, query: str = "") -> AsyncIterator[Page]:
    async with connect(app, "/inspect", query=query, headers=FEED) as client:
        yield Page(client)


async def forever(stream: Stream) -> None:
    await trio.sleep_forever()


@asynccontextmanager
async def streaming(path: str = "/", **options: Any) -> AsyncIterator[Client]:
    async with connect(Stream(forever, hold_headers=False, ping=None, **options), path) as client:
        yield client


# Who is let in.


async def refuse_later(scope: Any) -> bool:
    return False


@pytest.mark.parametrize("authorize", [lambda scope: False, lambda scope: "a user", refuse_later])
@pytest.mark.parametrize("headers", [{}, FEED])
async def test_nobody_is_let_in_who_may_not(authorize: Any, headers: dict[str, str]) -> None:
    async with connect(inspector_app(authorize=authorize), headers=headers) as client:
        assert client.status == 403
        assert b"not allowed" in await client.read()


async def test_who_may_look_need_not_be_allowed_to_act() -> None:
    app = inspector_app(authorize=lambda scope: scope["method"] == "GET")
    async with streaming(), connect(app) as client:
        assert client.status == 200
        (stream,) = open_streams()
        body = end(stream.number)
        async with connect(app, method="POST", headers=JSON, body=body) as refused:
            assert refused.status == 403
        assert len(open_streams()) == 1


def test_it_has_to_be_told_who_may() -> None:
    with pytest.raises(TypeError):
        inspector_app()  # type: ignore[call-arg]


SITES = [
    ("POST", {}, 404),  # a program: there is no such stream
    ("POST", {"sec-fetch-site": "same-origin", "origin": "http://testserver"}, 404),
    ("POST", {"sec-fetch-site": "same-site", "origin": "http://other.testserver"}, 403),
    ("POST", {"sec-fetch-site": "cross-site", "origin": "http://evil.example"}, 403),
    ("POST", {"sec-fetch-site": "none"}, 403),
    ("POST", {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, 403),
    ("POST", {"origin": "http://here.example:8000", "host": "here.example:8000"}, 404),
    ("POST", {"origin": "http://HERE.example", "host": "here.example"}, 404),
    ("POST", {"origin": "http://here.example:8001", "host": "here.example:8000"}, 403),
    ("POST", {"origin": "null", "host": "here.example"}, 403),
    ("POST", {"content-type": "text/plain"}, 415),
    ("POST", {"content-type": ""}, 415),
    ("POST", {"content-type": "Application/JSON; charset=utf-8"}, 404),
    ("GET", {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, 200),
    ("GET", {"sec-fetch-site": "none", "sec-fetch-mode": "navigate"}, 200),
    ("GET", {"sec-fetch-site": "cross-site", "sec-fetch-mode": "cors", **FEED}, 403),
    ("GET", {"origin": "http://evil.example", "host": "here.example", **FEED}, 403),
    ("GET", {"sec-fetch-site": "same-origin", "sec-fetch-mode": "cors", **FEED}, 200),
]


@pytest.mark.parametrize(("method", "headers", "status"), SITES)
async def test_other_sites_pages_are_refused(
    method: str, headers: dict[str, str], status: int
) -> None:
    body = end(1) if method == "POST" else b""
    given = {**(JSON if method == "POST" else {}), **headers}
    app = inspector_app(authorize=anybody)
    async with connect(app, method=method, headers=given, body=body) as client:
        assert client.status == status


# The page.


async def test_the_page_is_whole_and_has_a_policy_of_its_own_each_time() -> None:
    nonces = set()
    for _ in range(2):
        async with connect(inspector_app(authorize=anybody)) as client:
            headers, page = client.headers, (await client.read()).decode()
        policy = headers["content-security-policy"]
        [nonce] = set(re.findall(r"'nonce-([^']+)'", policy))
        assert re.findall(r"<(?:script|style) nonce=\"([^\"]+)\">", page) == [nonce, nonce]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "{{" not in page
        assert not re.search(r"\bsrc=|https?://|@import|url\(", page)  # nothing from elsewhere
        assert not re.search(r"\bon\w+=\"|style=\"", page)  # which the policy would not let run
        assert headers["cache-control"] == "no-store"
        nonces.add(nonce)
    assert len(nonces) == 2


async def test_a_head_gets_the_pages_headers() -> None:
    async with connect(inspector_app(authorize=anybody), method="HEAD") as client:
        assert client.status == 200
        assert client.headers["content-type"] == "text/html; charset=utf-8"
        assert await client.read() == b""


BAD = [
    ("PUT", "", b"", 405),
    ("GET", "show=nothing", b"", 400),
    ("GET", "sort=", b"", 400),
    ("GET", "rows=0", b"", 400),
    ("GET", "rows=1001", b"", 400),
    ("GET", "rows=many", b"", 400),
    ("GET", "stream=x", b"", 400),
    ("GET", "unknown=1", b"", 400),
    ("GET", "find=%FF", b"", 400),
    ("POST", "", b"", 400),
    ("POST", "", b"\xff", 400),
    ("POST", "", b"[" * 10_000, 400),
    ("POST", "", b'{"do": "dance", "stream": 1}', 400),
    ("POST", "", b'{"do": "end"}', 400),
    ("POST", "", b'{"do": "end", "stream": 1}', 400),
    ("POST", "", b'{"do": "end", "process": "x", "stream": "1"}', 400),
    ("POST", "", b'{"do": "end", "process": "x", "stream": 1, "more": 1}', 400),
    ("POST", "", end(1, "another"), 409),
    ("POST", "", b" " * (2**20 + 1), 413),
]


@pytest.mark.parametrize(("method", "query", "body", "status"), BAD)
async def test_what_is_not_understood_is_refused(
    method: str, query: str, body: bytes, status: int
) -> None:
    headers = JSON if method == "POST" else FEED
    app = inspector_app(authorize=anybody)
    async with connect(app, method=method, query=query, headers=headers, body=body) as client:
        assert client.status == status
        assert json.loads(await client.read())["error"]
        assert client.headers["cache-control"] == "no-store"


async def test_another_scope_is_refused() -> None:
    with pytest.raises(RuntimeError, match="mount it"):
        await inspector_app(authorize=anybody)({"type": "websocket"}, None, None)  # type: ignore[arg-type]


# What the feed sends.


async def test_a_page_sees_streams_open_flow_and_end(autojump_clock: Clock) -> None:
    stream = Stream(forever, hold_headers=False, ping=None)
    async with watching(inspector_app(authorize=anybody), "sort=oldest") as page:
        await page.next()
        assert page.requests == ["GET /inspect"]
        async with connect(stream, "/prices?token=t", scope={"client": ("10.0.0.7", 5)}):
            while len(page.requests) < 2:
                await page.next()
            number = str(page.picture["order"][1])
            row = page.picture["streams"][number]
            assert (row["request"], row["client"], row["events"]) == (
                "GET /prices",
                "10.0.0.7:5",
                0,
            )
            for n in range(30):
                stream.send_nowait(n)
            while page.picture["streams"][number]["events"] < 30:
                await page.next()
            assert page.picture["streams"][number]["rate"] == 30
            while page.picture["streams"][number]["rate"]:
                await page.next()
        while len(page.requests) > 1:
            await page.next()
        ended = page.picture["ended"][number]
        assert (ended["request"], ended["outcome"]) == ("GET /prices", "disconnected")
        assert page.picture["outcomes"] == {"disconnected": 1}


async def test_proxies_are_told_not_to_hold_its_feed_back(autojump_clock: Clock) -> None:
    async with connect(inspector_app(authorize=anybody), headers=FEED) as client:
        assert client.headers["cache-control"] == "no-store, no-transform"
        assert client.headers["x-accel-buffering"] == "no"
        assert client.headers["x-content-type-options"] == "nosniff"


async def test_only_what_has_changed_is_sent_and_once_a_second(autojump_clock: Clock) -> None:
    """The feed's own row changes with what it sends, so that one is not looked for here."""
    stream = Stream(forever, hold_headers=False, ping=None)
    watched = watching(inspector_app(authorize=anybody), "find=other")
    async with streaming("/other/1"), connect(stream, "/other/2"), watched as page:
        await page.next()
        number = str(page.picture["order"][0])
        begun = trio.current_time()
        await trio.sleep(20)
        for _ in range(5):
            stream.send_nowait("x")
        patches = []
        while page.picture["streams"][number]["events"] < 5:
            patches.append(json.loads((await page.next()).data))
        assert trio.current_time() - begun <= 22
        changed = patches[-1]["streams"]
        assert changed.keys() == {number}
        assert changed[number].keys() <= {"events", "rate", "bytes", "queued"}
        assert len(patches) <= trio.current_time() - begun


async def test_no_more_rows_are_sent_than_the_page_shows(autojump_clock: Clock) -> None:
    async with trio.open_nursery() as nursery:

        async def keep(path: str) -> None:
            async with streaming(path):
                await trio.sleep_forever()

        for n in range(300):
            nursery.start_soon(keep, f"/kept/{n}")
        await trio.testing.wait_all_tasks_blocked()
        async with watching(inspector_app(authorize=anybody), "find=KEPT/1&rows=7") as page:
            await page.next()
            assert len(page.picture["streams"]) == len(page.requests) == 7
            assert page.picture["matching"] == 111
            assert page.picture["totals"]["open"] == 301
        nursery.cancel_scope.cancel()


async def test_what_waits_of_its_own_feed_is_not_counted_as_queued(autojump_clock: Clock) -> None:
    app = inspector_app(authorize=anybody)
    for _ in range(30):  # whose turn is first, the writer's or the look's, is left to chance
        async with connect(app, headers=FEED, http_version="2") as client:
            assert (await client.receive_event()).event == "about"
            totals = (await client.receive_event()).json()["totals"]
            assert (totals["queued"], totals["queuedBytes"]) == (0, 0)


async def test_the_rows_come_in_the_order_that_was_asked_for(autojump_clock: Clock) -> None:
    busy = Stream(forever, hold_headers=False, ping=None)
    app = inspector_app(authorize=anybody)
    async with streaming("/a/1"), connect(busy, "/a/2"), streaming("/a/3"):
        for n in range(5):
            busy.send_nowait(n)
        orders = {"oldest": "123", "newest": "321", "events": "231", "bytes": "231"}
        for sort, order in orders.items():
            async with watching(app, f"find=/a/&sort={sort}") as page:
                await page.next()
                assert "".join(request[-1] for request in page.requests) == order, sort


async def test_one_is_shown_with_its_tasks_queue_and_client(autojump_clock: Clock) -> None:
    async def much(stream: Stream) -> None:
        stream.start_soon(trio.sleep_forever, name="of its own")
        while True:
            await stream.send("x" * 1000)

    stream = Stream(much, stall_timeout=None, buffer=4, hold_headers=False)
    agent = {"user-agent": "an agent\x85"}
    async with connect(stream, "/much", socket_buffer=1000, headers=agent):
        await trio.sleep(20)
        (seen,) = open_streams()
        async with watching(inspector_app(authorize=anybody), f"stream={seen.number}") as page:
            await page.next()
            one = page.picture["stream"]
            assert (one["queued"], one["waitingSenders"], one["queuedBytes"]) == (4, 1, 4032)
            assert one["stuckSince"] <= one["silentSince"]
            assert one["agent"].startswith("an agent")
            assert "of its own" in json.dumps(one["tasks"])
            assert "xxxx" not in json.dumps(page.picture)  # no payload
            seen.close()
            while "stream" in page.picture and "outcome" not in page.picture["stream"]:
                await page.next()
            assert page.picture["stream"]["outcome"] == "closed"


@pytest.mark.parametrize("payloads", [True, False])
async def test_the_last_bytes_are_shown_only_where_payloads_are(
    payloads: bool, autojump_clock: Clock
) -> None:
    stream = Stream(forever, hold_headers=False, ping=None)
    async with connect(stream) as client:
        (seen,) = open_streams()
        app = inspector_app(authorize=anybody, payloads=payloads)
        async with watching(app, f"stream={seen.number}") as page:
            await page.next()
            stream.send_nowait("a secret")
            await client.receive_event()
            while page.picture["stream"]["events"] < 1:
                await page.next()
            assert page.picture["stream"].get("last") == (
                "data: a secret\n\n" if payloads else None
            )
            assert ("secret" in json.dumps(page.picture)) is payloads
        stream.send_nowait("unseen")
        assert (await client.receive_event()).data == "unseen"


async def test_it_ends_the_stream_that_it_is_told_to() -> None:
    app = inspector_app(authorize=anybody)
    async with streaming("/a") as first, streaming("/b"):
        number = open_streams()[0].number
        body = end(number)
        async with connect(app, method="POST", headers=JSON, body=body) as client:
            assert json.loads(await client.read()) == {"ended": number}
        await first.read()
        assert first.ended == "complete"
        assert [stream.request for stream in open_streams()] == ["GET /b"]


async def test_a_page_that_stalls_has_one_picture_waiting_and_is_cut_off(
    autojump_clock: Clock,
) -> None:
    stream = Stream(forever, hold_headers=False, ping=None)
    async with connect(stream, "/busy") as busy:
        app = inspector_app(authorize=anybody)
        async with connect(app, headers=FEED, socket_buffer=100):
            for n in range(25):
                stream.send_nowait(n)
                await busy.receive_event()
                await trio.sleep(1)
            feed = open_streams()[1].statistics
            assert (feed.queued, feed.waiting_senders) == (1, 1)
            assert feed.events <= 4
            await trio.sleep(10)
            assert outcome_counts() == {"stalled": 1}


async def test_nothing_of_a_stream_is_held_when_nobody_watches(autojump_clock: Clock) -> None:
    app = inspector_app(authorize=anybody)
    stream = Stream(forever, hold_headers=False)
    gone = ref(stream)
    async with connect(stream), watching(app) as page:
        await page.next()
    del stream
    assert gone() is None
