"""`inspector_app`: an ASGI application that shows a process's streams and topics, live."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, final

from ..broker import Broker
from ..checks import check_callable, check_flag, check_kind
from ..endpoints.permission import allows
from ..endpoints.refused import RefusedError, read_body
from ..endpoints.whole_answer import answer, answer_json
from ..stream import Refusal
from ..stream.answers.clients import list_header
from .actions import Action, End, act, end_here, read_action
from .feed import feed_of
from .guard import SAFE, check_site, new_nonce, page_policy
from .lookout import Lookout
from .others import OtherProcesses
from .page import page_with
from .process import process_name
from .scene import Scene
from .streams import StreamScene
from .topics import TopicScene
from .view import View, read_view

if TYPE_CHECKING:
    from ..transport.asgi import Receive, Scope, Send

__all__ = ["InspectorApp", "inspector_app"]

#: Whether a request may see, or, if it is a POST, act.
Authorize = Callable[[Any], bool | Awaitable[bool]]

_MOST_BYTES = 2**20

_NOT_ALLOWED = "not allowed to see this, or to do that"


def inspector_app(
    *, authorize: Authorize, broker: Broker | None = None, payloads: bool = False
) -> InspectorApp:
    """An ASGI application: a page that shows this process's streams, live, and can end them.

    All of it has one address, wherever it is mounted: a GET is answered with the page, or, if it
    accepts ``text/event-stream``, with the stream that feeds it; a POST acts.

    Args:
      authorize: ``(scope) -> bool``, sync or async. Nobody is let in for whom it does not return
        True. It sees the ASGI scope of each request, with its headers; ``scope["method"]`` is
        ``"POST"`` for who wants to end a stream, stop a run or publish. While a page is open it is
        asked again each minute.
      broker: an open one, whose topics and resumable runs are shown, too; with it a page can
        publish. Where processes share its log, each that has made an inspector with it is shown to
        the others.
      payloads: whether the page shows what events of topics say, besides their names, ids and
        sizes, and the last bytes of the stream that is looked at.

    It answers 403 where that is refused, and to what another site's page sends; 400 to what it
    does not understand, 404 for what is not there any more, 409 to what is for another process than
    the one that was reached, 405, 413, 415, and 503 when the broker could not do it.
    """
    what = "takes a scope, and returns True or False"
    check_callable("authorize", authorize, what, takes=1, awaited=True)
    check_kind("broker", broker, Broker, "an open broker or None", or_none=True)
    check_flag("payloads", payloads)
    return InspectorApp(authorize, broker, payloads)


@final
class InspectorApp:
    """The application that `inspector_app` makes."""

    def __init__(self, authorize: Authorize, broker: Broker | None, payloads: bool) -> None:
        self._authorize = authorize
        self._broker = broker
        self._payloads = payloads
        self._lookout = Lookout()
        shared = broker is not None and broker.engine.shared
        self._others = OtherProcesses(broker, self._lookout) if broker and shared else None

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
        if method == "GET" and b"text/event-stream" in list_header(scope, b"accept").lower():
            await self._feed(scope, receive, send)
            return
        if not await allows(self._authorize, scope):
            raise RefusedError(403, _NOT_ALLOWED)
        if method == "POST":
            action = read_action(await read_body(receive, _MOST_BYTES))
            await answer_json(send, 200, await self._act(action), SAFE)
        else:
            await _answer_page(send, head=method == "HEAD")

    async def _act(self, action: Action) -> dict[str, object]:
        if not isinstance(action, End):
            return await act(action, self._broker)
        if self._others is not None and action.process != process_name():
            return await self._others.end(action)
        return end_here(action)

    async def _feed(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with the feed, which asks by itself who is there, and each minute again."""
        view = read_view(scope.get("query_string", b""))
        about = {
            "process": process_name(),
            "broker": self._broker is not None,
            "payloads": self._payloads,
        }
        with self._watched(view):
            await feed_of(self._scene(view), about, self._verdict)(scope, receive, send)

    async def _verdict(self, scope: Scope) -> bool | Refusal:
        refusal = Refusal(403, {"error": _NOT_ALLOWED}, headers=SAFE)
        return await allows(self._authorize, scope) or refusal

    def _watched(self, view: View) -> AbstractContextManager[None]:
        return self._lookout.watched() if view.show == "streams" else nullcontext()

    def _scene(self, view: View) -> Scene:
        if view.show == "streams":
            return StreamScene(self._lookout, view, self._others, payloads=self._payloads)
        if self._broker is None:
            raise RefusedError(404, "this inspector has no broker")
        return TopicScene(self._broker, view, self._others, payloads=self._payloads)


async def _answer_page(send: Send, *, head: bool) -> None:
    nonce = new_nonce()
    headers = {
        **SAFE,
        "content-type": "text/html; charset=utf-8",
        "content-security-policy": page_policy(nonce),
        "vary": "accept",
    }
    await answer(send, 200, page_with(nonce), headers, head=head)
