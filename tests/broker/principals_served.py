"""Streams of principals as a service has them: run by Hypercorn, in several processes."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from trio_stream import (
    Broker,
    ResumableRun,
    Stream,
    StreamApp,
    open_broker,
    presence_topic,
    stream_app,
)


@asynccontextmanager
async def lifespan(app: StreamApp) -> AsyncIterator[dict[str, Broker]]:
    async with open_broker(os.environ["BROKER"]) as broker:
        yield {"broker": broker}


def authorize(scope: Any) -> str | int:
    """Whoever asks is who he says, unless he is in the file of those who are logged out."""
    name = parse_qs(scope["query_string"].decode())["name"][0]
    return 401 if name in Path(os.environ["LOGGED_OUT"]).read_text().split() else name


async def produce(run: ResumableRun) -> None:
    await run.send("begun")
    await run.ended.wait()


@stream_app(authorize=authorize, recheck=0.2, lifespan=lifespan)
def streams(stream: Stream) -> Any:
    assert stream.scope is not None
    broker: Broker = stream.scope["state"]["broker"]
    if stream.scope["path"] == "/room":
        return broker.subscribe(
            *("room", presence_topic("room")),
            after=stream.last_event_id,
            presence=stream.principal,
            presence_data={"at": "the door"},
            snapshot=lambda: broker.presence_event("room"),
        )
    return broker.resumable(f"run/{stream.principal}", produce)


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http" and scope["method"] == "POST":
        asked = {name: value for name, [value] in parse_qs(scope["query_string"].decode()).items()}
        broker: Broker = scope["state"]["broker"]
        if scope["path"] == "/room":
            await broker.update_presence("room", asked["name"], {"at": asked["at"]})
        else:
            seconds = float(asked["refuse_for"])
            await broker.disconnect(asked["name"], refuse_for=seconds, runs="runs" in asked)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})
    else:
        await streams(scope, receive, send)
