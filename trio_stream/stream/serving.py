"""From an ASGI call to a running stream: what is refused, and which transport is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from ..transport.hypercorn import choose_transport

if TYPE_CHECKING:
    from ..transport.asgi import Receive, Scope, Send
    from .lifetime import Lifetime

__all__ = ["serve_asgi"]


async def serve_asgi(stream: Lifetime, scope: Scope, receive: Receive, send: Send) -> None:
    """Serve ``stream`` as the answer to one request."""
    if not trio.lowlevel.in_trio_run():
        raise RuntimeError(
            "trio_stream runs on Trio: start the server with hypercorn --worker-class trio"
        )
    if stream._used:
        raise RuntimeError("a Stream can be served or entered once: make one for each request")
    stream._used = True
    if scope["type"] != "http":
        await stream._discard()
        raise RuntimeError(
            f"a Stream answers HTTP requests, not a {scope['type']} scope"
            + (": an app that serves many is made by @stream_app" * (scope["type"] == "lifespan"))
        )
    stream._scope = scope
    options = stream._options
    transport, connection = choose_transport(scope, receive, send, options.stall_timeout)
    if scope["method"] == "HEAD":
        # "The HEAD method is identical to GET except that the server MUST NOT send content"
        # (RFC 9110, 9.3.2): the headers are known without running the producer.
        await stream._discard()
        await transport.answer(options.status, options.headers)
        return
    await stream._serve(transport, connection)
