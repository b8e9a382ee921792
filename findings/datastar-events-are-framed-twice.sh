#!/bin/sh
# datastar-py 1.0.3 in sse-starlette 3.7.0's EventSourceResponse (read by httpx-sse 0.4.3, on
# Hypercorn 0.18.0, Trio 0.35.0)
#
# Expected: what Datastar's ServerSentEventGenerator makes, a DatastarEvent, is an event, and a
#   response for events sends it as one; or it refuses it.
# Instead: DatastarEvent is a str that is framed already. The response takes it for text and frames
#   it once more: one unnamed event whose data reads "event: datastar-patch-elements". Nobody
#   complains.
# Matters: the page stays as it is, and browser and log look fine: 200, text/event-stream, events
#   come in. It is what everyone meets who adds Datastar to an application that has event streams.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
python3 -m venv venv
venv/bin/pip --disable-pip-version-check install -q --no-compile \
    datastar-py==1.0.3 sse-starlette==3.7.0 \
    starlette==1.10.0 hypercorn==0.18.0 trio==0.35.0 httpx==0.28.1 httpx-sse==0.4.3

cat > seen.py <<'PYTHON'
import httpx
import httpx_sse
import hypercorn.config
import hypercorn.trio
import trio
from datastar_py import ServerSentEventGenerator
from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route


async def patches():
    yield ServerSentEventGenerator.patch_elements('<div id="time">noon</div>')


async def as_events(request):
    return EventSourceResponse(patches())


async def as_bytes(request):
    return StreamingResponse(patches(), media_type="text/event-stream")


async def main():
    app = Starlette(routes=[Route("/events", as_events), Route("/bytes", as_bytes)])
    config = hypercorn.config.Config()
    config.bind = ["127.0.0.1:0"]
    config.errorlog = None
    seen = {}
    with trio.fail_after(40):
        async with trio.open_nursery() as nursery:
            [url] = await nursery.start(hypercorn.trio.serve, app, config)
            async with httpx.AsyncClient(base_url=url) as client:
                for path in ("/bytes", "/events"):
                    async with httpx_sse.aconnect_sse(client, "GET", path) as source:
                        [event] = [event async for event in source.aiter_sse()]
                    seen[path] = (event.event, event.data)
                    print(f"{path}: {seen[path]}")
            nursery.cancel_scope.cancel()
    elements = 'elements <div id="time">noon</div>'
    assert seen["/bytes"] == ("datastar-patch-elements", elements)
    name, data = seen["/events"]
    assert name == "message"
    assert data.startswith(f"event: datastar-patch-elements\ndata: {elements}")


trio.run(main)
PYTHON
timeout 60 venv/bin/python seen.py
