#!/bin/sh
# @microsoft/fetch-event-source 2.0.1, extended-eventsource 2.1.0, fetch-event-stream 0.1.6 (npm, on
# Node 20), aiosseclient 0.1.8, requests-sse 0.5.3, aiohttp-sse-client2 0.3.0 (PyPI)
#
# Expected: a text is sent as one `data:` for each of its lines and comes out as it was, be it that
#   its first lines are empty or its last ones. Browsers, undici and httpx-sse do so.
# Instead: the first three and aiosseclient drop the empty lines before the first that is not empty
#   (the lines so far are joined by "data ? data + '\n' + value : value", to which no line and an
#   empty one are the same); requests-sse and aiohttp-sse-client2 drop those at the end.
# Matters: models write line breaks as tokens of their own, and at the beginning of others. Sent as
#   text, an answer's paragraphs, lists and code run together into one line, on one page of several.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
python3 -m venv venv
venv/bin/pip --disable-pip-version-check install -q --no-compile \
    aiosseclient==0.1.8 requests-sse==0.5.3 aiohttp-sse-client2==0.3.0 aiohttp==3.14.5 \
    requests==2.34.2
npm install --silent --no-fund --no-audit @microsoft/fetch-event-source@2.0.1 \
    extended-eventsource@2.1.0 fetch-event-stream@0.1.6 undici@7.30.2

cat > read.mjs <<'JAVASCRIPT'
const [url] = process.argv.slice(2)
console.debug = console.info = console.warn = console.error = () => {} // extended-eventsource tells
globalThis.document = { hidden: false, addEventListener() {}, removeEventListener() {} }
globalThis.window = globalThis
const { fetchEventSource } = await import('@microsoft/fetch-event-source')
const { EventSource: Extended } = await import('extended-eventsource')
const { events } = await import('fetch-event-stream')
const { EventSource: Undici } = await import('undici')

function read(EventSource) {
  return new Promise(done => {
    const texts = []
    const source = new EventSource(url)
    source.onmessage = event => texts.push(event.data)
    source.onerror = () => {}
    source.addEventListener('end', () => (source.close(), done(texts)))
  })
}

const seen = { 'fetch-event-source': [], 'fetch-event-stream': [] }
await fetchEventSource(url, {
  onmessage: ({ event, data }) => event || seen['fetch-event-source'].push(data),
})
for await (const { event, data } of events(await fetch(url)))
  event || seen['fetch-event-stream'].push(data)
seen['extended-eventsource'] = await read(Extended)
seen.undici = await read(Undici)
process.stdout.write(JSON.stringify(seen), () => process.exit())
JAVASCRIPT

cat > seen.py <<'PYTHON'
import asyncio
import json
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import aiohttp_sse_client2.client
import aiosseclient
import requests_sse

TEXTS = ["Two things:", "\n\n", "1. this\n", "\n2. that", "a\n\nb"]
AT_THE_BEGINNING = ["Two things:", "", "1. this\n", "2. that", "a\n\nb"]
AT_THE_END = ["Two things:", "", "1. this", "\n2. that", "a\n\nb"]


def framed(text):
    return "".join(f"data: {line}\n" for line in text.split("\n")) + "\n"


BODY = "".join(map(framed, TEXTS)) + "event: end\ndata: end\n\n"


class Server(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        self.wfile.write(BODY.encode())

    def log_message(self, *args):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/"


def by_requests_sse():
    texts = []
    with requests_sse.EventSource(url) as source:
        for event in source:
            if event.type == "end":
                return texts
            texts.append(event.data)


async def by_aiohttp_sse_client2():
    texts = []
    async with aiohttp_sse_client2.client.EventSource(url) as source:
        async for event in source:
            if event.type == "end":
                return texts
            texts.append(event.data)


async def by_aiosseclient():
    texts = []
    async for event in aiosseclient.aiosseclient(url):
        if event.event == "end":
            return texts
        texts.append(event.data)


node = subprocess.run(["node", "read.mjs", url], stdout=subprocess.PIPE, check=True, timeout=40)
seen = json.loads(node.stdout) | {
    "aiosseclient": asyncio.run(by_aiosseclient()),
    "requests-sse": by_requests_sse(),
    "aiohttp-sse-client2": asyncio.run(by_aiohttp_sse_client2()),
}
print(f"{'sent':20} {TEXTS}")
for name, texts in seen.items():
    print(f"{name:20} {texts}")
assert seen.pop("undici") == TEXTS
assert seen.pop("requests-sse") == seen.pop("aiohttp-sse-client2") == AT_THE_END
assert seen.pop("aiosseclient") == AT_THE_BEGINNING
assert seen.pop("fetch-event-source") == seen.pop("extended-eventsource") == AT_THE_BEGINNING
assert seen.pop("fetch-event-stream") == AT_THE_BEGINNING
PYTHON
timeout 100 venv/bin/python -W ignore seen.py
