#!/bin/sh
# hishel 2.0.0 (with httpx 0.28.1, on Trio 0.35.0)
#
# Expected: a cache for HTTP clients keeps no response that says `Cache-Control: no-store`, asks
#   again when the request says `no-cache`, and makes nothing of an event stream.
# Instead: CacheClient and AsyncCacheClient keep each successful GET, whatever it says, and answer
#   the next one from that, whatever this asks: the same events come again, at once, with another
#   Last-Event-ID, too. Only with `rfc=True` do they follow RFC 9111.
# Matters: put under a client that reconnects, it hands out the first connection's events for ever,
#   and the server is not asked again. Their ids look right, and nothing fails.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
python3 -m venv venv
venv/bin/pip --disable-pip-version-check install -q --no-compile \
    'hishel[async]==2.0.0' httpx==0.28.1 trio==0.35.0

cat > seen.py <<'PYTHON'
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import hishel.httpx
import httpx
import trio

asked = []


class Server(BaseHTTPRequestHandler):
    def do_GET(self):
        asked.append(self.headers["Last-Event-ID"])
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(f"id: {len(asked)}\ndata: x\n\n".encode())

    def log_message(self, *args):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/"


async def read(client):
    """The ids of three connections, each resumed behind the one before."""
    ids = []
    async with client:
        for _ in range(3):
            headers = {"Accept": "text/event-stream", "Cache-Control": "no-cache"}
            if ids:
                headers["Last-Event-ID"] = ids[-1]
            async with client.stream("GET", url, headers=headers) as response:
                text = "".join([part async for part in response.aiter_text()])
            ids.append(text.splitlines()[0].removeprefix("id: "))
    seen = ids, list(asked)
    asked.clear()
    return seen


seen = {
    "httpx": trio.run(read, httpx.AsyncClient()),
    "hishel": trio.run(read, hishel.httpx.AsyncCacheClient()),
    "hishel, rfc=True": trio.run(read, hishel.httpx.AsyncCacheClient(rfc=True)),
}
for name, (ids, last) in seen.items():
    print(f"{name:17} got {ids}, the server was asked with Last-Event-ID {last}")
right = ["1", "2", "3"], [None, "1", "2"]
assert seen["httpx"] == right
assert seen["hishel"] == (["1", "1", "1"], [None])
assert seen["hishel, rfc=True"] == right
PYTHON
timeout 60 venv/bin/python seen.py
