#!/bin/sh
# sse-starlette 3.7.0 (read by httpx-sse 0.4.3, on Hypercorn 0.18.0, Trio 0.35.0), beside FastAPI
# 0.165.0
#
# Expected: a name or an id is one line in the format. One that has a line break cannot be sent, and
#   is refused, as FastAPI's ServerSentEvent does.
# Instead: the line breaks are taken out and the rest is sent, without a word in the log: the id
#   "1\n2" arrives as "12", and is the id of another event.
# Matters: an id is for Last-Event-ID. Lines of a file that are ids, with their line breaks, come back
#   without: the server knows no such id, and the client goes on from nowhere or from another place.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
python3 -m venv venv
venv/bin/pip --disable-pip-version-check install -q --no-compile \
    sse-starlette==3.7.0 fastapi==0.165.0 \
    starlette==1.10.0 hypercorn==0.18.0 trio==0.35.0 httpx==0.28.1 httpx-sse==0.4.3

cat > seen.py <<'PYTHON'
import logging

import fastapi.sse
import httpx
import httpx_sse
import hypercorn.config
import hypercorn.trio
import trio
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.applications import Starlette
from starlette.routing import Route

IDS = ["12", "1\n2", "1\r\n2", "41\n"]
logged = []
asked = []


class Handler(logging.Handler):
    def emit(self, record):
        logged.append(record.getMessage())


async def events(request):
    asked.append(request.headers.get("last-event-id"))

    async def sent():
        for id in IDS:
            yield {"id": id, "event": "price\nof day", "data": "x"}
        yield ServerSentEvent("x", id=IDS[-1], event="price\nof day")

    return EventSourceResponse(sent())


async def main():
    app = Starlette(routes=[Route("/", events)])
    config = hypercorn.config.Config()
    config.bind = ["127.0.0.1:0"]
    config.errorlog = None
    headers = {}
    with trio.fail_after(40):
        async with trio.open_nursery() as nursery:
            [url] = await nursery.start(hypercorn.trio.serve, app, config)
            async with httpx.AsyncClient(base_url=url) as client:
                for _ in range(2):
                    async with httpx_sse.aconnect_sse(client, "GET", "/", headers=headers) as source:
                        seen = [(event.event, event.id) async for event in source.aiter_sse()]
                    headers = {"Last-Event-ID": seen[-1][1]}
            nursery.cancel_scope.cancel()
    return seen


logging.getLogger("sse_starlette").addHandler(Handler(logging.WARNING))
seen = trio.run(main)
print(f"ids given: {IDS}")
print(f"names and ids that arrived: {seen}")
print(f"Last-Event-ID: {asked[-1]!r}; logged: {logged}")
refused = []
for id in IDS:
    try:
        fastapi.sse.ServerSentEvent(data="x", id=id)
    except ValueError:
        refused.append(id)
print(f"refused by FastAPI: {refused}")
assert seen == [("priceof day", id) for id in ("12", "12", "12", "41", "41")]
assert asked == [None, "41"]
assert "41" not in IDS
assert logged == []
assert refused == IDS[1:]
PYTHON
timeout 60 venv/bin/python seen.py
