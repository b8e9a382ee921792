#!/bin/sh
# aioprometheus 23.12.0, prometheus-fastapi-instrumentator 8.1.0, starlette-exporter 0.24.0
# (with Starlette 1.10.0, on Hypercorn 0.18.0, Trio 0.35.0)
#
# Expected: a stream that fails after its first events is one request and one response; one may
#   argue whether it counts as 200, which the client was sent, or as 500.
# Instead: aioprometheus counts two responses for the one request, a 200 and a 500. The
#   instrumentator calls it a success ("2xx"), starlette-exporter an error (500), for the very same
#   stream.
# Matters: an error rate made of these is wrong by construction: with aioprometheus there are more
#   responses than requests, with the instrumentator a stream can never fail once it has begun.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
python3 -m venv venv
venv/bin/pip --disable-pip-version-check install -q --no-compile aioprometheus==23.12.0 \
    prometheus-fastapi-instrumentator==8.1.0 starlette-exporter==0.24.0 prometheus_client==0.26.0 \
    starlette==1.10.0 hypercorn==0.18.0 trio==0.35.0

cat > seen.py <<'PYTHON'
import re

import aioprometheus
import hypercorn.config
import hypercorn.trio
import prometheus_client
import prometheus_fastapi_instrumentator
import starlette_exporter
import trio
from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route


async def events(request):
    async def produce():
        yield "data: 1\n\n"
        await trio.sleep(0.1)
        raise RuntimeError("the database went away")

    return StreamingResponse(produce(), media_type="text/event-stream")


async def get(address, path):
    """What came on a connection of its own, to its end."""
    received = b""
    async with await trio.open_tcp_stream(*address) as client:
        request = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        await client.send_all(request.encode())
        async for data in client:
            received += data
    return received


async def fail_once(add):
    app = Starlette(routes=[Route("/events", events)])
    add(app)
    config = hypercorn.config.Config()
    config.bind = ["127.0.0.1:0"]
    config.errorlog = None
    with trio.fail_after(40):
        async with trio.open_nursery() as nursery:
            [bound] = await nursery.start(hypercorn.trio.serve, app, config)
            host, _, port = bound.removeprefix("http://").partition(":")
            address = host, int(port)
            received = await get(address, "/events")
            nursery.cancel_scope.cancel()
    assert received.startswith(b"HTTP/1.1 200 ")
    assert received.endswith(b"data: 1\n\n\r\n")  # cut off, as it should be


def samples(text, name):
    """The status and value of each sample of that name."""
    pattern = rf'^{name}{{.*(?:status|status_code)="(\w+)".*}} (\d)'
    return {status: int(value) for status, value in re.findall(pattern, text, re.MULTILINE)}


trio.run(fail_once, lambda app: app.add_middleware(aioprometheus.MetricsMiddleware))
text = aioprometheus.render(aioprometheus.REGISTRY, ["text/plain"])[0].decode()
by_aioprometheus = samples(text, "status_codes_counter")
requests = re.findall(r"^requests_total_counter{.*} (\d)", text, re.MULTILINE)
responses = re.findall(r"^responses_total_counter{.*} (\d)", text, re.MULTILINE)
print(f"aioprometheus: {requests} request, {responses} responses, {by_aioprometheus}")

instrumentator = prometheus_fastapi_instrumentator.Instrumentator()
trio.run(fail_once, instrumentator.instrument)
text = prometheus_client.generate_latest().decode()
by_instrumentator = samples(text, "http_requests_total")
print(f"prometheus-fastapi-instrumentator: {by_instrumentator}")

trio.run(fail_once, lambda app: app.add_middleware(starlette_exporter.PrometheusMiddleware))
text = prometheus_client.generate_latest().decode()
by_exporter = samples(text, "starlette_requests_total")
print(f"starlette-exporter: {by_exporter}")

assert (requests, responses, by_aioprometheus) == (["1"], ["2"], {"200": 1, "500": 1})
assert by_instrumentator == {"2xx": 1}
assert by_exporter == {"500": 1}
PYTHON
timeout 60 venv/bin/python seen.py
