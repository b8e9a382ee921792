#!/bin/sh
# starlette-prometheus 0.10.0 (with Starlette 1.10.0, on Hypercorn 0.18.0, Trio 0.35.0)
#
# Expected: a stream that is being sent counts as a request in progress, and when it has ended its
#   time is in the histogram of processing times.
# Instead: the gauge is back at 0 and the histogram is filled as soon as the response has begun. A
#   stream of a second is a request of some milliseconds; a hundred open streams are none in
#   progress.
# Matters: "requests in progress" is the number one scales and drains by. It shows an idle server
#   which in truth holds all its clients.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
python3 -m venv venv
venv/bin/pip --disable-pip-version-check install -q --no-compile \
    starlette-prometheus==0.10.0 prometheus_client==0.26.0 \
    starlette==1.10.0 hypercorn==0.18.0 trio==0.35.0

cat > seen.py <<'PYTHON'
import hypercorn.config
import hypercorn.trio
import trio
from prometheus_client import REGISTRY
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import StreamingResponse
from starlette.routing import Route
from starlette_prometheus import PrometheusMiddleware


async def events(request):
    async def produce():
        for number in range(10):
            yield f"data: {number}\n\n"
            await trio.sleep(0.1)

    return StreamingResponse(produce(), media_type="text/event-stream")


def metrics():
    labels = {"method": "GET", "path_template": "/events"}
    name = "starlette_requests_processing_time_seconds"
    return {
        "in progress": REGISTRY.get_sample_value("starlette_requests_in_progress", labels),
        "finished": REGISTRY.get_sample_value(f"{name}_count", labels),
        "seconds": REGISTRY.get_sample_value(f"{name}_sum", labels),
    }


async def get(address, path):
    """What came on a connection of its own, to its end."""
    received = b""
    async with await trio.open_tcp_stream(*address) as client:
        request = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        await client.send_all(request.encode())
        async for data in client:
            received += data
    return received


async def main():
    app = Starlette(
        routes=[Route("/events", events)], middleware=[Middleware(PrometheusMiddleware)]
    )
    config = hypercorn.config.Config()
    config.bind = ["127.0.0.1:0"]
    config.errorlog = None
    with trio.fail_after(40):
        async with trio.open_nursery() as nursery:
            [bound] = await nursery.start(hypercorn.trio.serve, app, config)
            host, _, port = bound.removeprefix("http://").partition(":")
            address = host, int(port)
            began = trio.current_time()
            async with trio.open_nursery() as streams:
                for _ in range(3):
                    streams.start_soon(get, address, "/events")
                await trio.sleep(0.6)
                meanwhile = metrics()
            lasted = trio.current_time() - began
            nursery.cancel_scope.cancel()
    print(f"while three streams were open: {meanwhile}")
    print(f"after they had lasted {lasted:.1f} s: {metrics()}")
    assert lasted > 0.9
    assert meanwhile["in progress"] == 0
    assert meanwhile["finished"] == 3
    assert metrics() == meanwhile  # nothing is added when they really end
    assert meanwhile["seconds"] < 0.5  # three times 1.0 it should be


trio.run(main)
PYTHON
timeout 60 venv/bin/python seen.py
