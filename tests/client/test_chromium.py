"""Chromium is the referee: the same bytes give its EventSource and ours the same events."""

from __future__ import annotations

import gzip
import json
import random
import zlib
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import trio

from tests.client.scripted import (
    Exchange,
    Request,
    Script,
    ScriptedServer,
    no_content,
    over_tcp,
    redirect,
    status,
)
from tests.codec.model import interpret
from tests.codec.vectors import VECTORS
from tests.support.chromium import Browser, chromium
from trio_stream import ContentTypeError, EventSource, ReconnectPolicy, UpstreamStatusError
from trio_stream.client.connecting.last_event_id import to_header

#: An event: its name, its data, its id; "" for no id, as in a browser.
Event = tuple[str, str, str]

PAGE = b"""<!doctype html><title>referee</title><script>
const results = [];
let finished = 0;
function listen(index, names) {
  const source = new EventSource(`/chromium/${index}`);
  const result = results[index] = {events: [], states: []};
  const keep = e => {
    if (e instanceof MessageEvent) result.events.push([e.type, e.data, e.lastEventId]);
  };
  for (const name of names) source.addEventListener(name, keep);
  source.addEventListener("error", e => {
    if (e instanceof MessageEvent) return;
    result.states.push(source.readyState);
    if (source.readyState == EventSource.CLOSED) finished += 1;
  });
}
</script>"""

#: What `Referee` adds to each body so that both clients come back soon; a body that says `retry`
#: itself in an unfinished block says it after this.
SOON = b"\n\nretry: 20\n\n"

#: Where Chromium breaks the standard, which takes a byte order mark away before it looks for lines:
#: it does not see the line end that follows one.
WRONG = (b"\xef\xbb\xbf\n", b"\xef\xbb\xbf\r")

_PIECES = [
    *[b"data", b"event", b"id", b"retry", b"data: ", b"id: ", b"event: ", b"retry: "],
    *[b":", b" ", b"\n", b"\n", b"\n\n", b"\r", b"\r\n", b"\0", b"1", b"a", b"7"],
    *[b"data: x\n\n", b"id: 3\ndata: y\n\n", b":\n\n", b"\xef\xbb\xbf", b"\xef", b"\xe2\x82"],
    *[b"\xff", b"\xf0\x9f\x98", b"\xed\xa0\x80", "é€😀".encode(), b"\x0b", b"\xe2\x80\xa8"],
]


def random_bodies(count: int) -> list[bytes]:
    """Bytes that look enough like an event stream to reach every rule, the same in every run."""
    chance = random.Random(20)
    return [b"".join(chance.choices(_PIECES, k=chance.randrange(1, 40))) for _ in range(count)]


class Referee(ScriptedServer):
    """Serves each body once to each client, by its number, and 204 when a client comes back."""

    def __init__(self, bodies: list[bytes], piece: int) -> None:
        super().__init__(self.answer)
        self.bodies = bodies
        self.piece = piece
        self.came_back: dict[str, Request] = {}
        self.met: set[str] = set()

    async def answer(self, exchange: Exchange) -> None:
        path = exchange.request.target
        if path == "/":
            await exchange.head(content_type="text/html")
            await exchange.send(PAGE)
        elif path in self.met:
            self.came_back[path] = exchange.request
            await exchange.head("204 No Content")
        elif path.startswith(("/chromium/", "/ours/")):
            self.met.add(path)
            await exchange.events()
            body = self.bodies[int(path.rpartition("/")[2])]
            for start in range(0, len(body), self.piece):
                await exchange.send(body[start : start + self.piece])
                await trio.sleep(0)
        else:
            await exchange.head("404 Not Found")

    def id_on_return(self, client: str, index: int) -> str | None:
        return self.came_back[f"/{client}/{index}"].headers.get("last-event-id")


async def chromiums(browser: Browser, url: str, names: list[list[str]]) -> list[list[Event]]:
    await browser.open(url)
    await browser.run("arguments[0].forEach((names, index) => listen(index, names))", names)
    await browser.wait_until(f"finished == {len(names)}", within=50)
    results: list[Any] = json.loads(await browser.run("return JSON.stringify(results)"))
    for result in results:
        # It came back once (0), and stopped for good at 204 (2).
        assert result["states"] == [0, 2]
    return [[(name, data, id) for name, data, id in result["events"]] for result in results]


async def ours(url: str, numbers: Iterable[int]) -> list[list[Event]]:
    policy = ReconnectPolicy(delay=0, backoff=0, max_delay=0.02)
    results = []
    async with httpx.AsyncClient(trust_env=False) as client:
        for index in numbers:
            address = f"{url}/ours/{index}"
            async with EventSource(address, client=client, policy=policy) as source:
                results.append([(e.event or "", e.data, str(e.id or "")) async for e in source])
    return results


@asynccontextmanager
async def referee(bodies: list[bytes], piece: int) -> AsyncIterator[tuple[Referee, str, Browser]]:
    server = Referee(bodies, piece)
    async with over_tcp(server) as url, chromium() as browser:
        yield server, url, browser


