"""mistralai, which needs asyncio, as docs/language-models.md has it."""

import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from mistralai.client import Mistral
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route
from trio_asyncio import aio_as_trio

from trio_stream import Stream, StreamMiddleware
from trio_stream.frameworks.trio_asyncio import open_asyncio


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncGenerator[dict[str, Any]]:
    client = Mistral(api_key="k", server_url=os.environ["MISTRAL_URL"])
    async with open_asyncio() as loop, aio_as_trio(client):
        yield {"loop": loop, "client": client}


async def chat(request: Request) -> Stream:
    client, question = request.state.client, await request.json()

    async def answer() -> AsyncIterator[str]:  # on asyncio
        async with await client.chat.stream_async(**question) as events:
            async for event in events:
                text = event.data.choices[0].delta.content
                if isinstance(text, str):  # at the end it is mistralai's UNSET
                    yield text

    return Stream(request.state.loop.source(answer))


routes = [Route("/chat", chat, methods=["POST"])]
app = StreamMiddleware(Starlette(routes=routes, lifespan=lifespan))
