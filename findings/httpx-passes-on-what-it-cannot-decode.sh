#!/bin/sh
# httpx 0.28.1, httpx2 2.16.2 (where Python is older than 3.14), httpx-sse 0.4.3; zstandard 0.25.0
#   only in the server's place
#
# Expected: a response in a coding that the client has no decoder for is an error, as a body that is
#   said to be gzip and is not ("DecodingError").
# Instead: where `zstandard` (httpx2: `backports.zstd`) is not installed, a body with
#   `content-encoding: zstd` comes out as it is, compressed, without an error or a warning. Of an
#   event stream no line makes sense then, and all are skipped.
# Matters: neither asks for zstd by itself, but a proxy that passes on its browser's
#   `accept-encoding` does, and gets it. It sees a stream with status 200 that ends well and has no
#   events; in an image with one package more all is right.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
python3 -m venv venv
venv/bin/pip --disable-pip-version-check install -q --no-compile \
    httpx==0.28.1 httpx2==2.16.2 httpx-sse==0.4.3
venv/bin/pip --disable-pip-version-check install -q --no-compile --target server zstandard==0.25.0

cat > compress.py <<'PYTHON'
import sys

import zstandard

compressor = zstandard.ZstdCompressor().compressobj()
for number in range(20):
    sys.stdout.buffer.write(compressor.compress(b"data: word %d\n\n" % number))
    sys.stdout.buffer.write(compressor.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK))
sys.stdout.buffer.write(compressor.flush())
PYTHON
PYTHONPATH=server venv/bin/python compress.py > events.zst

cat > seen.py <<'PYTHON'
import gzip
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import httpx2
from httpx_sse import EventSource

EVENTS = b"".join(b"data: word %d\n\n" % number for number in range(20))
BODIES = {"zstd": Path("events.zst").read_bytes(), "gzip": gzip.compress(EVENTS)}
BROWSER = "gzip, deflate, br, zstd"
CLIENTS = [httpx] if sys.version_info >= (3, 14) else [httpx, httpx2]


class Origin(BaseHTTPRequestHandler):
    def do_GET(self):
        accepted = self.headers["Accept-Encoding"]
        coding = "zstd" if "zstd" in accepted else "gzip"
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Content-Encoding", coding)
        self.send_header("Content-Length", str(len(BODIES[coding])))
        self.end_headers()
        self.wfile.write(BODIES[coding])

    def log_message(self, *args):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Origin)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/"

for client in CLIENTS:
    with client.stream("GET", url) as response:
        own = len(list(EventSource(response).iter_sse()))
    with client.stream("GET", url, headers={"Accept-Encoding": BROWSER}) as response:
        passed_on = list(EventSource(response).iter_sse())
        status = response.status_code
    body = client.get(url, headers={"Accept-Encoding": BROWSER}).content
    print(f"{client.__name__}: {own} events as it asks itself; ", end="")
    print(f"as a browser asks: {status}, {len(passed_on)} events, from {body[:12]!r}...")
    assert (own, status, len(passed_on)) == (20, 200, 0)
    assert body == BODIES["zstd"]
PYTHON
timeout 60 venv/bin/python seen.py
