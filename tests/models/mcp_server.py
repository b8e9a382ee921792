"""A server of MCP (2025-11-25) written with trio_stream: a call is answered by a stream.

Its tools: ``named`` mixes in an event that no client of MCP knows; ``polled`` ends its stream
behind an id, and goes on where the client asks for the rest; ``lost`` ends it without ever having
sent one.
"""

from collections.abc import AsyncIterator
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from trio_stream import ServerSentEvent, Stream, StreamMiddleware

TOOLS = [{"name": n, "inputSchema": {"type": "object"}} for n in ("named", "polled", "lost")]

asked: list[str | None] = []  # by GET, with which id


def result(id: Any, what: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": id, "result": what}


def said(id: Any, text: str) -> dict[str, Any]:
    return result(id, {"content": [{"type": "text", "text": text}], "isError": False})


def progress(token: Any, done: int) -> dict[str, Any]:
    parameters = {"progressToken": token, "progress": done}
    return {"jsonrpc": "2.0", "method": "notifications/progress", "params": parameters}


async def post(request: Request) -> Stream | Response:
    message = await request.json()
    id = message.get("id")
    match message["method"]:
        case "initialize":
            server = {"name": "tests", "version": "1"}
            what = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}}
            return JSONResponse(result(id, {**what, "serverInfo": server}))
        case "tools/list":
            return JSONResponse(result(id, {"tools": TOOLS}))
        case "tools/call":
            parameters = message["params"]
            token = parameters.get("_meta", {}).get("progressToken")
            return Stream(call(id, parameters["name"], token), retry=50)
        case _:
            return Response(status_code=202)


async def call(id: Any, tool: str, token: Any) -> AsyncIterator[Any]:
    if tool == "named":
        yield ServerSentEvent(progress(token, 1), event="message")
        yield ServerSentEvent({"none": "of its business"}, event="gap")
        yield progress(token, 2)
        yield said(id, "named")
    elif tool == "polled":
        yield ServerSentEvent(progress(token, 1), id=f"{id}-{token}")
    else:
        yield progress(token, 1)


async def get(request: Request) -> Stream | Response:
    """The rest of a call whose stream has ended."""
    last = request.headers.get("last-event-id")
    if last is None:
        return Response(status_code=405)
    asked.append(last)
    id, token = map(int, last.split("-"))
    return Stream([ServerSentEvent(progress(token, 2), id=last), said(id, "polled")])


async def asked_for(request: Request) -> JSONResponse:
    return JSONResponse(asked)


routes = [
    Route("/mcp", post, methods=["POST"]),
    Route("/mcp", get),
    Route("/asked", asked_for),
]
app = StreamMiddleware(Starlette(routes=routes))