def possible_names(body: bytes) -> list[str]:
    """Each event name that anybody could read here: a browser gives only those asked for."""
    lines = body.decode("utf-8", "replace").replace("\r", "\n").split("\n")
    values = [line.partition(":")[2] for line in lines]
    names = {"message", *values, *(value.removeprefix(" ") for value in values)}
    return sorted(names | {event[0] for event in interpret(body).events})


@pytest.mark.parametrize(
    ("bodies", "piece"),
    [
        pytest.param([vector.wire + SOON for vector in VECTORS], 2**20, id="the rules"),
        pytest.param([vector.wire + SOON for vector in VECTORS], 1, id="the rules, byte by byte"),
        pytest.param([body + SOON for body in random_bodies(400)], 2**20, id="at random"),
    ],
)
async def test_the_same_bytes_give_the_same_events(bodies: list[bytes], piece: int) -> None:
    async with referee(bodies, piece) as (server, url, browser):
        names = [possible_names(body) for body in bodies]
        theirs = await chromiums(browser, url, names)
        mine = await ours(url, range(len(bodies)))
    assert sum(map(len, theirs)) > len(bodies) // 2
    for index, body in enumerate(bodies):
        if not body.startswith(WRONG):
            assert mine[index] == theirs[index], body
            their_id = server.id_on_return("chromium", index)
            assert server.id_on_return("ours", index) == to_header(their_id), body


ONE = b"data: 1\n\nretry: 20\n\n"


def typed(content_type: str) -> Script:
    return status("200 OK", ONE, content_type=content_type)


def coded(name: str, body: bytes) -> Script:
    return status("200 OK", body, content_type="text/event-stream", content_encoding=name)


def redirected(code: int) -> Script:
    async def script(exchange: Exchange) -> None:
        await redirect(code, f"/stream{exchange.request.target}")(exchange)

    return script


#: Answers, and whether both clients take them for an event stream.
ANSWERS: dict[str, tuple[Script, bool]] = {
    "a stream": (typed("text/event-stream"), True),
    "UTF-8": (typed("text/event-stream; charset=utf-8"), True),
    "upper case": (typed("Text/Event-Stream;Charset=UTF-8"), True),
    "other parameter": (typed("text/event-stream; x=y"), True),
    "space": (typed("text/event-stream ; x=y"), True),
    "HTML": (typed("text/html"), False),
    "plain": (typed("text/plain"), False),
    "longer": (typed("text/event-streams"), False),
    "none": (status("200 OK", ONE), False),
    "gzip": (coded("gzip", gzip.compress(ONE)), True),
    "deflate": (coded("deflate", zlib.compress(ONE)), True),
    "no coding": (coded("none", ONE), True),
    "201": (status("201 Created", ONE, content_type="text/event-stream"), False),
    "204": (no_content, False),
    "205": (status("205 Reset Content"), False),
    "206": (status("206 Partial", ONE, content_type="text/event-stream"), False),
    "304": (status("304 Not Modified"), False),
    "400": (status("400 Bad Request"), False),
    "401": (status("401 Unauthorized"), False),
    "403": (status("403 Forbidden"), False),
    "404": (status("404 Not Found", ONE, content_type="text/event-stream"), False),
    "no location": (status("302 Found"), False),
    **{str(code): (redirected(code), True) for code in (301, 302, 303, 307, 308)},
}


class Answers(ScriptedServer):
    """Serves each of `ANSWERS` by its number, once to each client, and then 204."""

    def __init__(self) -> None:
        super().__init__(self.answer)
        self.scripts_by_path: dict[str, Script] = {}
        for index, (script, _) in enumerate(ANSWERS.values()):
            self.scripts_by_path[f"/chromium/{index}"] = script
            self.scripts_by_path[f"/ours/{index}"] = script
        self.met: set[str] = set()

    async def answer(self, exchange: Exchange) -> None:
        path = exchange.request.target
        if path == "/":
            await exchange.head(content_type="text/html")
            await exchange.send(PAGE)
        elif path in self.met:
            await exchange.head("204 No Content")
        else:
            self.met.add(path)
            await self.scripts_by_path.get(path, typed("text/event-stream"))(exchange)


async def test_the_same_answers_are_taken_and_refused() -> None:
    async with over_tcp(Answers()) as url, chromium() as browser:
        await browser.open(url)
        await browser.run(
            "for (let n = 0; n < arguments[0]; n += 1) listen(n, ['message'])", len(ANSWERS)
        )
        await browser.wait_until(f"finished == {len(ANSWERS)}", within=30)
        theirs = await browser.run("return results.map(result => result.events.length)")
        mine = []
        for index in range(len(ANSWERS)):
            try:
                [events] = await ours(url, [index])
            except (UpstreamStatusError, ContentTypeError):
                events = []
            mine.append(len(events))
    expected = [int(taken) for _, taken in ANSWERS.values()]
    assert dict(zip(ANSWERS, theirs, strict=True)) == dict(zip(ANSWERS, expected, strict=True))
    assert dict(zip(ANSWERS, mine, strict=True)) == dict(zip(ANSWERS, expected, strict=True))
