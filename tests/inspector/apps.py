"""What the inspector's tests look at: streams and topics of each kind, and who may see them."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio

from trio_stream import InspectorApp, Stream, StreamApp, inspector_app, open_broker, stream_app
from trio_stream.broker import Broker


async def flowing(stream: Stream) -> None:
    for n in range(1_000_000):
        await stream.send({"n": n}, event="tick", id=n)
        await stream.wait(0.1)


async def resting(stream: Stream) -> None:
    await stream.send("hello")
    stream.start_soon(stream.wait, 100_000, name="a task of its own")
    await stream.wait(100_000)


async def flooding(stream: Stream) -> None:
    while True:
        await stream.send("x" * 10_000)


async def writing(run: Any) -> None:
    await run.send("a beginning")
    await trio.sleep_forever()


HTML = {"content-type": "text/html; charset=utf-8"}
KINDS = {"/flowing": flowing, "/resting": resting, "/flooding": flooding}
opened: dict[str, Any] = {}


def authorize(scope: Any) -> bool:
    return b"stranger=1" not in dict(scope["headers"]).get(b"cookie", b"")


@asynccontextmanager
async def lifespan(app: StreamApp) -> AsyncIterator[None]:
    async with open_broker(os.environ.get("BROKER", "memory://")) as broker:
        opened["broker"] = broker
        opened["inspector"] = inspector_app(authorize=authorize, broker=broker, payloads=True)
        yield


@stream_app(lifespan=lifespan)
async def only_a_lifespan(stream: Stream) -> None:
    """Nothing is asked of it."""


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        await only_a_lifespan(scope, receive, send)
        return
    path: str = scope["path"]
    broker: Broker = opened["broker"]
    inspector: InspectorApp = opened["inspector"]
    answer: Any
    if path == "/inspect":
        answer = inspector
    elif path == "/page":
        answer = Stream(["<!doctype html>"], format="text", headers=HTML)
    elif path.startswith("/topics/"):
        answer = Stream(broker.subscribe(path[8:], presence="ada"))
    elif path.startswith("/runs/"):
        answer = Stream(broker.resumable(path[6:], writing))
    else:
        kind = next((KINDS[kind] for kind in KINDS if path.startswith(kind)), resting)
        answer = Stream(kind, buffer_bytes=2**16, hold_headers=False)
    await answer(scope, receive, send)
