"""A language model that talks nonsense, in the format of OpenAI's API: for what has no key.

    hypercorn --worker-class trio examples.nonsense:app     # POST to /v1/chat/completions

Needs Starlette besides (pip install starlette). Ask it to refuse, or to break off, and it does.

Known limits: it knows the words of this text, and nothing of what was said before.
"""

import random
from collections.abc import AsyncIterator
from typing import Any

import trio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from trio_stream import Stream, StreamMiddleware

WORDS = str(__doc__).split()


async def completions(request: Request) -> Stream | Response:
    """Chat completions, streamed: chunks of JSON, then a last event ``[DONE]``."""
    question = (await request.json())["messages"][-1]["content"]
    if "refuse" in question:
        return JSONResponse({"error": {"message": "as asked"}}, 429, {"retry-after": "20"})
    breaks_off = "break off" in question

    async def chunks() -> AsyncIterator[dict[str, Any] | str]:
        words = random.choices(WORDS, k=10 if breaks_off else random.randint(30, 80))
        for text in ["You", " said", f" “{question[:60]}”.", " Well:", *(f" {w}" for w in words)]:
            yield chunk({"content": text})
            await trio.sleep(random.uniform(0.01, 0.12))
        if breaks_off:
            raise ConnectionError("broken off, as asked")
        yield chunk({}, "stop")
        yield "[DONE]"

    return Stream(chunks())


def chunk(delta: dict[str, str], reason: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    head = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "nonsense"}
    return {**head, "choices": [choice]}


model = Route("/v1/chat/completions", completions, methods=["POST"])
app = StreamMiddleware(Starlette(routes=[model]))
