#!/bin/sh
# sseclient-py 1.9.0 (with requests 2.34.2) from PyPI, parse-sse 0.1.0 from npm
#
# Expected: an event is whole when its blank line has come. What is unfinished when the stream ends
#   is thrown away; the standard says so in as many words, and browsers do it.
# Instead: both hand the unfinished rest out as an event like any other: an event of three lines
#   that was cut after the second arrives with two.
# Matters: streams end in the middle whenever a server restarts or a proxy gives up; over HTTP/1.0
#   or with a proxy that closes properly the response looks complete. A consumer that stores events,
#   or asks for what comes after their ids, takes the half for the whole and never gets the rest.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
python3 -m venv venv
venv/bin/pip --disable-pip-version-check install -q --no-compile \
    sseclient-py==1.9.0 requests==2.34.2
npm install --silent --no-fund --no-audit parse-sse@0.1.0

cat > parse.mjs <<'JAVASCRIPT'
import { parseServerSentEvents } from 'parse-sse'

const seen = []
for await (const event of parseServerSentEvents(await fetch(process.argv[2])))
  seen.push([event.lastEventId, event.data])
console.log(JSON.stringify(seen))
JAVASCRIPT

cat > seen.py <<'PYTHON'
import json
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests
import sseclient

# Of the second event, `id: 2` with the lines "buy 100", "at 17.20" and "limit", a part has arrived.
ARRIVED = b"id: 1\ndata: hold\n\nid: 2\ndata: buy 100\ndata: at 17.20\n"


class Origin(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        self.wfile.write(ARRIVED)

    def log_message(self, *args):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Origin)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/"

by_python = [
    [event.id, event.data] for event in sseclient.SSEClient(requests.get(url, stream=True)).events()
]
by_node = json.loads(subprocess.check_output(["node", "parse.mjs", url]))
print(f"sseclient-py: {by_python}")
print(f"parse-sse: {by_node}")
assert by_python == by_node == [["1", "hold"], ["2", "buy 100\nat 17.20"]]
PYTHON
timeout 60 venv/bin/python seen.py
