"""`publish_app`: an ASGI endpoint at which other programs publish, if they may."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, final
from urllib.parse import parse_qsl

import msgspec
import trio

from ..checks import check_callable, check_count, check_kind
from ..endpoints.permission import allows
from ..endpoints.refused import RefusedError, read_body
from ..endpoints.whole_answer import answer_json
from ..errors import BrokerError
from .broker import Broker

if TYPE_CHECKING:
    from ..transport.asgi import Receive, Scope, Send

__all__ = ["PublishApp", "publish_app"]

log: logging.Logger = logging.getLogger("trio_stream")

#: Whether a request may publish to a topic.
Authorize = Callable[[Any, str], bool | Awaitable[bool]]


class _Wanted(msgspec.Struct, forbid_unknown_fields=True):
    """What a request asks for, as JSON."""

    topic: str
    data: Any
    event: str | None = None
    key: str = ""
    once: str | None = None
    keep: bool = True
    but: str | None = None


def publish_app(broker: Broker, *, authorize: Authorize, max_bytes: int = 2**20) -> PublishApp:
    """An ASGI application that publishes what is posted to it.

    A POST with a ``topic`` in its query publishes its body as it is, text in UTF-8; ``event``,
    ``key``, ``once``, ``keep=false`` and ``but`` may be there, too. Without, the body is a JSON
    object of the same names, with ``data``. The answer is ``{"id": "..."}``.

    Args:
      broker: an open one.
      authorize: ``(scope, topic) -> bool``, sync or async. Nothing is published unless it returns
        True: without it, whoever reaches the address writes to every topic. It sees the ASGI scope
        of the request, with its headers, and is asked before anything is stored, and before the
        body is read where the topic is in the query.
      max_bytes: of a body.

    It answers 403 where that is refused, 400 to what cannot be published, 405, 413, and 503 when
    the broker could not store it.
    """
    check_kind("broker", broker, Broker, "an open broker")
    what = "takes a scope and a topic, and returns True or False"
    check_callable("authorize", authorize, what, takes=2, awaited=True)
    check_count("max_bytes", max_bytes)
    return PublishApp(broker, authorize, max_bytes)


@final
class PublishApp:
    """The application that `publish_app` makes."""

    def __init__(self, broker: Broker, authorize: Authorize, max_bytes: int) -> None:
        self._broker = broker
        self._authorize = authorize
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError("publish_app answers HTTP requests: mount it in an application")
        try:
            wanted = await self._allowed(scope, receive)
            await answer_json(send, 200, {"id": await self._publish(wanted)})
        except RefusedError as exc:
            await answer_json(send, exc.status, {"error": str(exc)}, exc.headers)

    async def _allowed(self, scope: Scope, receive: Receive) -> _Wanted:
        """What a request wants that it may; of one that may not, no body is read that need not."""
        if scope["method"] != "POST":
            raise RefusedError(405, "publish by POST", allow="POST")
        query = _query(scope["query_string"])
        if "topic" in query:
            await self._check(scope, query["topic"])
        wanted = self._decode(query, await read_body(receive, self._max_bytes))
        if "topic" not in query:
            await self._check(scope, wanted.topic)
        return wanted

    def _decode(self, query: dict[str, str], body: bytes | bytearray) -> _Wanted:
        try:
            if "topic" not in query:
                return msgspec.json.decode(body, type=_Wanted)
            given: dict[str, Any] = {"data": body.decode(), **query}
            return msgspec.convert(given, _Wanted, strict=False)
        except UnicodeDecodeError:
            raise RefusedError(400, "the body is not UTF-8") from None
        except RecursionError:
            raise RefusedError(400, "the body is nested too deep") from None
        except msgspec.MsgspecError as exc:
            raise RefusedError(
                400, f"{exc}; a topic may be in the query, and its data the body"
            ) from None

    async def _check(self, scope: Scope, topic: str) -> None:
        if not await allows(self._authorize, scope, topic):
            raise RefusedError(403, "not allowed to publish there")

    async def _publish(self, wanted: _Wanted) -> str:
        fields = msgspec.structs.asdict(wanted)
        topic, data = fields.pop("topic"), fields.pop("data")
        try:
            id: str = await self._broker.publish(topic, data, **fields)
            return id
        except (TypeError, ValueError) as exc:
            raise RefusedError(400, str(exc)) from None
        except (BrokerError, trio.ClosedResourceError) as exc:
            log.error("publish_app could not publish: %(error)s", {"error": exc, "topic": topic})
            text = "it may be stored, or not: publish it again, with the same once"
            raise RefusedError(503, text, **{"retry-after": "5"}) from None


def _query(query: bytes) -> dict[str, str]:
    """What a query says, each once: of two a proxy that checks them may have taken the other."""
    try:
        pairs = parse_qsl(query.decode(), keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        raise RefusedError(400, "the query is not UTF-8") from None
    except ValueError as exc:
        raise RefusedError(400, f"the query cannot be read: {exc}") from None
    named = dict(pairs)
    if "topic" in named:
        if len(named) < len(pairs):
            raise RefusedError(400, "the query says the same name twice")
        if "data" in named:
            raise RefusedError(400, "with a topic in the query, its data are the body")
    return named
