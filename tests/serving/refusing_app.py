"""Lazy sources that are refused, or answer, or are silent."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import trio

from trio_stream import ErrorAnswer, Stream


async def refused() -> AsyncIterator[str]:
    await trio.sleep(0.05)
    request = httpx.Request("POST", "http://example.org/")
    response = httpx.Response(429, headers={"retry-after": "7"}, request=request)
    raise httpx.HTTPStatusError("429", request=request, response=response)
    yield "never"


async def answer() -> AsyncIterator[str]:
    await trio.sleep(0.05)
    for word in ("a", "b"):
        yield word
        await trio.sleep(0.05)


def silent(stream: Stream) -> None:
    stream.start_soon(trio.sleep_forever)


async def app(scope: Any, receive: Any, send: Any) -> None:
    match scope["path"]:
        case "/refused":
            stream = Stream(refused())
        case "/passed-on":
            stream = Stream(refused(), error_answer=ErrorAnswer(body={"error": "busy"}))
        case "/answer":
            stream = Stream(answer())
        case _:
            stream = Stream(silent, ping=0.1, max_duration=1, farewell="proper")
    await stream(scope, receive, send)
