"""From an ASGI call to a running stream: what is refused, and which transport is used."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import trio

from ..transport.hypercorn import choose_transport

if TYPE_CHECKING:
    from ..transport.asgi import AsgiTransport, Receive, Scope, Send
    from ..transport.hypercorn import HypercornConnection
    from .lifetime import Lifetime

__all__ = ["last_event_id", "serve_asgi"]


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
    release = options.limits.admit(scope) if options.limits is not None else None
    if options.limits is not None and release is None:
        await stream._discard()
        await options.limits.answer(transport)
        return
    try:
        await _answer(stream, scope, transport, connection)
    finally:
        if release is not None:
            release()


async def _answer(
    stream: Lifetime,
    scope: Scope,
    transport: AsgiTransport,
    connection: HypercornConnection | None,
) -> None:
    if scope["method"] == "HEAD":
        # "The HEAD method is identical to GET except that the server MUST NOT send content"
        # (RFC 9110, 9.3.2): the headers are known without running the producer.
        await stream._discard()
        await transport.answer(stream._options.status, stream._options.headers)
    else:
        await stream._serve(transport, connection)


def last_event_id(scope: Scope) -> str | None:
    """The id of the last event that a client has received, from its request's ASGI scope, or None.

    What `Stream.last_event_id` is, for who needs it before there is a stream::

        Stream(broker.subscribe("news", after=last_event_id(request.scope)))

    It is the ``Last-Event-ID`` header, which a reconnecting EventSource sends by itself; without
    one, the query parameter ``last_event_id`` or ``lastEventId``, for clients that cannot set
    headers. It comes from the client: any text, of any length.
    """
    for name, value in scope["headers"]:
        if name.lower() == b"last-event-id":
            # "encoded as UTF-8", says the HTML standard of this one header.
            header: str = value.decode("utf-8", "replace")
            return header
    query: dict[str, list[str]] = parse_qs(scope.get("query_string", b"").decode("latin-1"))
    for name in ("last_event_id", "lastEventId"):
        if name in query:
            return query[name][0]
    return None
