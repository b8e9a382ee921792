"""The proof that nothing between a stream and Hypercorn touches the stream's bytes.

A stream that writes to the socket itself goes past every middleware. That is right only where the
middleware would have passed the bytes on as they are, at once. So the first chunks go the regular
way, and the outermost wrapper, `StreamMiddleware`, looks whether those very objects come out with
no suspension between (so in the same task): then nothing compresses, rewrites, buffers or delays.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import CodeType

    from ..asgi import Message, Send
    from .connection import HypercornConnection

__all__ = ["NONE_BETWEEN", "Proof", "chunks_to_prove", "codings_in", "is_transparent"]

#: A response that says it is counted, or encoded by others, is not ours as it stands.
_TOUCHED = frozenset({b"content-length", b"transfer-encoding"})

#: Chunks that are looked at where a stream's `send` is Hypercorn's, or the outermost wrapper's.
NONE_BETWEEN = 1

#: Chunks that are looked at where there is something between.
_CHUNKS = 4

#: Statuses whose body, if there is one, the server does not send.
_WITHOUT_BODY = frozenset({204, 304})


class Proof:
    """What the outermost wrapper looks out for; one for each request under `StreamMiddleware`."""

    __slots__ = ("_expected", "codings", "enabled", "outermost", "seen", "touched")

    def __init__(self, *, enabled: bool) -> None:
        self.enabled: bool = enabled
        self._expected: bytes | None = None
        self.seen: bool = False
        self.touched: bool = False
        #: The content codings that the stream itself has named.
        self.codings: tuple[bytes, ...] = ()
        #: The code of the outermost wrapper's `send`.
        self.outermost: CodeType | None = None

    def expect(self, body: bytes) -> None:
        self._expected = body
        self.seen = False

    def stop(self) -> None:
        """Whatever comes out from now on has been held up on its way."""
        self._expected = None

    def look(self, message: Message) -> None:
        """Called by the outermost wrapper with each message that passes."""
        if message["type"] == "http.response.start":
            headers = [(bytes(name).lower(), value) for name, value in message.get("headers", ())]
            self.touched = (
                message["status"] in _WITHOUT_BODY
                or any(name in _TOUCHED for name, _ in headers)
                or codings_in(headers) != self.codings
            )
        elif self._expected is not None and message.get("body") is self._expected:
            self.seen = self.enabled and not self.touched


def codings_in(headers: Iterable[tuple[bytes, bytes]]) -> tuple[bytes, ...]:
    """The content codings that headers name, whose names are in lower case."""
    return tuple([bytes(value) for name, value in headers if name == b"content-encoding"])


def chunks_to_prove(connection: HypercornConnection, send: Send) -> int:
    """How many chunks have to be seen to come out untouched before others go past.

    `NONE_BETWEEN` where nothing is between. Else several, because the first of a stream is often
    but its `retry`: what a middleware does with data, or with the second message, is seen then.
    """
    proof: Proof | None = connection.proof
    if proof is None or getattr(send, "__code__", None) is proof.outermost:
        return NONE_BETWEEN if proof is None or proof.enabled else 0
    return _CHUNKS


async def is_transparent(
    connection: HypercornConnection, deliver: Callable[[Message], Awaitable[None]], body: bytes
) -> bool:
    """Send ``body``, one of the stream's first chunks, and tell whether it came out untouched."""
    message = {"type": "http.response.body", "body": body, "more_body": True}
    proof: Proof | None = connection.proof
    # A middleware may answer a HEAD as if it were a GET. The server sends no body then.
    has_body = connection.http.scope["method"] != "HEAD"
    if proof is None:  # no wrapper at all: `send` is Hypercorn's own
        await deliver(message)
        return has_body
    proof.expect(body)
    await _FirstStep(deliver(message), proof.stop)
    proof.stop()
    return proof.seen and has_body


class _FirstStep:
    """Awaits something, and calls ``suspended`` when it suspends for the first time."""

    def __init__(self, awaitable: Awaitable[None], suspended: Callable[[], None]) -> None:
        self._steps = awaitable.__await__()
        self._suspended = suspended

    def __await__(self) -> Generator[Any, Any, None]:
        return self

    def __iter__(self) -> _FirstStep:
        return self

    def __next__(self) -> Any:
        return self.send(None)

    def send(self, value: Any) -> Any:
        trap = self._steps.send(value)
        self._suspended()
        return trap

    def throw(self, *error: Any) -> Any:
        return self._steps.throw(*error)

    def close(self) -> None:
        self._steps.close()
