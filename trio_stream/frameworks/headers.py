"""The headers, and the status, that a framework adds to a response, put onto a stream's own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..transport.asgi import Message, Send

__all__ = ["adding_headers"]

#: Each of these lines is a value of its own: one more does not replace the others.
_ADD_UP = frozenset({b"set-cookie", b"vary"})

_NO_OTHER: Mapping[int, int] = MappingProxyType({})


def adding_headers(
    send: Send, added: Iterable[tuple[bytes, bytes]], statuses: Mapping[int, int] = _NO_OTHER
) -> Send:
    """A ``send`` that adds headers to the response's start, in place of those of the same name.

    And another status, where one is put down for that which the stream answers with.
    """

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            extra = [(name.lower(), value) for name, value in added]
            replaced = {name for name, _ in extra} - _ADD_UP
            own = [pair for pair in message["headers"] if pair[0] not in replaced]
            message["headers"] = own + extra
            message["status"] = statuses.get(message["status"], message["status"])
        await send(message)

    return send_with_headers
