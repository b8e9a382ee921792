"""Streams under real frameworks and middleware: which of them may be written past?

One app of many: the first segment of the path names it, the rest is what it sees.
"""

import gzip
from collections.abc import Callable
from typing import Any

import trio
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from trio_stream import Stream, StreamMiddleware
from trio_stream.frameworks.starlette import StreamResponse

from . import apps
from .apps import App, Message, Receive, Send


async def endpoint(request: Request) -> Stream:
    return apps.make_stream(request.scope)


async def plain(request: Request) -> Response:
    return PlainTextResponse("not a stream")


routes = [Route("/plain", plain)]
routes += [Route(path, endpoint) for path in apps.PRODUCERS]


def starlette(*middleware: Middleware) -> Starlette:
    return Starlette(routes=routes, middleware=middleware)


def fastapi() -> FastAPI:
    app = FastAPI()

    @app.get("/which")
    async def which(request: Request) -> StreamResponse:
        return StreamResponse(apps.make_stream(request.scope))

    return app


async def pass_on(request: Request, call_next: RequestResponseEndpoint) -> Response:
    return await call_next(request)


def wrapping(app: App, wrap: Callable[[Send], Send]) -> App:
    """A middleware that is nothing but a `send` of its own."""

    async def wrapped(scope: Message, receive: Receive, send: Send) -> None:
        await app(scope, receive, wrap(send))

    return wrapped


def passing(send: Send) -> Send:
    async def passed(message: Message) -> None:
        await send(message)

    return passed


def rewriting_first_chunk(send: Send) -> Send:
    seen = 0

    async def rewritten(message: Message) -> None:
        nonlocal seen
        if message["type"] == "http.response.body":
            seen += 1
            if seen == 1:
                message = {**message, "body": b": rewritten\n" + message["body"]}
        await send(message)

    return rewritten


def copying(send: Send) -> Send:
    """Passes on what is equal to what it got: it may just as well have been something else."""

    async def copied(message: Message) -> None:
        if "body" in message:
            message = {**message, "body": bytes(bytearray(message["body"]))}
        await send(message)

    return copied


def sleeping(send: Send) -> Send:
    async def slept(message: Message) -> None:
        await trio.sleep(0.001)
        await send(message)

    return slept


def sleeping_afterwards(send: Send) -> Send:
    """The chunk has gone out at once: nothing stands between."""

    async def slept(message: Message) -> None:
        await send(message)
        await trio.sleep(0.001)

    return slept


def buffering(send: Send) -> Send:
    """Holds each message back until the next one comes."""
    held: list[Message] = []

    async def buffered(message: Message) -> None:
        held.append(message)
        if len(held) > 1:
            await send(held.pop(0))
        if message["type"] == "http.response.body" and not message["more_body"]:
            await send(held.pop(0))

    return buffered


def adding_header(send: Send) -> Send:
    async def added(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"].append((b"x-added", b"yes"))
        await send(message)

    return added


#: The body of `/which` where it is portable.
WHICH = "retry: 3000\n" + 5 * "data: first\n\n" + "data: portable\n\ndata: last\n\n"


def rewriting_later(send: Send) -> Send:
    """Leaves the first three messages of a body alone."""
    seen = 0

    async def rewritten(message: Message) -> None:
        nonlocal seen
        if message["type"] == "http.response.body":
            seen += 1
            if seen == 4:
                message["body"] = b": rewritten\n" + message["body"]
        await send(message)

    return rewritten


def adding_length(send: Send) -> Send:
    """Knows how long the body of `/which` is, so that it is not sent in chunks."""

    async def added(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"].append((b"content-length", b"%d" % len(WHICH)))
        await send(message)

    return added


def compressing(send: Send) -> Send:
    """Compresses whatever it is, an event stream too; the first chunk would look the same."""

    async def compressed(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"].append((b"content-encoding", b"gzip"))
        else:
            message = {**message, "body": gzip.compress(message["body"])}
        await send(message)

    return compressed


def without_content(send: Send) -> Send:
    async def changed(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["status"] = 204
        await send(message)

    return changed


def head_as_get(app: App) -> App:
    """What frameworks do that answer a HEAD wherever there is a GET."""

    async def answered(scope: Message, receive: Receive, send: Send) -> None:
        await app({**scope, "method": "GET"}, receive, send)

    return answered


class InAnotherTask:
    """Passes on the very objects, from a task of its own."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        sending, receiving = trio.open_memory_channel[Message](0)

        async def forward() -> None:
            async for message in receiving:
                await send(message)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(forward)
            async with sending:
                await self.app(scope, receive, sending.send)


bare = apps.direct

APPS: dict[str, Any] = {
    "bare": bare,
    "wrapped": wrapping(bare, passing),
    "middleware": StreamMiddleware(bare),
    "middleware-twice": StreamMiddleware(StreamMiddleware(bare)),
    "starlette": StreamMiddleware(starlette()),
    "starlette-alone": starlette(),
    "fastapi": StreamMiddleware(fastapi()),
    "fastapi-alone": fastapi(),
    "passing": StreamMiddleware(wrapping(bare, passing)),
    "adding-header": StreamMiddleware(wrapping(bare, adding_header)),
    "sleeping-afterwards": StreamMiddleware(wrapping(bare, sleeping_afterwards)),
    "switched-off": StreamMiddleware(bare, direct=False),
    "starlette-switched-off": StreamMiddleware(starlette(), direct=False),
    "gzip": StreamMiddleware(starlette(Middleware(GZipMiddleware, minimum_size=1))),
    "base-http": StreamMiddleware(starlette(Middleware(BaseHTTPMiddleware, dispatch=pass_on))),
    "rewriting": StreamMiddleware(wrapping(bare, rewriting_first_chunk)),
    "copying": StreamMiddleware(wrapping(bare, copying)),
    "sleeping": StreamMiddleware(wrapping(bare, sleeping)),
    "buffering": StreamMiddleware(wrapping(bare, buffering)),
    "rewriting-later": StreamMiddleware(wrapping(bare, rewriting_later)),
    "adding-length": StreamMiddleware(wrapping(bare, adding_length)),
    "compressing": StreamMiddleware(wrapping(bare, compressing)),
    "head-as-get": StreamMiddleware(head_as_get(bare)),
    "head-as-get-bare": head_as_get(bare),
    "no-content": StreamMiddleware(wrapping(bare, without_content)),
    "no-content-bare": wrapping(bare, without_content),
    "another-task": StreamMiddleware(InAnotherTask(bare)),
}


async def app(scope: Message, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await apps.lifespan(receive, send)
        return
    _, name, path = scope["path"].split("/", 2)
    scope["path"] = f"/{path}"
    await APPS[name](scope, receive, send)
