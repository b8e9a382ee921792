#!/bin/sh
# httpx-sse 0.4.3 (with httpx 0.28.1)
#
# Expected: a heartbeat, a comment with a blank line, is never seen by the program. The HTML
#   standard dispatches an event only where there was a line of data.
# Instead: from the first event with an id on, each heartbeat comes out as an empty "message" that
#   bears the last event's id. Before that, and where events have no id, nothing comes out.
# Matters: streams that can be resumed have ids, and nearly all have heartbeats. A consumer that
#   parses each event's JSON fails at the first quiet moment, one that counts ids sees doubles.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
python3 -m venv venv
venv/bin/pip --disable-pip-version-check install -q --no-compile httpx-sse==0.4.3 httpx==0.28.1

cat > seen.py <<'PYTHON'
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import httpx_sse

HEARTBEAT = b": still here\n\n"
STREAMS = {
    "/without-ids": b"data: one\n\n" + HEARTBEAT + b"data: two\n\n",
    "/with-ids": HEARTBEAT + b"id: 7\ndata: one\n\n" + HEARTBEAT * 2 + b"id: 8\ndata: two\n\n",
}


class Origin(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        self.wfile.write(STREAMS[self.path])

    def log_message(self, *args):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Origin)
threading.Thread(target=server.serve_forever, daemon=True).start()


def events(path):
    url = f"http://127.0.0.1:{server.server_port}{path}"
    with httpx.Client() as client, httpx_sse.connect_sse(client, "GET", url) as source:
        seen = [(event.event, event.data, event.id) for event in source.iter_sse()]
    print(f"{path}: {seen}")
    return seen


assert events("/without-ids") == [("message", "one", ""), ("message", "two", "")]
assert events("/with-ids") == [
    ("message", "one", "7"),
    ("message", "", "7"),  # nobody sent this
    ("message", "", "7"),  # nor this
    ("message", "two", "8"),
]
PYTHON
timeout 60 venv/bin/python seen.py
