"""Every example, run by the line in its docstring, on a real Hypercorn."""

import ast
import json
import re
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
import trio.testing

from examples import overview
from tests.support.chromium import chromium
from tests.support.hypercorn_process import hypercorn
from tests.support.raw import read_until, send_request
from trio_stream import EventStreamDecoder, Stream
from trio_stream.testing import connect

FOLDER = Path(__file__).parents[2] / "examples"
EXAMPLES = sorted(path.stem for path in FOLDER.glob("[a-z]*.py"))
# The openai SDK leaves generators to the garbage collector when it has seen [DONE].
SDKS_OWN = {"PYTHONWARNINGS": "default::ResourceWarning,ignore:Async generator:ResourceWarning"}

every_example = pytest.mark.parametrize("name", EXAMPLES)


def test_they_are_all_there() -> None:
    assert {"chat", "clock", "demo", "hello", "progress", "proxy", "value"} <= set(EXAMPLES)


@every_example
def test_it_is_short_and_says_how_to_run_it_and_what_it_cannot_do(name: str) -> None:
    text = (FOLDER / f"{name}.py").read_text()
    docstring = ast.get_docstring(ast.parse(text)) or ""
    assert re.search(
        rf"^    hypercorn --worker-class trio examples\.{name}:app\b", docstring, re.MULTILINE
    )
    assert "Known limits: " in docstring
    assert len(text.splitlines()) < (130 if name == "demo" else 80)


@every_example
def test_its_code_needs_nothing_that_it_does_not_name(name: str) -> None:
    text = (FOLDER / f"{name}.py").read_text()
    if "starlette" in text:
        assert "Needs Starlette" in text
    if "import AsyncOpenAI" in text:
        assert "Needs Starlette and openai" in text
    assert not re.search("fastapi|litestar", text)


@pytest.mark.parametrize("page", [*FOLDER.glob("pages/*.html")], ids=lambda path: path.stem)
def test_a_page_fetches_nothing_from_elsewhere(page: Path) -> None:
    assert not re.search(r"https?://|@import|url\(", page.read_text())


async def test_hello() -> None:
    async with hypercorn("examples.hello:app") as server, server.client() as client:
        response = await client.get("/")
        words = [event.data for event in EventStreamDecoder().feed(response.content)]
        assert words == ["hello", "streaming", "world"]


async def test_clock() -> None:
    async with hypercorn("examples.clock:app") as server, await server.connect() as stream:
        await send_request(stream, "/")
        received = await read_until(stream, b"}\n\n")
        assert re.search(rb"retry: [23]\d{3}\n(\r\n\w+\r\n)?event: tick\n", received)
        assert b'data: {"now":' in received


async def test_value() -> None:
    async with hypercorn("examples.value:app") as server, server.client() as client:
        async with await server.connect() as first, await server.connect() as second:
            for number, stream in enumerate([first, second], 1):
                await send_request(stream, "/listen")
                await read_until(stream, b"event: welcome\ndata: you are number %d\n\n" % number)
            said = await client.post("/say", content=b"hello, all")
            assert said.text == "said to 2 of 2\n"
            for stream in [first, second]:
                await read_until(stream, b"event: said\ndata: hello, all\n\n")
        with trio.fail_after(30):
            while (await client.post("/say", content=b"?")).text != "said to 0 of 0\n":
                await trio.sleep(0.02)
        assert (await client.get("/")).status_code == 404


async def test_proxy() -> None:
    async with hypercorn("examples.proxy:app") as server, await server.connect() as stream:
        await send_request(stream, "/")
        received = await read_until(stream, b"}\n\n")
        assert b"content-type: text/event-stream" in received
        assert b'event: price\ndata: {"price":100.0}\n\n' in received


async def test_the_proxys_clients_share_a_request() -> None:
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(hypercorn("examples.proxy:app"))
        env = {"UPSTREAM": f"{upstream.url}/upstream"}
        server = await stack.enter_async_context(hypercorn("examples.proxy:app", env=env))
        streams = [await stack.enter_async_context(await server.connect()) for _ in range(20)]
        for stream in streams:
            await send_request(stream, "/shared")
        received = [await read_until(stream, b"}\n\n") for stream in streams]
        for _ in range(8):
            received[0] += await read_until(streams[0], b"}\n\n")
        assert b"id: " in received[0]
        assert received[0].count(b'{"price":100.0}') < 8  # each request begins with that


