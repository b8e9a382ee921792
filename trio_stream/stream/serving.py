"""From an ASGI call to a running stream: what is refused, and which transport is used."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import trio

from ..transport.hypercorn import choose_transport
from .lifetime import Lifetime
from .state import StreamState

if TYPE_CHECKING:
    from ..transport.asgi import Receive, Scope, Send

__all__ = ["last_event_id", "serve_asgi"]


async def serve_asgi(state: StreamState, scope: Scope, receive: Receive, send: Send) -> None:
    """Serve a stream as the answer to one request."""
    await _take_up(state, scope)
    options = state.options
    transport, connection = choose_transport(scope, receive, send, options.stall_timeout)
    release = options.limits.admit(scope) if options.limits is not None else None
    if options.limits is not None and release is None:
        await state.close_source()
        await options.limits.answer(transport)
        return
    try:
        if scope["method"] == "HEAD":
            # "The HEAD method is identical to GET except that the server MUST NOT send content"
            # (RFC 9110, 9.3.2): the headers are known without running the producer.
            await state.close_source()
            await transport.answer(options.status, options.headers)
        else:
            await Lifetime(state).run(transport, connection)
    finally:
        if release is not None:
            release()


async def _take_up(state: StreamState, scope: Scope) -> None:
    if not trio.lowlevel.in_trio_run():
        raise RuntimeError(
            "trio_stream runs on Trio: start the server with hypercorn --worker-class trio"
        )
    state.use_once("request")
    if scope["type"] != "http":
        await state.close_source()
        raise RuntimeError(
            f"a Stream answers HTTP requests, not a {scope['type']} scope"
            + (": an app that serves many is made by @stream_app" * (scope["type"] == "lifespan"))
        )
    state.scope = scope


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
