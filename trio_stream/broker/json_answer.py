"""How the endpoints that come with a broker answer: with an object, which no cache keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from ..transport.asgi import Send

__all__ = ["answer_json"]

_json = msgspec.json.Encoder().encode


async def answer_json(
    send: Send,
    status: int,
    content: object,
    headers: dict[str, str] | None = None,
    *,
    head: bool = False,
) -> None:
    """Send a whole response, ``content`` as JSON; to a HEAD without it."""
    body = _json(content)
    named = {
        "content-type": "application/json",
        "content-length": str(len(body)),
        "cache-control": "no-store",
        **(headers or {}),
    }
    pairs = [(name.encode(), value.encode()) for name, value in named.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": b"" if head else body})