async def test_proxy_of_an_upstream_of_ones_own() -> None:
    async with hypercorn("examples.hello:app") as upstream:
        env = {"UPSTREAM": f"{upstream.url}/"}
        async with hypercorn("examples.proxy:app", env=env) as server, server.client() as client:
            response = await client.get("/")
            events = EventStreamDecoder().feed(response.content)
            assert [(event.event, event.data) for event in events] == [
                ("price", "hello"),
                ("price", "streaming"),
                ("price", "world"),
            ]
    async with hypercorn("examples.proxy:app", env=env) as server, server.client() as client:
        assert (await client.get("/")).status_code == 502


async def test_overview() -> None:
    async with hypercorn("examples.overview:app") as server, await server.connect() as first:
        await send_request(first, "/first")
        await read_until(first, b'"path":"/first"')
        async with await server.connect() as second:
            await send_request(second, "/second")
            await read_until(first, b'"path":"/second"')
        # The second has left, and the first sees it.
        await read_until(first, b'"ended":[{"path":"/second","outcome":"disconnected"')


async def test_overview_tells_of_a_client_that_has_stalled(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """As the demo's panel shows it, whose streams have the same `on_end`."""

    async def tireless(stream: Stream) -> None:
        while True:
            await stream.send("x" * 1000)

    slow = Stream(tireless, stall_timeout=10, on_end=overview.ended)
    with trio.fail_after(60):
        async with connect(overview.app, path="/server") as page, connect(slow, path="/slow"):
            found: list[str] = []
            while not found:
                told = (await page.receive_event()).json()["ended"]
                found = [each["outcome"] for each in told if each["path"] == "/slow"]
    assert found == ["stalled"]


async def test_progress() -> None:
    async with hypercorn("examples.progress:app") as server:
        async with server.client() as client:
            assert "<progress" in (await client.get("/")).text
            *steps, done = EventStreamDecoder().feed((await client.get("/job")).content)
            assert [event.json()["step"] for event in steps] == list(range(1, 101))
            assert done.event == "done"
        async with await server.connect() as stream:
            await send_request(stream, "/job")
            await read_until(stream, b'"step":3,')
        # It stops at its next step: the server ends long before the job would have.


def asking(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


async def test_chat() -> None:
    async with (
        hypercorn("examples.chat:app", env=SDKS_OWN, expect_errors=True) as server,
        server.client() as client,
    ):
        response = await client.post("/chat", json=asking("Anybody there?"))
        *tokens, last = EventStreamDecoder().feed(response.content)
        assert "".join(event.data for event in tokens).startswith(
            "You said “Anybody there?”. Well: "
        )
        assert (last.event, last.data) == ("end", "stop")
        response = await client.post("/chat", json=asking("Please refuse."))
        assert (response.status_code, response.headers["retry-after"]) == (502, "20")
        with pytest.raises(httpx.RemoteProtocolError):
            await client.post("/chat", json=asking("Please break off."))


async def test_chat_with_a_model_that_is_not_to_be_had() -> None:
    env = {**SDKS_OWN, "OPENAI_BASE_URL": "http://127.0.0.1:1/v1"}
    async with hypercorn("examples.chat:app", env=env) as server, server.client() as client:
        assert (await client.post("/chat", json=asking("Anybody?"))).status_code == 502


ASK = """
document.forms[0].text.value = arguments[0];
document.forms[0].requestSubmit();
"""


async def test_the_page_of_chat_tells_a_whole_answer_from_one_that_broke_off() -> None:
    async with (
        hypercorn("examples.chat:app", env=SDKS_OWN, expect_errors=True) as server,
        chromium() as browser,
    ):
        await browser.open(server.url)
        answers = "document.querySelectorAll('.assistant')"
        await browser.run(ASK, "Hello")
        await browser.wait_until(f"{answers}[0]?.className === 'assistant'")
        assert "Well: " in await browser.text()
        assert await browser.run("return document.querySelector('.note')") is None
        await browser.run(ASK, "Break off, no: break off")
        await browser.wait_until(f"{answers}[1]?.className === 'assistant cut'")
        assert "Broken off: the connection was lost" in await browser.text()
        await browser.run(ASK, "Please refuse")
        await browser.wait_until("document.querySelector('.problem')")
        assert "Ask again in 20 seconds." in await browser.text()
        assert await browser.run("return document.forms[0].text.value") == "Please refuse"
        await browser.run(ASK, "Once more")
        await browser.wait_until(f"{answers}[2]?.textContent")
        await browser.run("document.forms[0].requestSubmit()")
        await browser.wait_until(f"{answers}[2].className === 'assistant cut'")
        assert "Not finished: you stopped it." in await browser.text()


async def test_nonsense() -> None:
    async with hypercorn("examples.nonsense:app") as server, server.client() as client:
        response = await client.post("/v1/chat/completions", json=asking("Anybody there?"))
        *chunks, last = EventStreamDecoder().feed(response.content)
        assert last.data == "[DONE]"
        deltas = [chunk.json()["choices"][0]["delta"].get("content", "") for chunk in chunks]
        assert "".join(deltas).startswith("You said “Anybody there?”. Well: ")


async def test_demo_page_shows_the_code_that_serves_it() -> None:
    async with hypercorn("examples.demo:app") as server, server.client() as client:
        response = await client.get("/")
        assert response.headers["content-type"] == "text/html; charset=utf-8"
        assert "{{" not in response.text
        for line in [
            "async def callback(stream: Stream)",
            "return Stream(words(seen), on_end=ended)",
            "return Stream(client.send(request, stream=True), event=&quot;price&quot;)",
        ]:
            assert line in response.text
        assert (await client.get("/nothing")).status_code == 404


async def test_demo_streams() -> None:
    async with hypercorn("examples.demo:app") as server, server.client() as client:
        async with await server.connect() as stream:
            await send_request(stream, "/callback", "last-event-id: 10")
            received = await read_until(stream, b"}\n\n")
            assert b'id: 11\nevent: tick\ndata: {"time":' in received
        async with await server.connect() as stream:
            await send_request(stream, "/value")
            await read_until(stream, b"retry: ")
            assert (await client.post("/say", content=b" hello ")).status_code == 204
            await read_until(stream, b"event: said\ndata: hello\n\n")
        events = EventStreamDecoder().feed((await client.get("/automatic")).content)
        assert [event.event for event in events[-2:]] == ["word", "done"]
        async with await server.connect() as stream:
            await send_request(stream, "/proxied")
            received = await read_until(stream, b"}\n\n")
            data = re.search(rb"event: price\ndata: (.*)\n", received)
            assert data
            assert json.loads(data[1]) == {"price": 100.0}


@pytest.mark.filterwarnings(r"ignore:Async generator '(openai|httpx2|httpcore2)\.:ResourceWarning")
async def test_gateway() -> None:
    """What the SDK behind a gateway hears: text, a bill, a refusal, an end that is none."""
    from openai import APIConnectionError, AsyncOpenAI, AuthenticationError, RateLimitError

    async with (
        hypercorn("examples.gateway:app", expect_errors=True) as server,
        AsyncOpenAI(api_key="demo", base_url=f"{server.url}/v1", max_retries=0) as client,
    ):

        async def ask(text: str, **options: Any) -> list[Any]:
            messages: Any = asking(text)["messages"]
            create = client.with_options(**options).chat.completions.create
            async with await create(model="m", messages=messages, stream=True) as chunks:
                return [chunk async for chunk in chunks]

        *chunks, bill = await ask("Hello")
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        assert text.startswith("You said “Hello”. Well: ")
        assert (bill.object, bill.events) == ("gateway.bill", len(chunks))
        with pytest.raises(RateLimitError, match="the model has refused") as refused:
            await ask("Please refuse")
        assert refused.value.response.headers["retry-after"] == "20"
        with pytest.raises(APIConnectionError):
            await ask("Please break off")
        with pytest.raises(AuthenticationError):
            await ask("Hello", api_key="another")
