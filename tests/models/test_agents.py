"""Agents' own clients in front of streams: AG-UI's, the AI SDK's, MCP's; and Datastar's encoder."""

from typing import Any

import pytest
import trio
from mcp import MCPError
from mcp.client.client import Client

from tests.clients.test_clients import driven
from tests.models.agents import WORDS
from tests.support.hypercorn_process import Server, hypercorn
from trio_stream import EventStreamDecoder

pytestmark = [
    pytest.mark.timeout(400),  # the first one may have to install packages of npm
    # MCP's client leaves some to the garbage collector.
    pytest.mark.filterwarnings(r"ignore:Async generator '(httpx2|httpcore2)\.:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:unclosed.*MemoryObject:ResourceWarning"),
]

AGENTS = "tests.models.agents:app"


async def call(server: Server, tool: str, arguments: Any, mode: str) -> tuple[str, list[float]]:
    """What a tool has said, and how far it was on the way."""
    seen: list[float] = []

    async def progress(done: float, total: float | None, message: str | None) -> None:
        seen.append(done)

    with trio.fail_after(30):
        async with Client(f"{server.url}/mcp", mode=mode) as client:
            answer: Any = await client.call_tool(tool, arguments, progress_callback=progress)
    return answer.content[0].text, seen


async def test_agents_own_clients_and_mcps_server_beside_them() -> None:
    async with hypercorn(AGENTS, expect_errors=True) as server:
        await ag_ui(server)
        await ai_sdk(server)
        await datastar(server)
        for mode in ("auto", "legacy"):
            assert await call(server, "count", {"n": 3}, mode) == ("counted to 3", [0, 1, 2])


async def ag_ui(server: Server) -> None:
    """Its client reads its events as they are."""
    async with driven("ag-ui", f"{server.url}/ag-ui") as client:
        await client.to_end()
    assert client.data[-1]["type"] == "RUN_FINISHED"
    assert client.said[-1]["what"] == "end"
    assert client.said[-1]["messages"][-1]["content"] == "".join(WORDS)
    async with driven("ag-ui", f"{server.url}/ag-ui?then=fails") as client:
        await client.to_end()
    assert client.data[-1] == {"type": "RUN_ERROR", "message": "The agent failed."}
    assert client.all("failed") == [{"what": "failed", "text": "The agent failed."}]


async def ai_sdk(server: Server) -> None:
    async with driven("ai", f"{server.url}/ai") as client:
        await client.to_end()
    assert "".join(part.get("delta", "") for part in client.data) == "".join(WORDS)
    assert (client.data[-1]["type"], client.said[-1]["what"]) == ("finish", "end")
    async with driven("ai", f"{server.url}/ai?then=fails") as client:
        await client.to_end()
    assert client.data[-1] == {"type": "error", "errorText": "The model failed."}


async def datastar(server: Server) -> None:
    """What datastar-py has framed is framed once."""
    async with server.client() as client:
        response = await client.get("/datastar")
    events = EventStreamDecoder().feed(response.content)
    assert [event.event for event in events] == ["datastar-patch-elements"] * 2
    assert events[-1].data == 'elements <p id="answer">one two</p>'


async def test_mcps_client_comes_back_behind_an_id_and_gives_up_without_one() -> None:
    async with hypercorn("tests.models.mcp_server:app") as server, server.client() as client:
        # It reads over what it does not know.
        assert await call(server, "named", {}, "legacy") == ("named", [1, 2])
        assert await call(server, "polled", {}, "legacy") == ("polled", [1, 2])
        [last] = (await client.get("/asked")).json()
        with pytest.RaisesGroup(MCPError, flatten_subgroups=True):
            await call(server, "lost", {}, "legacy")
        assert (await client.get("/asked")).json() == [last]
