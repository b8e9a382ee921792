"""What agents and their pages are spoken to in: AG-UI, the AI SDK, Datastar, MCP, each a stream.

Each endpoint is shown in docs/language-models.md. With ``?then=fails`` the model fails at its end.
"""

import html
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio
from ag_ui.core import (
    BaseEvent,
    RunAgentInput,
    RunErrorEvent,
    RunFinishedEvent,
    RunStartedEvent,
    TextMessageContentEvent,
    TextMessageEndEvent,
    TextMessageStartEvent,
)
from datastar_py import ServerSentEventGenerator
from mcp.server.mcpserver import Context, MCPServer
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Mount, Route

from trio_stream import EncodedEvent, ServerSentEvent, Stream, StreamMiddleware

WORDS = ["one ", "two"]


async def words(request: Request) -> AsyncIterator[str]:
    """What a model says."""
    for word in WORDS:
        yield word
        await trio.sleep(0.01)
    if request.query_params.get("then") == "fails":
        raise RuntimeError("the model failed")


async def ag_ui(request: Request) -> Stream:
    run = RunAgentInput.model_validate_json(await request.body())
    ids: Any = {"thread_id": run.thread_id, "run_id": run.run_id}

    async def events() -> AsyncIterator[BaseEvent]:
        yield RunStartedEvent(**ids)
        yield TextMessageStartEvent(message_id="m1", role="assistant")
        async for word in words(request):
            yield TextMessageContentEvent(message_id="m1", delta=word)
        yield TextMessageEndEvent(message_id="m1")
        yield RunFinishedEvent(**ids)

    def said(text: str) -> ServerSentEvent:
        return ServerSentEvent(RunErrorEvent(message=text))

    return Stream(
        events(),
        error_event=said("The agent failed."),
        error_end="proper",  # its client hides the event behind a broken end
        farewell="proper",
        farewell_event=said("The server is restarted."),
    )


async def ai_sdk(request: Request) -> Stream:
    async def parts() -> AsyncIterator[dict[str, str] | str]:
        yield {"type": "start", "messageId": "m1"}
        yield {"type": "text-start", "id": "t1"}
        async for word in words(request):
            yield {"type": "text-delta", "id": "t1", "delta": word}
        yield {"type": "text-end", "id": "t1"}
        yield {"type": "finish"}
        yield "[DONE]"

    failed = ServerSentEvent({"type": "error", "errorText": "The model failed."})
    return Stream(
        parts(),
        headers={"x-vercel-ai-ui-message-stream": "v1"},
        error_event=failed,
        error_end="proper",
    )


async def datastar(request: Request) -> Stream:
    async def patches() -> AsyncIterator[EncodedEvent]:
        answer = ""
        async for word in words(request):
            answer += word
            patch = f'<p id="answer">{html.escape(answer)}</p>'
            # Framed already: as mere text it would be refused.
            yield EncodedEvent(ServerSentEventGenerator.patch_elements(patch))

    return Stream(patches())


tools = MCPServer("tools")


@tools.tool()
async def count(n: int, context: Context[Any]) -> str:
    """Counts, and tells how far it is."""
    for number in range(n):
        await context.report_progress(number, n)
    return f"counted to {n}"


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncGenerator[None]:
    async with tools.session_manager.run():  # before the routes below are asked
        yield


routes = [
    Route("/ag-ui", ag_ui, methods=["POST"]),
    Route("/ai", ai_sdk, methods=["POST"]),
    Route("/datastar", datastar),
    Mount("/", tools.streamable_http_app()),  # its own path is /mcp
]
app = StreamMiddleware(Starlette(routes=routes, lifespan=lifespan))
