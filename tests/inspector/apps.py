"""What the inspector's tests look at: streams of each kind, and who may see them."""

from typing import Any

from trio_stream import Stream, inspector_app


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


HTML = {"content-type": "text/html; charset=utf-8"}
KINDS = {"/flowing": flowing, "/resting": resting, "/flooding": flooding}


def authorize(scope: Any) -> bool:
    return b"stranger=1" not in dict(scope["headers"]).get(b"cookie", b"")


inspector = inspector_app(authorize=authorize)


async def app(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "http", "it needs no lifespan"
    path = scope["path"]
    if path == "/inspect":
        await inspector(scope, receive, send)
    elif path == "/page":
        await Stream(["<!doctype html>"], format="text", headers=HTML)(scope, receive, send)
    else:
        kind = next((KINDS[kind] for kind in KINDS if path.startswith(kind)), resting)
        await Stream(kind, buffer_bytes=2**16, hold_headers=False)(scope, receive, send)
