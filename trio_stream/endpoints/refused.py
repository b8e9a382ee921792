"""A request that an endpoint refuses, and the reading of its body within bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..transport.asgi import Receive

__all__ = ["RefusedError", "read_body"]


class RefusedError(Exception):
    """Answered with this status and reason, instead of what was asked for."""

    def __init__(self, status: int, reason: str, **headers: str) -> None:
        super().__init__(reason)
        self.status = status
        self.headers = headers


async def read_body(receive: Receive, max_bytes: int) -> bytearray:
    """All of a request's body; refused when it is larger, or its client leaves in the middle."""
    body = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise RefusedError(400, "the body is not complete")
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > max_bytes:
            raise RefusedError(413, f"a body is at most {max_bytes} bytes")
    return body
