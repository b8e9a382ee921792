"""`inspector_app`: an ASGI application that shows the streams of its process, and ends them."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, final

from ..broker.json_answer import answer_json
from ..broker.refused import RefusedError, read_body
from ..checks import check_callable
from ..stream.clients import list_header
from .actions import act, read_action
from .feed import Picture, feed_of
from .guard import SAFE, check_site, new_nonce, page_policy
from .lookout import Lookout
from .pace import Pace
from .page import page_with
from .process import process_name
from .streams import picture_of_streams
from .view import View, read_view

if TYPE_CHECKING:
    from ..transport.asgi import Receive, Scope, Send

__all__ = ["InspectorApp", "inspector_app"]

#: Whether a request may see, or, if it is a POST, act.
Authorize = Callable[[Any], bool | Awaitable[bool]]

_MOST_BYTES = 2**20


def inspector_app(*, authorize: Authorize) -> InspectorApp:
    """An ASGI application: a page that shows this process's streams, live, and can end them.

    All of it has one address, wherever it is mounted: a GET is answered with the page, or, if it
    accepts ``text/event-stream``, with the stream that feeds it; a POST acts.

    Args:
      authorize: ``(scope) -> bool``, sync or async. Nobody is let in for whom it does not return
        True. It sees the ASGI scope of each request, with its headers; ``scope["method"]`` is
        ``"POST"`` for who wants to end a stream. A page that is open is asked for again each hour.

    It answers 403 where that is refused, and to what another site's page sends; 400 to what it
    does not understand, 404 for a stream that is not open any more, 409 to what is for another
    process than the one that was reached, 405, 413, 415.
    """
    check_callable("authorize", authorize, "takes a scope, and returns True or False")
    return InspectorApp(authorize)


@final
class InspectorApp:
    """The application that `inspector_app` makes."""

    def __init__(self, authorize: Authorize) -> None:
        self._authorize = authorize
        self._lookout = Lookout()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError("inspector_app answers HTTP requests: mount it in an application")
        try:
            await self._answer(scope, receive, send)
        except RefusedError as exc:
            await answer_json(send, exc.status, {"error": str(exc)}, {**SAFE, **exc.headers})

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = scope["method"]
        if method not in ("GET", "HEAD", "POST"):
            raise RefusedError(405, "look by GET, act by POST", allow="GET, HEAD, POST")
        check_site(scope)
        await self._check(scope)
        if method == "POST":
            action = read_action(await read_body(receive, _MOST_BYTES))
            await answer_json(send, 200, act(action), SAFE)
        elif b"text/event-stream" in list_header(scope, b"accept").lower():
            view = read_view(scope.get("query_string", b""))
            about = {"process": process_name()}
            with self._lookout.watched():
                await feed_of(partial(self._take, view), about)(scope, receive, send)
        else:
            await _answer_page(send, head=method == "HEAD")

    async def _check(self, scope: Scope) -> None:
        allowed = self._authorize(scope)
        if inspect.isawaitable(allowed):
            allowed = await allowed
        if allowed is not True:  # what is only true in an `if` may be a response, or a user
            raise RefusedError(403, "not allowed to see this, or to do that")

    async def _take(self, view: View, pace: Pace) -> Picture:
        look = await self._lookout.look()
        with pace:
            return picture_of_streams(look, view)


async def _answer_page(send: Send, *, head: bool) -> None:
    nonce = new_nonce()
    body = page_with(nonce)
    headers = {
        **SAFE,
        "content-type": "text/html; charset=utf-8",
        "content-length": str(len(body)),
        "content-security-policy": page_policy(nonce),
        "vary": "accept",
    }
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": 200, "headers": pairs})
    await send({"type": "http.response.body", "body": b"" if head else body})
