"""Small ASGI apps for the tests of the test helpers: none of this needs trio_stream."""

import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import trio

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


async def hello(scope: Message, receive: Receive, send: Send) -> None:
    """Says hello, its process and the protocol; /sleep never ends by itself, /fail raises."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    if scope["path"] == "/fail":
        raise RuntimeError("failing as asked")
    if scope["path"] == "/sleep":
        await trio.sleep_forever()
    body = f"hello from {os.getpid()} over {scope['http_version']}"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body.encode()})


async def lifespan(receive: Receive, send: Send) -> None:
    for step in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{step}.complete"})


PAGE = b"""<!doctype html><title>a page</title><p id=text>loading</p>
<script>setTimeout(() => { text.textContent = "ready"; console.error("seen") }, 100)</script>"""


async def page(scope: Message, receive: Receive, send: Send) -> None:
    """An HTML page whose script changes it; anything but / is a 404."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    status, body = (200, PAGE) if scope["path"] == "/" else (404, b"")
    headers = [(b"content-type", b"text/html")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
