"""The SDKs of language models themselves, each against its own dialect, as sources of a stream."""

import gc
import importlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing
from trio_asyncio import aio_as_trio

from tests.models.endpoint import RETRY_AFTER, WORDS, Endpoint, model_endpoint
from tests.models.sdks import ASK, MODULES, SDKS, Call, Sdk
from tests.stream.helpers import data_of
from tests.support.hypercorn_process import hypercorn
from trio_stream import EventStreamDecoder, Stream, open_broker
from trio_stream.codec.jsonable import to_json
from trio_stream.frameworks.trio_asyncio import open_asyncio
from trio_stream.testing import connect

every_sdk = pytest.mark.parametrize("sdk", SDKS, ids=lambda sdk: sdk.name)

#: What some leave to the garbage collector, of their own; connections, too.
OWN = "anthropic|openai|httpx|httpx2|httpcore|httpcore2|cohere|ollama|huggingface_hub|google"
pytestmark = [
    pytest.mark.filterwarnings(rf"ignore:Async generator '({OWN})\.:ResourceWarning"),
    # google-genai makes a client also where it is given one, and closes it only on asyncio.
    pytest.mark.filterwarnings("ignore:coroutine 'AsyncClient.aclose':RuntimeWarning"),
]

#: Seconds within which an API hears that nobody wants its answer any more. It takes thousandths,
#: but not on a busy machine.
HEARD = 10.0


@pytest.fixture(autouse=True, scope="module")
def loaded() -> Iterator[None]:
    """All SDKs, of which the collector is not to look through every module in every test."""
    for module in MODULES:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@asynccontextmanager
async def asked_by(sdk: Sdk) -> AsyncGenerator[tuple[Endpoint, Call]]:
    """The endpoint, and what asks it for an answer, as a source."""
    async with model_endpoint() as endpoint:
        if sdk.asyncio:
            async with open_asyncio() as loop, aio_as_trio(sdk.open(endpoint.url)) as call:
                yield endpoint, lambda model: loop.source(lambda: call(model))
        else:
            async with sdk.open(endpoint.url) as call:
                yield endpoint, call
    # What it has left to the garbage collector is closed here, and not in a later test.
    gc.collect()
    await trio.testing.wait_all_tasks_blocked()


@pytest.fixture(autouse=True)
def clients_are_collected() -> Iterator[None]:
    """Have what is left behind a test warn while its warnings are ignored, and not in another."""
    yield
    gc.collect()


async def hears_of_it(endpoint: Endpoint) -> None:
    """Wait until the last request's client has left."""
    with trio.fail_after(HEARD):
        await endpoint.requests[-1].left.wait()


@every_sdk
async def test_an_answer_arrives(sdk: Sdk) -> None:
    async with asked_by(sdk) as (_, call):
        for _ in range(2):  # the second over what the first has left
            async with connect(Stream(call("words"))) as client:
                items = [event.json() async for event in client.events()]
            assert (client.status, client.ended) == (200, "complete")
            assert "".join(map(sdk.text, items)) == "".join(WORDS)


@pytest.mark.parametrize("model", ["endless", "silent"])
@every_sdk
async def test_the_client_leaves_and_the_api_hears_of_it(sdk: Sdk, model: str) -> None:
    async with asked_by(sdk) as (endpoint, call):
        stream = Stream(call(model))
        async with connect(stream) as client:
            async for event in client.events():
                if sdk.text(event.json()):
                    break
            client.disconnect()
            await hears_of_it(endpoint)
        assert stream.outcome == "disconnected"


@every_sdk
async def test_a_client_that_stalls_and_leaves_too(sdk: Sdk) -> None:
    """The source is left between two items, and the answer goes on."""
    async with asked_by(sdk) as (endpoint, call):
        stream = Stream(call("flood"), buffer_bytes=4000)
        async with connect(stream, socket_buffer=4000) as client:
            await trio.testing.wait_all_tasks_blocked(0.05)
            client.disconnect()
            await hears_of_it(endpoint)
        assert stream.outcome == "disconnected"


@pytest.mark.parametrize("model", ["endless", "silent"])
@every_sdk
async def test_an_item_that_cannot_be_sent(sdk: Sdk, model: str) -> None:
    """The source is left between two items, of which the second may not be there."""

    def unnamed(item: Any) -> str:
        raise KeyError("no name")

    async with asked_by(sdk) as (endpoint, call):
        stream = Stream(call(model), event=unnamed)
        async with connect(stream, raise_app_exceptions=False) as client:
            assert client.status == 500
            await hears_of_it(endpoint)


