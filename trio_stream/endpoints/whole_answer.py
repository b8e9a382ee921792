"""How the endpoints that come with this package answer: at once, and with what no cache keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from ..transport.asgi import Send

__all__ = ["answer", "answer_json"]

_json = msgspec.json.Encoder().encode


async def answer(
    send: Send, status: int, body: bytes, headers: dict[str, str], *, head: bool = False
) -> None:
    """Send a whole response; to a HEAD without its body."""
    named = {"content-length": str(len(body)), "cache-control": "no-store", **headers}
    pairs = [(name.encode(), value.encode()) for name, value in named.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": b"" if head else body})


async def answer_json(
    send: Send,
    status: int,
    content: object,
    headers: dict[str, str] | None = None,
    *,
    head: bool = False,
) -> None:
    """Likewise with ``content`` as JSON."""
    named = {"content-type": "application/json", **(headers or {})}
    await answer(send, status, _json(content), named, head=head)
