"""Ready-made answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...transport.asgi import AsgiTransport

if TYPE_CHECKING:
    from ...transport.asgi import Receive, Scope, Send

__all__ = ["no_reconnect"]


async def no_reconnect(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer 204, as an ASGI app: a browser's EventSource that comes back stays away for good.

    "Clients will reconnect if the connection is closed; a client can be told to stop reconnecting
    using the HTTP 204 No Content response code", says the HTML standard.
    """
    if scope["type"] != "http":
        raise RuntimeError(f"no_reconnect answers HTTP requests, not a {scope['type']} scope")
    await AsgiTransport(scope, receive, send).answer(204, ((b"cache-control", b"no-store"),))
