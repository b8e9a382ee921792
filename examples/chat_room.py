"""A chat room: who is there, what was said, and nothing lost when the connection drops.

    hypercorn --worker-class trio examples.chat_room:app     # then open http://127.0.0.1:8000

Needs Starlette besides (pip install starlette). BROKER names where the talk is kept: sqlite:///a.db
for a talk that outlives the server, redis://localhost for as many servers as you like.

Known limits: anybody may speak under any name. Put a login before it, and take the room and the
name from that: whoever may name a topic may read it.
"""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from trio_stream import Broker, Stream, StreamMiddleware, last_event_id, open_broker, presence_topic


async def page(request: Request) -> FileResponse:
    return FileResponse(Path(__file__).with_name("pages") / "chat_room.html")


async def listen(request: Request) -> Stream:
    """All that is kept of the talk, or what this client has missed, and then what is new."""
    broker: Broker = request.state.broker
    room, name = request.path_params["room"], request.query_params["name"]
    after = last_event_id(request.scope) or "earliest"
    topics = room, presence_topic(room)
    # No patterns: a room called ** would be all of them.
    return Stream(broker.subscribe(*topics, after=after, presence=name, patterns=False))


async def speak(request: Request) -> Response:
    broker: Broker = request.state.broker
    message = await request.json()
    said = {"name": str(message["name"])[:40], "text": str(message["text"])[:1000]}
    # The page sends again what it had no answer to: by `once` it is said once all the same.
    once = str(message.get("once") or "") or None
    await broker.publish(request.path_params["room"], said, event="said", once=once)
    return Response(status_code=204)


async def present(request: Request) -> Response:
    broker: Broker = request.state.broker
    members = await broker.presence(request.path_params["room"])
    return Response("\n".join(member.name for member in members))


async def refuse(request: Request, error: Exception) -> Response:
    """A room or a name that cannot be one."""
    return Response(str(error), status_code=400)


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncGenerator[dict[str, Any]]:
    url = os.environ.get("BROKER", "memory://")
    async with open_broker(url, history=200, presence_grace=2) as broker:
        yield {"broker": broker}


rooms = [
    Route("/", page),
    Route("/rooms/{room}", listen),
    Route("/rooms/{room}", speak, methods=["POST"]),
    Route("/rooms/{room}/present", present),
]
handlers = {ValueError: refuse}
app = StreamMiddleware(Starlette(routes=rooms, lifespan=lifespan, exception_handlers=handlers))
