#!/bin/sh
# FastAPI 0.165.0's server-sent events (Starlette 1.10.0, anyio 4.15.1, uvicorn 0.54.0; CPython)
#
# Expected: a path operation that yields to `EventSourceResponse` has its `finally` run when its
#   client leaves, wherever it was then.
# Instead: at once only if it was waiting inside. If it was left at its `yield`, as one is that gives
#   more than its client takes, nothing closes it. Its `finally` runs when Python's collector comes
#   across it (it is in a cycle), and the server logs an exception group with an error of anyio's.
# Matters: what it holds (a connection to a database, a lock, an upstream's response) stays held by
#   nobody for as long as that takes, and each slow reader that gives up adds one.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
python3 -m venv venv
venv/bin/pip --disable-pip-version-check install -q --no-compile \
    fastapi==0.165.0 starlette==1.10.0 anyio==4.15.1 uvicorn==0.54.0

cat > seen.py <<'PYTHON'
import asyncio
import gc
import logging
import socket

import fastapi
import fastapi.sse
import uvicorn

closed: list[str] = []
api = fastapi.FastAPI()


@api.get("/waiting", response_class=fastapi.sse.EventSourceResponse)
async def waiting():
    try:
        yield "first"
        await asyncio.sleep(3600)
    finally:
        closed.append("waiting")


@api.get("/giving", response_class=fastapi.sse.EventSourceResponse)
async def giving():
    try:
        while True:
            yield "x" * 100_000
    finally:
        closed.append("giving")


class Errors(logging.Handler):
    """What the server logs."""

    seen: list[str] = []

    def emit(self, record):
        self.seen.append(type(record.exc_info[1]).__name__)


async def ask_and_leave(address, path):
    reader, writer = await asyncio.open_connection(*address)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
    await asyncio.sleep(1)
    assert not closed
    writer.transport.abort()
    await asyncio.sleep(2)


async def main():
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(api, log_config=None, log_level="error"))
    logging.getLogger("uvicorn.error").addHandler(Errors())
    logging.getLogger("uvicorn.error").propagate = False
    serving = asyncio.create_task(server.serve([listener]))
    address = listener.getsockname()

    await ask_and_leave(address, "/waiting")
    print("left while it waited, 2 s later closed:", closed)
    assert closed == ["waiting"]
    closed.clear()

    gc.disable()  # the collector comes when it likes: here, when it is told to
    await ask_and_leave(address, "/giving")
    print("left at its yield, 2 s later closed:", closed, "and logged:", Errors.seen)
    assert closed == []
    assert Errors.seen == ["ExceptionGroup"]
    gc.collect()
    await asyncio.sleep(1)
    print("after a collection closed:", closed)
    assert closed == ["giving"]

    server.should_exit = True
    await serving


asyncio.run(asyncio.wait_for(main(), 40))
PYTHON
timeout 60 venv/bin/python seen.py
