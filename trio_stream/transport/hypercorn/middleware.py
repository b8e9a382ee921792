"""`StreamMiddleware`: the outermost wrapper, which offers Hypercorn's connection to the streams."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import trio

from ...checks import check_callable, check_flag, check_on_trio
from .connection import CONNECTION, find_connection
from .door import pass_on
from .http3_connection import find_http3
from .mending import mend
from .proof import Proof
from .signals import listen_in_worker

if TYPE_CHECKING:
    from ..asgi import Message, Receive, Scope, Send
    from .connection import HypercornConnection

__all__ = ["StreamMiddleware"]


class StreamMiddleware:
    """Gives the streams inside an app Hypercorn's connection: aborts, shutdown, direct writes.

    Wrap the whole app in it, outermost: ``app = StreamMiddleware(Starlette(...))``. Without it a
    stream inside a framework is portable, because it cannot see past the framework's ``send``.

    Args:
      app: any ASGI app.
      direct: whether streams may write past the middleware inside, once their first four chunks
        have been seen to pass all of it untouched. A middleware that leaves those alone and
        touches later ones cannot be seen: False is for that.
    """

    def __init__(
        self, app: Callable[[Scope, Receive, Send], Awaitable[None]], *, direct: bool = True
    ) -> None:
        check_callable("app", app, "takes scope, receive and send", takes=3, awaited=True)
        check_flag("direct", direct)
        self._app = app
        self._direct = direct

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.pass_to_app(scope, receive, send)

    def pass_to_app(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """What `__call__` awaits, which is a frame more in each idle stream."""
        if scope["type"] == "lifespan":
            on_trio = trio.lowlevel.in_trio_run()
            return (
                self._app(scope, receive, _listening(send)) if on_trio else _refuse(receive, send)
            )
        connection = find_connection(send) or find_http3(send) if scope["type"] == "http" else None
        if connection is None:
            return self._app(scope, receive, send)
        mend(connection)
        connection.proof = proof = Proof(enabled=self._direct)
        scope.setdefault("extensions", {})[CONNECTION] = connection

        outermost = _Outermost(connection, send)
        proof.outermost = outermost.send.__code__
        answer = self._app(scope, receive, outermost.send)
        return _until_released(connection, answer) if connection.is_http3 else answer


class _Outermost:
    """What sees a response's messages come out; a function in each call would be 200 bytes more."""

    __slots__ = ("_connection", "_send")

    def __init__(self, connection: HypercornConnection, send: Send) -> None:
        self._connection = connection
        self._send = send

    async def send(self, message: Message) -> None:
        connection = self._connection
        connection.proof.look(message)
        await pass_on(connection, self._send, message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            connection.withdraw()


async def _until_released(connection: HypercornConnection, answer: Awaitable[None]) -> None:
    try:
        await answer
    finally:
        connection.release()


async def _refuse(receive: Receive, send: Send) -> None:
    """Have a server not start that would answer each stream with a 500, and say what to do."""
    await receive()  # "lifespan.startup"
    try:
        check_on_trio()
    except RuntimeError as error:
        await send({"type": "lifespan.startup.failed", "message": str(error)})
        raise


def _listening(send: Send) -> Send:
    """A lifespan's ``send`` that has the worker hear signals once the app has started up."""

    async def send_on(message: Message) -> None:
        await send(message)
        if message["type"] == "lifespan.startup.complete":
            listen_in_worker()

    return send_on
