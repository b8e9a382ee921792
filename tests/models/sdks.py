"""The SDKs: how each is asked for an answer, as its own documentation has it, and where text is.

None is imported before it is used: together they take seconds to load.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any

#: What is to be streamed, for the name of a model.
Call = Callable[[str], Any]

ASK: Any = [{"role": "user", "content": "Hello?"}]


@dataclass(frozen=True)
class Sdk:
    """An SDK, one of its ways to stream."""

    name: str
    #: Opens a client of the endpoint at this URL.
    open: Callable[[str], AbstractAsyncContextManager[Call]]
    #: The text in an item, as JSON, of an answer; "" where it has none.
    text: Callable[[Any], str]
    #: Whether it runs on asyncio alone.
    asyncio: bool = False


@asynccontextmanager
async def anthropic_create(url: str) -> AsyncGenerator[Call]:
    from anthropic import AsyncAnthropic

    async with AsyncAnthropic(api_key="k", base_url=url, max_retries=0) as client:
        create = client.messages.create
        yield lambda model: create(model=model, max_tokens=10, messages=ASK, stream=True)


@asynccontextmanager
async def anthropic_stream(url: str) -> AsyncGenerator[Call]:
    from anthropic import AsyncAnthropic

    async with AsyncAnthropic(api_key="k", base_url=url, max_retries=0) as client:
        yield lambda model: client.messages.stream(model=model, max_tokens=10, messages=ASK)


@asynccontextmanager
async def openai_chat(url: str) -> AsyncGenerator[Call]:
    from openai import AsyncOpenAI

    async with AsyncOpenAI(api_key="k", base_url=f"{url}/v1", max_retries=0) as client:
        create = client.chat.completions.create
        yield lambda model: create(model=model, messages=ASK, stream=True)


@asynccontextmanager
async def openai_responses(url: str) -> AsyncGenerator[Call]:
    from openai import AsyncOpenAI

    async with AsyncOpenAI(api_key="k", base_url=f"{url}/v1", max_retries=0) as client:
        yield lambda model: client.responses.create(model=model, input="Hello?", stream=True)


@asynccontextmanager
async def cohere(url: str) -> AsyncGenerator[Call]:
    import httpx
    from cohere import AsyncClientV2

    async with httpx.AsyncClient() as http:
        client = AsyncClientV2(api_key="k", base_url=url, httpx_client=http)
        options: Any = {"max_retries": 0}
        yield lambda model: client.chat_stream(model=model, messages=ASK, request_options=options)


@asynccontextmanager
async def ollama(url: str) -> AsyncGenerator[Call]:
    from ollama import AsyncClient

    client = AsyncClient(host=url)
    async with aclosing(client._client):
        yield lambda model: client.chat(model=model, messages=ASK, stream=True)


@asynccontextmanager
async def huggingface_hub(url: str) -> AsyncGenerator[Call]:
    from huggingface_hub import AsyncInferenceClient

    async with AsyncInferenceClient(base_url=f"{url}/v1", api_key="k") as client:
        yield lambda model: client.chat_completion(model=model, messages=ASK, stream=True)


@asynccontextmanager
async def google_genai(url: str) -> AsyncGenerator[Call]:
    import httpx2
    from google import genai

    async with httpx2.AsyncClient() as http:
        options: Any = {"base_url": url, "httpx_async_client": http}
        async with genai.Client(api_key="k", http_options=options).aio as client:
            generate = client.models.generate_content_stream
            yield lambda model: generate(model=model, contents="Hello?")


@asynccontextmanager
async def google_genai_as_it_comes(url: str) -> AsyncGenerator[Call]:
    from google import genai

    options: Any = {"base_url": url}
    async with genai.Client(api_key="k", http_options=options).aio as client:
        generate = client.models.generate_content_stream
        yield lambda model: generate(model=model, contents="Hello?")


@asynccontextmanager
async def mistralai(url: str) -> AsyncGenerator[Call]:
    from mistralai.client import Mistral

    async with Mistral(api_key="k", server_url=url) as client:
        yield lambda model: client.chat.stream_async(model=model, messages=ASK)


def of_choice(item: Any) -> str:
    return item["choices"][0]["delta"].get("content") or ""


def of_delta(item: Any) -> str:
    return item["delta"].get("text", "") if item["type"] == "content_block_delta" else ""


def of_response(item: Any) -> str:
    return item["delta"] if item["type"] == "response.output_text.delta" else ""


def of_cohere(item: Any) -> str:
    return item["delta"]["message"]["content"]["text"] if item["type"] == "content-delta" else ""


def of_gemini(item: Any) -> str:
    return item["candidates"][0]["content"]["parts"][0]["text"]


#: What they are, so that all can be imported at once.
MODULES = [
    "anthropic",
    "cohere",
    "google.genai",
    "huggingface_hub.inference._client",
    "mistralai.client",
    "ollama",
    "openai.resources",
]

SDKS = [
    Sdk("anthropic", anthropic_create, of_delta),
    Sdk("anthropic, a manager", anthropic_stream, of_delta),
    Sdk("openai", openai_chat, of_choice),
    Sdk("openai, responses", openai_responses, of_response),
    Sdk("cohere", cohere, of_cohere),
    Sdk("ollama", ollama, lambda item: item["message"]["content"]),
    Sdk("huggingface_hub", huggingface_hub, of_choice),
    Sdk("google-genai", google_genai, of_gemini),
    Sdk("google-genai, as it comes", google_genai_as_it_comes, of_gemini, asyncio=True),
    Sdk("mistralai", mistralai, lambda item: of_choice(item["data"]), asyncio=True),
]
