"""What people write: the upstream's own client, and its stream object handed to `Stream`.

The upstream's address is in the environment, as UPSTREAM.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import httpx2
from openai import AsyncOpenAI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from trio_stream import EventSource, Stream

UPSTREAM = os.environ.get("UPSTREAM", "http://127.0.0.1:1")

openai = AsyncOpenAI(base_url=f"{UPSTREAM}/v1", api_key="none is needed", max_retries=0, timeout=60)
clients: dict[str, Any] = {
    "httpx": httpx.AsyncClient(base_url=UPSTREAM, timeout=60),
    "httpx2": httpx2.AsyncClient(base_url=UPSTREAM, timeout=60),
}
seen: list[Stream] = []


def create(request: Request) -> Any:
    question: Any = [{"role": "user", "content": "?"}]
    return openai.chat.completions.create(
        model=request.path_params["model"], messages=question, stream=True
    )


async def sdk(request: Request) -> Stream:
    """The SDK's stream object; an error of the API is the endpoint's, before there is a stream."""
    return remembered(Stream(await create(request)))


async def sdk_unawaited(request: Request) -> Stream:
    """The SDK's coroutine; an error of the API is answered by the stream."""
    return remembered(Stream(create(request)))


async def sdk_text(request: Request) -> Stream:
    """Only the text, through a generator of one's own."""

    async def text() -> AsyncIterator[str]:
        async with await create(request) as chunks:
            async for chunk in chunks:
                if content := chunk.choices[0].delta.content:
                    yield content

    return remembered(Stream(text(), format="text"))


async def workers_ai(request: Request) -> Stream:
    """A response of httpx or httpx2, un-awaited."""
    client = clients[request.path_params["client"]]
    upstream = client.build_request("POST", f"/run/{request.path_params['model']}", json={})
    return remembered(Stream(client.send(upstream, stream=True)))


async def named(request: Request) -> Stream:
    client = clients["httpx"]
    last = request.headers.get("last-event-id")
    headers = {} if last is None else {"last-event-id": last}
    upstream = client.build_request("GET", "/named", headers=headers)
    return Stream(await client.send(upstream, stream=True))


async def done(request: Request) -> Stream:
    """An upstream that says 204: there is no more."""
    url = f"{UPSTREAM}/done"
    if (name := request.path_params["client"]) == "eventsource":
        return remembered(Stream(EventSource(url)))
    client = clients[name]
    return remembered(Stream(client.send(client.build_request("GET", url), stream=True)))


def remembered(stream: Stream) -> Stream:
    seen.append(stream)
    return stream


async def outcomes(request: Request) -> JSONResponse:
    return JSONResponse([stream.outcome for stream in seen])


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    async with openai, clients["httpx"], clients["httpx2"]:
        yield


app = Starlette(
    lifespan=lifespan,
    routes=[
        Route("/sdk/{model}", sdk),
        Route("/sdk-unawaited/{model}", sdk_unawaited),
        Route("/sdk-text/{model}", sdk_text),
        Route("/workers-ai/{client}/{model}", workers_ai),
        Route("/named", named),
        Route("/done/{client}", done),
        Route("/outcomes", outcomes),
    ],
)
