"""The four ways to stream, live on one page, each beside the lines that make it.

    hypercorn --worker-class trio examples.demo:app     # then open http://127.0.0.1:8000

Known limits: over HTTP/1.1 a browser opens six connections to one server, for all its tabs, so the
page lets go of its five while it is hidden. What is said reaches the pages that this process
serves, and only those that are there: for more processes, or for what was missed, use a topic.
Over TLS or a Unix socket the fourth needs an upstream of yours (UPSTREAM, see examples/proxy.py).
"""

import html
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from time import time
from typing import Any
from weakref import WeakSet

import trio

from examples.overview import app as server
from examples.overview import ended
from examples.proxy import proxied, upstream
from trio_stream import ServerSentEvent, Stream, last_event_id, no_reconnect, stream_app

PROJECT = Path(__file__).parents[1]
LINES = """A stream is a loop that happens to have a reader. It waits when the reader is slow and
ends when the reader leaves; what it had open is closed by then, in its own task. Nothing polls,
nothing is left running, and nobody has to clean up."""


@stream_app(event="tick", retry=2000, on_end=ended)
async def callback(stream: Stream) -> None:
    last = int(stream.last_event_id or 0)
    for number in range(last + 1, last + 11):
        await stream.send({"time": time()}, id=number)
        await stream.wait(1)


def value(scope: Any) -> Stream:
    stream = Stream(event="said", on_end=ended)
    listeners.add(stream)
    return stream


def say(text: str) -> None:
    for stream in list(listeners):
        with suppress(*GONE_OR_BEHIND):
            stream.send_nowait(text)


async def words(after: int) -> AsyncIterator[ServerSentEvent]:
    for number, word in enumerate(LINES.split(), 1):
        if number > after:
            yield ServerSentEvent(word, event="word", id=str(number))
            await trio.sleep(0.12)
    yield ServerSentEvent("that was all", event="done")


def automatic(scope: Any) -> Stream:
    seen = int(last_event_id(scope) or 0)
    return Stream(words(seen), on_end=ended)


listeners: WeakSet[Stream] = WeakSet()
GONE_OR_BEHIND = (trio.ClosedResourceError, trio.BrokenResourceError, trio.WouldBlock)


def page(scope: Any) -> Stream:
    """The page is a stream, too: of one piece, and with a content type of its own."""
    return Stream([PAGE], format="text", headers={"content-type": "text/html; charset=utf-8"})


async def hear(scope: Any, receive: Any, send: Any) -> None:
    """Say what somebody posted, up to a hundred characters of it, and answer 204."""
    message = await receive()
    if text := message.get("body", b"").decode(errors="replace").strip():
        say(text[:100])
    await no_reconnect(scope, receive, send)


def file(scope: Any) -> Stream:
    """What the page links to: this project's pages and its examples, as they are."""
    return Stream([(PROJECT / scope["path"][1:]).read_text()], format="text")


PATTERNS = ("*.md", "docs/*.md", "examples/*.py")
FILES = {f"/{path.relative_to(PROJECT)}" for like in PATTERNS for path in PROJECT.glob(like)}
ANSWERS = {"/": page, "/value": value, "/automatic": automatic, "/proxied": proxied}
# A path of None is the lifespan, in which `upstream` opens the HTTP client.
APPS = {"/callback": callback, "/say": hear, "/upstream": upstream, None: upstream}
APPS["/server"] = server


async def app(scope: Any, receive: Any, send: Any) -> None:
    path = scope.get("path")
    answer: Any
    if path in ANSWERS:
        answer = ANSWERS[path](scope)
    elif path in APPS:
        answer = APPS[path]
    elif path in FILES:
        answer = file(scope)
    else:
        answer = Stream(["There is nothing here.\n"], format="text", status=404)
    await answer(scope, receive, send)


def with_code(text: str) -> str:
    """Put into the page what it shows beside each stream: the lines above, as they are."""
    names = ("demo", "proxy", "overview")
    code = "".join((PROJECT / f"examples/{name}.py").read_text() for name in names)

    def lines_of(name: re.Match[str]) -> str:
        pattern = rf"^(@.*\n)?(async )?def {name[1]}\(.*(\n(?!\n\n).*)*"
        found = re.search(pattern, code, re.MULTILINE)
        assert found, f"there is no {name[1]} to show"
        return html.escape(found[0].rstrip())

    return re.sub(r"{{(\w+)}}", lines_of, text)


PAGE = with_code((PROJECT / "examples/pages/demo.html").read_text())
