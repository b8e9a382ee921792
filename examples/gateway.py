"""A gateway: OpenAI's API in front of a model's, with keys of its own and a bill at the end.

    hypercorn --worker-class trio examples.gateway:app     # OpenAI's SDK asks it: base_url is /v1

Needs Starlette besides (pip install starlette). The model is examples/nonsense.py, here in the same
server; OPENAI_BASE_URL and OPENAI_API_KEY name any other. KEYS are those of its own clients.

Known limits: it counts events and not tokens, keeps no bill, and only streams.
"""

import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from examples import nonsense
from trio_stream import (
    ErrorAnswer,
    EventStreamDecoder,
    IncompleteStreamError,
    ServerSentEvent,
    Stream,
    StreamMiddleware,
)

KEYS = os.environ.get("KEYS", "demo").split(",")


async def completions(request: Request) -> Stream | Response:
    """The model's events as they come, then one of the gateway's own, then ``[DONE]``."""
    if request.headers.get("authorization", "").removeprefix("Bearer ") not in KEYS:
        return JSONResponse({"error": {"message": "no such key"}}, 401)
    question = {**await request.json(), "stream": True}
    base = os.environ.get("OPENAI_BASE_URL", f"{request.base_url}model/v1")
    answer = request.state.client.stream("POST", f"{base}/chat/completions", json=question)
    return Stream(billed(answer), error_answer=refusal)


def refusal(error: BaseException) -> ErrorAnswer | None:
    """The model's own status, as if there were no gateway; a 401 is about the gateway's key."""
    if isinstance(error, httpx.HTTPStatusError) and error.response.status_code in (401, 403):
        return None  # a 502
    return ErrorAnswer(body={"error": {"message": "the model has refused"}})


async def billed(answer: Any) -> AsyncIterator[ServerSentEvent | dict[str, Any] | str]:
    decoder, count = EventStreamDecoder(), 0
    async with answer as response:
        response.raise_for_status()  # before anything has been sent: `error_answer` says it
        async for data in response.aiter_bytes():
            for event in decoder.feed(data):
                if event.data == "[DONE]":
                    yield {"object": "gateway.bill", "events": count, "choices": []}
                    yield "[DONE]"
                    return
                count += 1
                yield event
    # The client must not take half an answer for the whole.
    raise IncompleteStreamError(str(response.url), "ended without [DONE]")


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncGenerator[dict[str, Any]]:
    headers = {"authorization": f"Bearer {os.environ.get('OPENAI_API_KEY', 'none is needed')}"}
    async with httpx.AsyncClient(headers=headers, timeout=60) as client:
        yield {"client": client}


routes = [
    Route("/v1/chat/completions", completions, methods=["POST"]),
    Mount("/model", routes=[nonsense.model]),
]
app = StreamMiddleware(Starlette(routes=routes, lifespan=lifespan))
