#!/bin/sh
# requests-sse 0.5.3, aiohttp-sse-client2 0.3.0 (PyPI), fetch-event-stream 0.1.6 (npm)
#
# Expected: after "data:" one space is the separator and goes, any other belongs to the text.
#   Browsers, the standard's own examples and most clients do so.
# Instead: all three strip every leading space. Python sent as several data lines arrives without
#   its indentation; tokens that begin with a space, as language models write them, arrive glued to
#   the one before.
# Matters: nothing fails and nothing is logged. What was sent as `def f():\n    return 1` is another
#   text at the other end, and "Hello" + " world" is "Helloworld".
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
python3 -m venv venv
venv/bin/pip --disable-pip-version-check install -q --no-compile \
    requests-sse==0.5.3 requests==2.34.2 aiohttp-sse-client2==0.3.0 aiohttp==3.14.5
npm install --silent --no-fund --no-audit fetch-event-stream@0.1.6

cat > fetch.mjs <<'JAVASCRIPT'
import { events } from 'fetch-event-stream'

const seen = []
for await (const event of events(await fetch(process.argv[2]))) seen.push(event.data)
console.log(JSON.stringify(seen))
JAVASCRIPT

cat > seen.py <<'PYTHON'
import asyncio
import json
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import aiohttp_sse_client2.client
import requests_sse

SENT = ["Hello", " world", "def f():\n    return 1"]
LOST = ["Hello", "world", "def f():\nreturn 1"]


class Origin(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for text in SENT:
            lines = "".join(f"data: {line}\n" for line in text.split("\n"))
            self.wfile.write(f"{lines}\n".encode())

    def log_message(self, *args):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Origin)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/"


def by_requests_sse():
    seen = []
    with requests_sse.EventSource(url) as source:
        for event in source:
            seen.append(event.data)
            if len(seen) == len(SENT):
                return seen


async def by_aiohttp_sse_client2():
    seen = []
    async with aiohttp_sse_client2.client.EventSource(url) as source:
        async for event in source:
            seen.append(event.data)
            if len(seen) == len(SENT):
                return seen


received = {
    "requests-sse": by_requests_sse(),
    "aiohttp-sse-client2": asyncio.run(by_aiohttp_sse_client2()),
    "fetch-event-stream": json.loads(subprocess.check_output(["node", "fetch.mjs", url])),
}
print(f"sent: {SENT}")
for name, texts in received.items():
    print(f"{name}: {texts}")
assert all(texts == LOST for texts in received.values())
PYTHON
timeout 60 venv/bin/python seen.py
