"""A server in the test's own process, and its clients, over each of the wires."""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from tests.serving.test_serve import serving
from tests.support.certificates import Certificate
from trio_stream.transport.asgi import Receive, Scope, Send

App = Callable[[Scope, Receive, Send], Awaitable[None]]

every_wire = pytest.mark.parametrize("wire", ["1.1", "1.1 tls", "1.0", "1.0 tls", "2", "2 tls"])


@asynccontextmanager
async def listening(
    app: App, *, wire: str, certificate: Certificate, **settings: Any
) -> AsyncIterator[int]:
    """A server of this app, by TLS where the wire's name says so; gives its port."""

    async def with_lifespan(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            for step in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{step}.complete"})
        else:
            await app(scope, receive, send)

    if "tls" in wire:
        settings["certfile"] = str(certificate.certfile)
        settings["keyfile"] = str(certificate.keyfile)
    async with serving(with_lifespan, bind="127.0.0.1:0", **settings) as binds:
        yield int(binds[0].rpartition(":")[2])


async def connect(
    port: int, *, wire: str, certificate: Certificate, newest: ssl.TLSVersion | None = None
) -> trio.abc.Stream:
    """A client's connection; its TLS may be held to an older version than both sides have."""
    stream: trio.abc.Stream = await trio.open_tcp_stream("127.0.0.1", port)
    if "tls" in wire:
        context = certificate.client_context(*["h2"] * wire.startswith("2"))
        if newest is not None:
            context.maximum_version = newest
        stream = trio.SSLStream(stream, context, server_hostname="localhost", https_compatible=True)
    return stream
