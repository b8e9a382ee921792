"""What the clients are pointed at: streams that end early, fail, refuse, or may be resumed."""

from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import trio

from tests.clients.parts import ANSWER, RUN
from trio_stream import (
    Broker,
    ResumableRun,
    ServerSentEvent,
    Stream,
    StreamLimits,
    last_event_id,
    open_broker,
)

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

ERROR = ServerSentEvent({"type": "error", "errorText": "the server is restarted"})
HTML = {"content-type": "text/html"}

#: Where npm has put htmx 4, and a page that has what comes in it.
HTMX = Path(__file__).parent / "node_modules" / "htmx.org" / "dist"
HTMX_PAGE = """<!doctype html><script src="/htmx.js"></script><script src="/ext/hx-sse.js"></script>
<div id="last" hx-sse:connect="{url}"></div>"""

LIMITS = StreamLimits(total=1, refuse="retry", retry_after=0.4)

broker: Broker


async def ticks(stream: Stream) -> None:
    """Numbers, from where the client was."""
    number = int(stream.last_event_id or 0)
    while True:
        number += 1
        await stream.send(number, id=number)
        await stream.wait(0.05)


async def half_an_answer(stream: Stream) -> None:
    for part in ANSWER[:3]:
        await stream.send(part)
    await trio.sleep_forever()


async def fails(stream: Stream) -> None:
    for part in ANSWER[:3]:
        await stream.send(part)
    await stream.wait(0.1)
    raise RuntimeError("half way")


async def half_a_run() -> AsyncIterator[object]:
    for event in RUN[:3]:
        yield event
    await trio.sleep(0.1)
    raise RuntimeError("half way")


async def answer(run: ResumableRun) -> None:
    for part in ANSWER:
        await run.send(part)


async def words(run: ResumableRun) -> None:
    for word in ("one", "two"):
        await run.send({"data": {"word": word}}, event="next")


def run_of(scope: Message, producer: Any, **notices: Any) -> Stream:
    key = scope["query_string"].decode()
    return Stream(broker.resumable(key, producer, after=last_event_id(scope), **notices))


def stream_for(scope: Message) -> Stream:
    match scope["path"]:
        case "/ticks":
            return Stream(ticks, retry=1)
        case "/short":
            return Stream(ticks, max_duration=0.5, retry=200)
        case "/short-proper":
            return Stream(ticks, max_duration=0.5, retry=200, farewell="proper")
        case "/one-at-a-time":
            return Stream(ticks, retry=200, limits=LIMITS)
        case "/refused":
            return Stream([LIMITS.statistics().refused], format="text")
        case "/half":
            return Stream(half_an_answer, max_duration=0.5)
        case "/half-proper":
            return Stream(half_an_answer, max_duration=0.5, farewell="proper")
        case "/half-told":
            told = {"farewell": "proper", "farewell_event": ERROR}
            return Stream(half_an_answer, max_duration=0.5, **told)  # type: ignore[arg-type]
        case "/fails":
            return Stream(fails, error_event=ERROR, error_end="proper")
        case "/run":
            return Stream(RUN)
        case "/run-half":
            return Stream(RUN[:3])
        case "/run-done":
            return Stream([*RUN, "[DONE]"])
        case "/run-fails":
            return Stream(half_a_run())
        case "/answer":
            return run_of(scope, answer)
        case "/answer-without-done":
            return run_of(scope, answer, done=None)
        case "/words":
            return run_of(scope, words)
        case "/words-complete":
            return run_of(scope, words, done=ServerSentEvent("", event="complete"))
        case "/htmx":
            page = HTMX_PAGE.format(url=scope["query_string"].decode())
            return Stream([page], format="text", headers=HTML)
        case "/htmx.js" | "/ext/hx-sse.js":
            script = (HTMX / scope["path"][1:]).read_text()
            return Stream([script], format="text", headers={"content-type": "text/javascript"})
    return Stream(["a page"], format="text", headers=HTML)


async def direct(scope: Message, receive: Receive, send: Send) -> None:
    global broker
    if scope["type"] != "lifespan":
        await stream_for(scope)(scope, receive, send)
        return
    async with AsyncExitStack() as stack:
        await receive()
        broker = await stack.enter_async_context(open_broker())
        await send({"type": "lifespan.startup.complete"})
        await receive()
    await send({"type": "lifespan.shutdown.complete"})


async def portable(scope: Message, receive: Receive, send: Send) -> None:
    """The same behind a `send` of its own, through which no stream can see."""

    async def own_send(message: Message) -> None:
        await send(message)

    await direct(scope, receive, send if scope["type"] == "lifespan" else own_send)
