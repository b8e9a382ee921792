"""The apps of the transport tests: a stream for every kind of producer; each leaves notes.

A path names the producer, the query its arguments and the stream's keywords:
`/flood?size=1000&stall_timeout=1`. The notes are lines of JSON in the file that $NOTES names, so
that a test can read them when the server has ended.
"""

import gc
import inspect
import itertools
import json
import os
import random
import time
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import httpx
import trio

from tests.support.tasks import all_tasks
from trio_stream import ServerSentEvent, Stream, StreamMiddleware
from trio_stream.stream import apart

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


NOTES = os.open(os.environ["NOTES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def note(what: str, **facts: object) -> None:
    line = json.dumps({"what": what, "at": time.monotonic(), **facts})
    os.write(NOTES, f"{line}\n".encode())


# The producers.


async def flood(stream: Stream, size: int = 1000, to: int | None = None) -> None:
    """As much as the client takes, numbered from 0."""
    for number in itertools.count() if to is None else range(to):
        await stream.send(f"{number} ".ljust(size, "x"))


async def ticks(stream: Stream, every: float = 0.05) -> None:
    """The time, again and again: the receiver can tell how late it comes."""
    while True:
        await stream.send(time.monotonic())
        await trio.sleep(every)


async def quiet(stream: Stream) -> None:
    await trio.sleep_forever()


async def count(stream: Stream, to: int = 3, every: float = 0) -> None:
    for number in range(to):
        await stream.send(number)
        await trio.sleep(every)


async def fail(stream: Stream, after: int = 3, every: float = 0.01) -> None:
    await count(stream, after, every)
    raise ZeroDivisionError("the producer's own")


async def burst(stream: Stream, to: int = 20) -> None:
    """Many events at once, so that they wait in the channel; then nothing."""
    for number in range(to):
        stream.send_nowait(number)
    await trio.sleep_forever()


async def together(stream: Stream, to: int = 20) -> None:
    """Many events in one write; then nothing."""
    await stream.send_many(range(to))
    await trio.sleep_forever()


async def last_words(stream: Stream) -> None:
    """Finishes in its own time after the server has begun to shut down."""
    await stream.draining.wait()
    await trio.sleep(0.1)
    await stream.send("last words")


LET_GO = trio.Event()


async def held(stream: Stream) -> None:
    """Ignores its cancellation until somebody asks for /release."""
    with trio.CancelScope(shield=True):
        await LET_GO.wait()


async def which(stream: Stream) -> None:
    """The first events on the regular way; then whether it is direct, in as many events as that."""
    for _ in range(5):
        await stream.send("first")
        await trio.sleep(0.05)
    await stream.send("direct" if stream._state.transport.direct else "portable")
    await stream.send("last")


async def mixture(stream: Stream, events: int = 1000) -> None:
    """Numbered events of all sizes by both ways of sending, sometimes waiting for others."""
    choose = random.Random(events)
    for number in range(events):
        size = choose.choice([0, 1, 10, 10, 10, 100, 100, 1000, 10_000])
        data = f"{number} {size} " + "x" * size
        if choose.random() < 0.5:
            await stream.send(data)
            continue
        try:
            stream.send_nowait(data)
        except trio.WouldBlock:
            await stream.send(data)
        if choose.random() < 0.1:
            await trio.sleep(0.001)


PRODUCERS: dict[str, Callable[..., Awaitable[None]]] = {
    f"/{producer.__name__}": producer
    for producer in (
        flood, ticks, quiet, count, fail, burst, together, last_words, held, which, mixture
    )
}  # fmt: skip


async def refuse() -> None:
    raise httpx.ConnectError("the upstream of a stream that is answered with 502")


async def fetch(port: int) -> httpx.Response:
    """An endless response of an upstream's, to be relayed."""
    client = httpx.AsyncClient(verify=False, timeout=None)
    request = client.build_request("GET", f"http://127.0.0.1:{port}/")
    return await client.send(request, stream=True)


def value_of(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def make_stream(scope: Message) -> Stream:
    given = {name: value_of(text) for name, text in parse_qsl(scope["query_string"].decode())}
    if scope["path"] == "/refused":
        return Stream(refuse())
    if scope["path"] == "/proxy":
        return Stream(fetch(given.pop("port")), **given)
    producer = PRODUCERS[scope["path"]]
    names = inspect.signature(producer).parameters & given.keys()
    arguments = {name: given.pop(name) for name in names}

    async def produce(stream: Stream) -> None:
        note("begun", path=scope["path"])
        try:
            await producer(stream, **arguments)
        finally:
            note(
                "finally",
                path=scope["path"],
                outcome=stream.outcome,
                events=stream.statistics().events,
                transport=type(stream._state.transport).__name__,
            )

    given.setdefault("hold_headers", False)  # the tests wait for the head, also of quiet ones
    if given.pop("goodbye", None):
        given["farewell_event"] = ServerSentEvent({"type": "error"})
    if given.pop("pong", None):
        given["ping_event"] = lambda stream: ServerSentEvent(stream.statistics().events)
    return Stream(produce, **given)


async def lifespan(receive: Receive, send: Send) -> None:
    for step in ("startup", "shutdown"):
        await receive()
        note(f"lifespan.{step}")
        await send({"type": f"lifespan.{step}.complete"})


async def state(send: Send) -> None:
    """What the process holds: a test looks at it before and after."""
    gc.collect()
    status = Path("/proc/self/status").read_text()
    (resident,) = (line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))
    facts = {
        "pid": os.getpid(),
        "tasks": len(all_tasks()),
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "rss": int(resident) * 1024,
        "objects": len(gc.get_objects()),
        "stream buffers": sum(type(thing).__name__ == "StreamBuffer" for thing in gc.get_objects()),
    }
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(facts).encode()})


async def direct(scope: Message, receive: Receive, send: Send) -> None:
    """Streams served bare: they find Hypercorn's connection by themselves."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    elif scope["path"] == "/state":
        await state(send)
    elif scope["path"] == "/release":
        LET_GO.set()
        await state(send)
    else:
        if scope["path"].startswith("/late/"):  # an endpoint that has something to do before
            await trio.sleep(0.2)
            scope["path"] = scope["path"].removeprefix("/late")
        stream = make_stream(scope)
        try:
            await stream(scope, receive, send)
        finally:
            note("returned", path=scope["path"], outcome=stream.outcome)


async def by_chance(scope: Message, receive: Receive, send: Send) -> None:
    """Streams as users have them: in their times there is chance."""
    apart.chance = random.random
    await direct(scope, receive, send)


async def portable(scope: Message, receive: Receive, send: Send) -> None:
    """The same behind a `send` of its own, through which no stream can see."""

    async def own_send(message: Message) -> None:
        await send(message)

    await direct(scope, receive, own_send)


async def deaf(scope: Message, receive: Receive, send: Send) -> None:
    """As if Hypercorn did not notice that a client leaves."""
    await direct(scope, receive if scope["type"] == "lifespan" else hear_nothing, send)


async def hear_nothing() -> Message:
    await trio.sleep_forever()
    raise AssertionError


under_middleware = StreamMiddleware(portable)
directly_under_middleware = StreamMiddleware(direct)
