"""A gateway passes a refusal on: the SDK in front of it raises what it would raise behind it."""

import json
from typing import Any

import httpx
import openai
import pytest

from tests.models.endpoint import RETRY_AFTER, model_endpoint
from tests.models.sdks import ASK
from trio_stream import ErrorAnswer, Stream

BODY = {"error": {"message": "The model is busy.", "type": "rate_limit"}}


@pytest.mark.parametrize(
    ("answer", "raised"),
    [
        (None, openai.InternalServerError),
        (ErrorAnswer(), openai.RateLimitError),
        (ErrorAnswer(body=BODY), openai.RateLimitError),
    ],
)
async def test_openai_in_front_of_it(answer: ErrorAnswer | None, raised: Any) -> None:
    async with model_endpoint() as endpoint, httpx.AsyncClient() as upstream:

        async def gateway(scope: Any, receive: Any, send: Any) -> None:
            asked = json.loads((await receive())["body"])
            request = upstream.build_request("POST", f"{endpoint.url}{scope['path']}", json=asked)
            stream = Stream(upstream.send(request, stream=True), error_answer=answer)
            await stream(scope, receive, send)

        transport = httpx.ASGITransport(gateway)
        async with openai.AsyncOpenAI(
            api_key="k",
            base_url="http://gateway/v1",
            max_retries=0,
            http_client=httpx.AsyncClient(transport=transport),  # type: ignore[arg-type]
        ) as client:
            with pytest.raises(raised) as caught:
                await client.chat.completions.create(model="slow", messages=ASK, stream=True)
    assert caught.value.response.headers["retry-after"] == RETRY_AFTER
    if answer is not None and answer.body is not None:
        assert caught.value.body == BODY["error"]
