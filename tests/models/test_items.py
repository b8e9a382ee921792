"""An SDK's items go out as the API has sent them."""

import json
from typing import Any

import google.genai.types as genai
import ollama
import pydantic
from openai.types.chat import ChatCompletionChunk

from trio_stream.codec.jsonable import to_json

CHUNK = {
    "id": "1",
    "object": "chat.completion.chunk",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": None}],
}


def as_sent(value: Any) -> Any:
    return json.loads(to_json(value))


def test_nulls_only_where_the_api_has_sent_them() -> None:
    assert as_sent(ChatCompletionChunk.model_validate(CHUNK)) == CHUNK
    assert as_sent({"chunk": ChatCompletionChunk.model_validate(CHUNK)}) == {"chunk": CHUNK}


def test_also_of_a_class_of_ones_own_that_is_one() -> None:
    class Chunk(ChatCompletionChunk):
        pass

    assert as_sent(Chunk.model_validate(CHUNK)) == CHUNK


def test_what_ollama_has_sent() -> None:
    sent = {"model": "m", "message": {"role": "assistant", "content": "x"}, "done": False}
    assert as_sent(ollama.ChatResponse.model_validate(sent)) == sent


def test_no_headers_of_an_upstreams() -> None:
    candidate = genai.Candidate(content=genai.Content(parts=[genai.Part(text="x")]))
    answer = genai.GenerateContentResponse(
        candidates=[candidate],
        sdk_http_response=genai.HttpResponse(headers={"x-request": "nobody's"}),
    )
    expected = {"candidates": [{"content": {"parts": [{"text": "x"}]}}]}
    assert as_sent(answer) == expected
    assert as_sent([answer]) == [expected]


def test_a_model_of_the_programs_own_is_whole() -> None:
    class Own(pydantic.BaseModel):
        number: int = 1
        nothing: None = None
        sdk_http_response: str = "its own"

    assert as_sent(Own()) == {"number": 1, "nothing": None, "sdk_http_response": "its own"}
