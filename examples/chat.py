"""Chat with a language model: tokens as they come, and a button that stops the model.

    hypercorn --worker-class trio examples.chat:app     # then open http://127.0.0.1:8000

Needs Starlette besides (pip install starlette), but no key: the model is this server's own
/v1/chat/completions, which talks nonsense in the format of OpenAI's API. OPENAI_BASE_URL,
OPENAI_API_KEY and OPENAI_MODEL name any other that speaks it.

Known limits: anybody who can open the page can use your key; put a login and limits before it.
The conversation lives in the page, and an answer that was broken off is not resumed.
"""

import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import trio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.routing import Route

from trio_stream import Stream, StreamMiddleware

WORDS = str(__doc__).split()  # all that this model knows


async def page(request: Request) -> FileResponse:
    return FileResponse(Path(__file__).with_name("pages") / "chat.html")


async def chat(request: Request) -> Stream:
    """What the page asks. The upstream's answer is passed on as it comes; its error is a 502."""
    base = os.environ.get("OPENAI_BASE_URL", f"{request.base_url}v1")
    model = os.environ.get("OPENAI_MODEL", "nonsense")
    question = {**await request.json(), "model": model, "stream": True}
    client: httpx.AsyncClient = request.state.client
    upstream = client.build_request("POST", f"{base}/chat/completions", json=question)
    return Stream(client.send(upstream, stream=True))


async def completions(request: Request) -> Stream:
    """OpenAI's chat completions, streamed: chunks of JSON, then a last event ``[DONE]``."""
    question = (await request.json())["messages"][-1]["content"]

    async def chunks() -> AsyncIterator[dict[str, Any] | str]:
        words = random.choices(WORDS, k=random.randint(30, 80))
        for text in ["You", " said", f" “{question[:60]}”.", " Well:", *(f" {w}" for w in words)]:
            choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
            yield {"object": "chat.completion.chunk", "model": "nonsense", "choices": [choice]}
            await trio.sleep(random.uniform(0.01, 0.12))
        yield "[DONE]"

    return Stream(chunks())


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
    headers = {"authorization": f"Bearer {os.environ.get('OPENAI_API_KEY', 'none is needed')}"}
    async with httpx.AsyncClient(headers=headers, timeout=60) as client:
        yield {"client": client}


routes = [
    Route("/", page),
    Route("/chat", chat, methods=["POST"]),
    Route("/v1/chat/completions", completions, methods=["POST"]),
]
app = StreamMiddleware(Starlette(routes=routes, lifespan=lifespan))
