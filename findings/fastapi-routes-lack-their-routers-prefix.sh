#!/bin/sh
# FastAPI 0.165.0 on Starlette 1.10.0 (on Hypercorn 0.18.0, Trio 0.35.0)
#
# Expected: `scope["route"].path` is the template of the whole path, "/users/{id}": that is the
#   label to count requests by, and what earlier versions (0.115.0) had there.
# Instead: if the router was included with `include_router(router, prefix="/users")` the prefix is
#   missing, and "/{id}" is left. With `APIRouter(prefix="/users")` it is there.
# Matters: nothing fails. A middleware of one's own that takes the label from the route counts
#   users, orders and what else has a router as one "/{id}", and alerts that name a path are silent.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
python3 -m venv venv
venv/bin/pip --disable-pip-version-check install -q --no-compile \
    fastapi==0.165.0 starlette==1.10.0 hypercorn==0.18.0 trio==0.35.0

cat > seen.py <<'PYTHON'
import collections

import hypercorn.config
import hypercorn.trio
import trio
from fastapi import APIRouter, FastAPI

counts = collections.Counter()


class Count:
    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        await self.app(scope, receive, send)
        if scope["type"] == "http":
            counts[scope["route"].path] += 1


async def one(id: str) -> str:
    return id


app = FastAPI()
app.add_middleware(Count)
app.get("/direct/{id}")(one)
for name in ("users", "orders"):
    router = APIRouter()
    router.get("/{id}")(one)
    app.include_router(router, prefix=f"/{name}")
router = APIRouter(prefix="/items")
router.get("/{id}")(one)
app.include_router(router)


async def get(address, path):
    """The status line."""
    received = b""
    async with await trio.open_tcp_stream(*address) as client:
        request = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        await client.send_all(request.encode())
        async for data in client:
            received += data
    return received.partition(b"\r\n")[0].strip().decode()


async def main():
    config = hypercorn.config.Config()
    config.bind = ["127.0.0.1:0"]
    config.errorlog = None
    with trio.fail_after(40):
        async with trio.open_nursery() as nursery:
            [bound] = await nursery.start(hypercorn.trio.serve, app, config)
            host, _, port = bound.removeprefix("http://").partition(":")
            for path in ("/direct/7", "/items/7", "/users/7", "/orders/7"):
                status = await get((host, int(port)), path)
                print(f"{path}: {status}")
                assert status == "HTTP/1.1 200"
            nursery.cancel_scope.cancel()


trio.run(main)
print(f"counted: {dict(counts)}\ndocumented: {list(app.openapi()['paths'])}")
assert set(app.openapi()["paths"]) == {
    "/direct/{id}",
    "/users/{id}",
    "/orders/{id}",
    "/items/{id}",
}
assert counts == {"/direct/{id}": 1, "/items/{id}": 1, "/{id}": 2}
PYTHON
timeout 60 venv/bin/python seen.py
