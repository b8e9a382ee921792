"""Upstreams to proxy: an OpenAI-compatible endpoint, a Workers AI one, and faulty ones.

All of them are a `Stream` themselves. What is asked for as the model says how it behaves.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

import msgspec
import trio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from trio_stream import ServerSentEvent, Stream, no_reconnect

WORDS = ["A", " stream", "\n", "of", " wörds"]

seen: list[Stream] = []


def openai_chunk(text: str) -> dict[str, Any]:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "test"}
    return {**chunk, "choices": [choice]}


async def tokens(model: str) -> AsyncGenerator[str]:
    if model == "words":
        await trio.sleep(0.2)  # a model that thinks, while pings go out
        for word in WORDS:
            yield word
            await trio.sleep(0.01)
    while model == "endless":
        yield "tick"
        await trio.sleep(0.02)
    while model == "flood":
        yield "x" * 1000
    if model == "dies":
        yield "half"
        raise ConnectionResetError("the upstream's own trouble")


def refusal(status: int) -> Stream:
    error = msgspec.json.encode({"error": {"message": "no", "type": "test", "code": status}})
    headers = {"content-type": "application/json", "retry-after": "7"}
    return Stream([error], format="bytes", status=status, headers=headers)


async def completions(request: Request) -> Stream:
    """``POST /v1/chat/completions``."""
    model = (await request.json())["model"]
    if model.isdecimal():
        return refusal(int(model))

    async def chunks() -> AsyncIterator[Any]:
        async with aclosing(tokens(model)) as texts:
            async for text in texts:
                yield openai_chunk(text)
        yield "[DONE]"

    return remembered(Stream(chunks(), ping=0.05))


async def workers_ai(request: Request) -> Stream:
    """``POST /run/MODEL``: Cloudflare's shape."""
    model = request.path_params["model"]
    if model.isdecimal():
        return refusal(int(model))

    async def chunks() -> AsyncIterator[Any]:
        async with aclosing(tokens(model)) as texts:
            async for text in texts:
                yield {"response": text}
        yield "[DONE]"

    return remembered(Stream(chunks()))


async def named(request: Request) -> Stream:
    """An event stream with names and ids, which goes on where the client was."""
    start = int(request.headers.get("last-event-id", 0))
    return Stream(
        [ServerSentEvent(n, event="count", id=n) for n in range(start + 1, start + 4)], retry=5000
    )


def remembered(stream: Stream) -> Stream:
    seen.append(stream)
    return stream


async def outcomes(request: Request) -> JSONResponse:
    """How the streams so far have ended; null for one that has not."""
    return JSONResponse([stream.outcome for stream in seen])


async def done(request: Request) -> Any:
    return no_reconnect


app = Starlette(
    routes=[
        Route("/v1/chat/completions", completions, methods=["POST"]),
        Route("/run/{model}", workers_ai, methods=["POST"]),
        Route("/named", named),
        Route("/done", done),
        Route("/outcomes", outcomes),
    ]
)
