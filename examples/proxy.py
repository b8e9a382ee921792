"""An upstream's stream, passed on: one connection of yours to it for each client.

    hypercorn --worker-class trio examples.proxy:app     # then: curl -N http://127.0.0.1:8000

UPSTREAM names any stream to pass on: server-sent events (names and ids are kept), JSON, lines,
or text. Without it the upstream is this very server's /upstream. When curl is stopped, the
request to the upstream is aborted; when the upstream answers with an error, the client gets a 502.

Known limits: over TLS or a Unix socket this server does not find itself, so there UPSTREAM must be
set. Redirects and logins are the httpx client's business, not shown here. A hundred clients are a
hundred upstream requests: to share one, publish what it says to a topic.
"""

import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import trio

from trio_stream import Stream, StreamApp, stream_app


@asynccontextmanager
async def lifespan(app: StreamApp) -> AsyncIterator[dict[str, Any]]:
    """One client for the server's whole life, in the state of every request."""
    async with httpx.AsyncClient() as client:
        yield {"client": client}


async def prices() -> AsyncIterator[dict[str, float]]:
    price = 100.0
    while True:
        yield {"price": round(price, 2)}
        price *= random.gauss(1, 0.004)
        await trio.sleep(0.25)


@stream_app(format="ndjson", lifespan=lifespan)
def upstream(stream: Stream) -> AsyncIterator[dict[str, float]]:
    """Something to pass on: a price that wanders, as JSON lines."""
    return prices()


def upstream_url(scope: Any) -> str:
    host, port = scope["server"]
    own = httpx.URL(scheme="http", host=host, port=port, path="/upstream")
    return os.environ.get("UPSTREAM", str(own))


def proxied(scope: Any) -> Stream:
    client = scope["state"]["client"]
    request = client.build_request("GET", upstream_url(scope))
    return Stream(client.send(request, stream=True), event="price")


async def app(scope: Any, receive: Any, send: Any) -> None:
    # `upstream` is a whole app: it also runs the lifespan.
    answer = proxied(scope) if scope.get("path") == "/" else upstream
    await answer(scope, receive, send)
