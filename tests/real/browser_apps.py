"""What the browser tests look at."""

import sys
from typing import Any

from trio_stream import ServerSentEvent, Stream, no_reconnect, stream_app


def events() -> Stream:
    async def produce(stream: Stream) -> None:
        await stream.send("unnamed")
        stream.event = "tick"
        await stream.send({"n": 1}, id=7)
        await stream.send("two\r\nlines")
        await stream.send("grüße ✓", id="ä")
        await stream.wait(1000)

    return Stream(produce)


def resumed(scope: Any) -> Any:
    """Three events from where the client was, and 204 once it has six."""
    last = int(dict(scope["headers"]).get(b"last-event-id", 0))
    if last >= 6:
        return no_reconnect
    numbers = range(last + 1, last + 4)
    return Stream([ServerSentEvent(n, event="count", id=str(n)) for n in numbers], retry=200)


async def pinged(stream: Stream) -> None:
    try:
        await stream.send("before")
        await stream.wait(1)
        await stream.send("after")
        await stream.wait(1000)
    finally:
        sys.stderr.write(f"/pinged ended: {stream.outcome}\n")


@stream_app(format="text", headers={"content-type": "text/html; charset=utf-8"})
async def page(stream: Stream) -> None:
    await stream.send("<!doctype html><link rel=icon href='data:,'><title>a page</title>")


async def app(scope: Any, receive: Any, send: Any) -> None:
    answers = {
        "/events": events,
        "/resumed": lambda: resumed(scope),
        "/only-retry": lambda: Stream([], retry=200),
        "/pinged": lambda: Stream(pinged, ping=0.2),
    }
    await answers.get(scope.get("path"), lambda: page)()(scope, receive, send)
