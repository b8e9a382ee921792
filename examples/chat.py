"""Chat with a language model: tokens as they come, and a button that stops the model.

    hypercorn --worker-class trio examples.chat:app     # then open http://127.0.0.1:8000

Needs Starlette and openai besides (pip install starlette openai), but no key: the model is
examples/nonsense.py, here in the same server; ask it to refuse, or to break off. OPENAI_BASE_URL,
OPENAI_API_KEY and OPENAI_MODEL name any other that speaks OpenAI's API.

Known limits: anybody who can open the page can use your key; put a login and limits before it.
The conversation lives in the page; examples/resumable.py has answers that survive its reload.
"""

import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from openai import AsyncOpenAI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.routing import Route

from examples import nonsense
from trio_stream import ServerSentEvent, Stream, StreamMiddleware


async def page(request: Request) -> FileResponse:
    return FileResponse(Path(__file__).with_name("pages") / "chat.html")


async def chat(request: Request) -> Stream:
    """What the page asks: the text as it comes, then an event that says why the model stopped."""
    base = os.environ.get("OPENAI_BASE_URL", f"{request.base_url}v1")
    client: AsyncOpenAI = request.state.client.with_options(base_url=base)
    model = os.environ.get("OPENAI_MODEL", "nonsense")
    messages = (await request.json())["messages"]

    async def answer() -> AsyncIterator[str | ServerSentEvent]:
        asked = client.chat.completions.create(model=model, messages=messages, stream=True)
        async with await asked as chunks:  # left at once when the client leaves
            async for chunk in chunks:
                for choice in chunk.choices:
                    if choice.delta.content:
                        yield choice.delta.content
                    if choice.finish_reason:
                        yield ServerSentEvent(choice.finish_reason, event="end")

    return Stream(answer())


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncGenerator[dict[str, Any]]:
    key = os.environ.get("OPENAI_API_KEY", "none is needed")
    async with AsyncOpenAI(api_key=key, max_retries=0) as client:  # who asks tries again, or not
        yield {"client": client}


routes = [Route("/", page), Route("/chat", chat, methods=["POST"]), nonsense.model]
app = StreamMiddleware(Starlette(routes=routes, lifespan=lifespan))
