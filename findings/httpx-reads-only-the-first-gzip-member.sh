#!/bin/sh
# httpx 0.28.1 and httpx2 2.16.2, beside requests 2.34.2
#
# Expected: a gzip body may be several members, one after the other; `gunzip` and requests read them
#   all. A server that keeps no compressor per stream can so compress each event by itself.
# Instead: both give the first member and drop the rest without an error. The response is 200 and
#   complete, with one event in it.
# Matters: such responses come from servers that compress piece by piece, and from logs that were
#   rotated and joined. Of all of it but the first piece nothing is ever seen.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
python3 -m venv venv
venv/bin/pip --disable-pip-version-check install -q --no-compile \
    httpx==0.28.1 httpx2==2.16.2 requests==2.34.2

cat > seen.py <<'PYTHON'
import gzip
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import httpx2
import requests

EVENTS = [b"data: %d\n\n" % number for number in range(3)]


class Origin(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        for event in EVENTS:
            self.wfile.write(gzip.compress(event))

    def log_message(self, *args):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Origin)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/"

assert gzip.decompress(b"".join(gzip.compress(event) for event in EVENTS)) == b"".join(EVENTS)
seen = {
    "requests": requests.get(url).content,
    "httpx": httpx.get(url).content,
    "httpx2": httpx2.get(url).content,
}
print(seen)
assert seen["requests"] == b"".join(EVENTS)
assert seen["httpx"] == seen["httpx2"] == EVENTS[0]
PYTHON
timeout 60 venv/bin/python seen.py