async def text_of(sdk: Sdk, source: Any, times: int) -> AsyncGenerator[str]:
    async for item in await source:
        for _ in range(times):
            yield sdk.text(json.loads(to_json(item)))


async def closed_text_of(sdk: Sdk, source: Any, times: int) -> AsyncGenerator[str]:
    async with aclosing(await source) as items:
        async for item in items:
            for _ in range(times):
                yield sdk.text(json.loads(to_json(item)))


async def passed_on(inner: AsyncGenerator[str]) -> AsyncIterator[str]:
    async with aclosing(inner) as texts:
        async for text in texts:
            yield text


KEEPING = [sdk for sdk in SDKS if sdk.name in ("google-genai", "huggingface_hub")]


@pytest.mark.parametrize("generator", [text_of, closed_text_of])
@pytest.mark.parametrize("model", ["silent", "flood"])
@pytest.mark.parametrize("sdk", KEEPING, ids=lambda sdk: sdk.name)
async def test_generators_around_those_that_keep_their_connection(
    sdk: Sdk, model: str, generator: Any
) -> None:
    async with asked_by(sdk) as (endpoint, call):
        # Around it twice; each item many times, so that it is left at the yield of the outer.
        stream = Stream(passed_on(generator(sdk, call(model), 2000)), buffer_bytes=1000)
        async with connect(stream, socket_buffer=1000) as client:
            await trio.testing.wait_all_tasks_blocked(0.05)
            client.disconnect()
            await hears_of_it(endpoint)
        assert stream.outcome == "disconnected"


@pytest.mark.parametrize("sdk", KEEPING, ids=lambda sdk: sdk.name)
async def test_a_resumable_run_whose_item_cannot_be_sent(sdk: Sdk) -> None:
    async with asked_by(sdk) as (endpoint, call), open_broker("memory://") as broker:

        async def answer(run: Any) -> AsyncIterator[object]:
            async for _ in await call("silent"):
                yield object()

        stream = Stream(broker.resumable("answer", answer))
        async with connect(stream, raise_app_exceptions=False) as client:
            await client.read()
            await hears_of_it(endpoint)


@every_sdk
async def test_a_refusal_is_one(sdk: Sdk) -> None:
    async with asked_by(sdk) as (endpoint, call):
        async with connect(Stream(call("slow")), raise_app_exceptions=False) as client:
            assert await client.read() == b"502 Bad Gateway\n"
        assert client.status == 502
        # ollama's error knows the status alone.
        told = None if sdk.name == "ollama" else RETRY_AFTER
        assert client.headers.get("retry-after") == told
        assert len(endpoint.requests) == 1


@every_sdk
async def test_an_answer_that_breaks_off_breaks_off(sdk: Sdk) -> None:
    async with asked_by(sdk) as (_, call):
        async with connect(Stream(call("broken")), raise_app_exceptions=False) as client:
            items = [event.json() async for event in client.events()]
        assert client.ended == "broken"
        assert "".join(map(sdk.text, items)) == "".join(WORDS[:2])


NEEDS_ASYNCIO = [sdk for sdk in SDKS if sdk.asyncio]


@pytest.mark.parametrize("sdk", NEEDS_ASYNCIO, ids=lambda sdk: sdk.name)
async def test_what_needs_asyncio_says_what_to_do(sdk: Sdk) -> None:
    async with model_endpoint() as endpoint, sdk.open(endpoint.url) as call:
        with pytest.raises(RuntimeError, match="no running event loop") as caught:
            await data_of(Stream(call("words")))
        assert "open_asyncio" in caught.value.__notes__[0]
        assert endpoint.requests == []


async def test_mistralai_behind_a_server() -> None:
    async with (
        model_endpoint() as endpoint,
        hypercorn("tests.models.mistral:app", env={"MISTRAL_URL": endpoint.url}) as server,
        server.client() as client,
    ):
        for _ in range(2):
            response = await client.post("/chat", json={"model": "words", "messages": ASK})
            events = EventStreamDecoder().feed(response.content)
            assert "".join(event.data for event in events) == "".join(WORDS)
        response = await client.post("/chat", json={"model": "slow", "messages": ASK})
        assert (response.status_code, response.headers["retry-after"]) == (502, RETRY_AFTER)
        for model in ("endless", "silent"):
            question = {"model": model, "messages": ASK}
            async with client.stream("POST", "/chat", json=question) as response:
                await anext(response.aiter_bytes())
            await hears_of_it(endpoint)
