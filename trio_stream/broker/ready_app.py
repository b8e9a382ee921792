"""`ready_app`: an ASGI endpoint that says whether a process should be sent clients."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import trio

from ..checks import check_kind
from ..endpoints.whole_answer import answer_json
from .broker import Broker
from .contract.health import BrokerHealth

if TYPE_CHECKING:
    from ..transport.asgi import Receive, Scope, Send

__all__ = ["ReadyApp", "ready_app"]

#: In whole seconds, for whoever asks again by it.
_RETRY_AFTER = {"retry-after": "5"}


def ready_app(broker: Broker) -> ReadyApp:
    """An ASGI application that answers 200 while the broker's engine is there, and 503 while not.

    For a load balancer's or a container's readiness probe. The answer is ``{"reachable": true,
    "seconds_unreachable": 0.0}``, and nothing that clients should not see: why it is away, the log
    says, and `Broker.health`. Once the broker is closed it answers 503; to what is no GET or HEAD,
    405.
    """
    check_kind("broker", broker, Broker, "an open broker")
    return ReadyApp(broker)


@final
class ReadyApp:
    """The application that `ready_app` makes."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError("ready_app answers HTTP requests: mount it in an application")
        if scope["method"] not in ("GET", "HEAD"):
            await answer_json(send, 405, {"error": "ask by GET"}, {"allow": "GET, HEAD"})
            return
        health, head = self._health(), scope["method"] == "HEAD"
        told = {
            "reachable": health.reachable,
            "seconds_unreachable": round(health.seconds_unreachable, 3),
        }
        if health.reachable:
            await answer_json(send, 200, told, head=head)
        else:
            await answer_json(send, 503, told, _RETRY_AFTER, head=head)

    def _health(self) -> BrokerHealth:
        try:
            return self._broker.health()
        except trio.ClosedResourceError:
            return BrokerHealth(reachable=False)
