#!/bin/sh
# httpx-sse 0.4.3, httpx2 2.16.2, sseclient-py 1.9.0, launchdarkly-eventsource 1.7.4,
# aiohttp-sse-client2 0.3.0, requests-sse 0.5.3
#
# Expected: a byte order mark at the very beginning is skipped. It is in the grammar of event
#   streams (stream = [ bom ] *event), and EventSource in a browser or Node reads such a stream.
# Instead: all six Python clients take the mark for the first letter of the first field's name. The
#   field is "unknown" then, is ignored as unknown fields are, and the first event is gone without
#   an error. If the first line is `id:` or `retry:`, it is that which is gone.
# Matters: servers that write through a "UTF-8 with BOM" writer, as .NET's and Windows' tools have
#   it, send such a stream. The first event is often the snapshot on which all others build.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
python3 -m venv venv
venv/bin/pip --disable-pip-version-check install -q --no-compile \
    httpx-sse==0.4.3 httpx==0.28.1 httpx2==2.16.2 sseclient-py==1.9.0 requests==2.34.2 \
    launchdarkly-eventsource==1.7.4 aiohttp-sse-client2==0.3.0 aiohttp==3.14.5 requests-sse==0.5.3

cat > seen.py <<'PYTHON'
import asyncio
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import aiohttp_sse_client2.client
import httpx
import httpx2
import httpx_sse
import ld_eventsource
import requests
import requests_sse
import sseclient

EVENTS = b"data: first\n\ndata: second\n\n"


class Origin(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.end_headers()
        self.wfile.write(("\ufeff".encode() if self.path == "/marked" else b"") + EVENTS)

    def log_message(self, *args):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Origin)
threading.Thread(target=server.serve_forever, daemon=True).start()


def by_httpx_sse(url):
    with httpx.Client() as client, httpx_sse.connect_sse(client, "GET", url) as source:
        return [event.data for event in source.iter_sse()]


def by_httpx2(url):
    with httpx2.Client() as client, client.stream("GET", url) as response:
        return [event.data for event in httpx2.EventSource(response)]


def by_sseclient_py(url):
    response = requests.get(url, stream=True)
    return [event.data for event in sseclient.SSEClient(response).events()]


# The other three reconnect when the stream ends: what comes before "second" is what counts.


def by_launchdarkly(url):
    client = ld_eventsource.SSEClient(url)
    seen = []
    for event in client.events:
        seen.append(event.data)
        if event.data == "second":
            break
    client.close()
    return seen


def by_aiohttp_sse_client2(url):
    async def read():
        seen = []
        async with aiohttp_sse_client2.client.EventSource(url) as source:
            async for event in source:
                seen.append(event.data)
                if event.data == "second":
                    return seen

    return asyncio.run(read())


def by_requests_sse(url):
    seen = []
    with requests_sse.EventSource(url) as source:
        for event in source:
            seen.append(event.data)
            if event.data == "second":
                return seen


clients = (by_httpx_sse, by_httpx2, by_sseclient_py, by_launchdarkly, by_aiohttp_sse_client2,
           by_requests_sse)
for read in clients:
    plain, marked = (
        read(f"http://127.0.0.1:{server.server_port}/{path}") for path in ("plain", "marked")
    )
    print(f"{read.__name__}: without the mark {plain}, with it {marked}")
    assert plain == ["first", "second"]
    assert marked == ["second"]
PYTHON
timeout 60 venv/bin/python seen.py
