"""An upstream's stream, passed on: at / with a request to it for each client, at /shared with one.

    hypercorn --worker-class trio examples.proxy:app     # then: curl -N http://127.0.0.1:8000

UPSTREAM names any stream to pass on: server-sent events (names and ids are kept), JSON, lines,
or text. Without it the upstream is this very server's /upstream. When curl is stopped, the
request to the upstream is aborted; when the upstream answers with an error, the client gets a 502.
At /shared each line is an event of a topic, whose source makes one request while it has clients.

Known limits: over TLS or a Unix socket this server does not find itself, so there UPSTREAM must be
set. Redirects and logins are the httpx client's business, not shown here. With `memory://` each
worker has a request of its own.
"""

import os
import random
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any

import httpx
import trio

from trio_stream import SourceRun, Stream, StreamApp, last_event_id, open_broker, stream_app


@asynccontextmanager
async def lifespan(app: StreamApp) -> AsyncGenerator[dict[str, Any]]:
    """One client for the server's whole life, in the state of every request."""
    async with httpx.AsyncClient() as client, open_broker("memory://") as broker:
        urls: set[str] = set()  # where its clients find this server

        async def lines(run: SourceRun) -> None:
            with suppress(httpx.TransportError):  # it is asked again
                async with client.stream("GET", next(iter(urls))) as response:
                    said: Any = response.raise_for_status().aiter_lines()
                    async with aclosing(said):
                        async for line in said:
                            await run.send(line, event="price")

        broker.source("prices", lines, linger=5)
        yield {"client": client, "broker": broker, "urls": urls}


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


def shared(scope: Any) -> Stream:
    scope["state"]["urls"].add(upstream_url(scope))
    return Stream(scope["state"]["broker"].subscribe("prices", after=last_event_id(scope)))


async def app(scope: Any, receive: Any, send: Any) -> None:
    # `upstream` is a whole app: it also runs the lifespan.
    answer = {"/": proxied, "/shared": shared}.get(scope.get("path", ""))
    await (answer(scope) if answer else upstream)(scope, receive, send)
