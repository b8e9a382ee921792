#!/bin/sh
# anthropic 2.14.0 (under Trio 0.35.0)
#
# Expected: each event's JSON says in "type" what it is, so the `event:` line above it, which says
#   the same, can be missing; or, if it may not be, its absence is an error.
# Instead: events without an `event:` line are skipped, one and all. The call succeeds with 200, the
#   iteration ends at once, nothing is raised or logged: an answer without a word in it.
# Matters: a relay that re-frames the SDK's own items loses the names, as no item has one, and
#   passes each test that compares JSON. OpenAI's SDK reads the same kind of stream without the
#   names.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
python3 -m venv venv
venv/bin/pip --disable-pip-version-check install -q --no-compile anthropic==2.14.0 trio==0.35.0

cat > seen.py <<'PYTHON'
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import anthropic
import trio

answer = b""


class Api(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for data in (answer, b""):
            self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))

    def log_message(self, *args):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}"


message = {"id": "1", "type": "message", "role": "assistant", "model": "m", "content": []}
message |= {"stop_reason": None, "stop_sequence": None}
EVENTS = [
    {
        "type": "message_start",
        "message": message | {"usage": {"input_tokens": 1, "output_tokens": 1}},
    },
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Yes."}},
    {"type": "content_block_stop", "index": 0},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn", "stop_sequence": None},
        "usage": {"output_tokens": 2},
    },
    {"type": "message_stop"},
]


async def ask():
    async with anthropic.AsyncAnthropic(base_url=url, api_key="none", max_retries=0) as client:
        return [
            event.type
            async for event in await client.messages.create(
                model="m",
                max_tokens=9,
                messages=[{"role": "user", "content": "Is it?"}],
                stream=True,
            )
        ]


answer = "".join(
    f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in EVENTS
).encode()
named = trio.run(ask)
answer = "".join(f"data: {json.dumps(event)}\n\n" for event in EVENTS).encode()
unnamed = trio.run(ask)
print(f"with event: lines {named}\nwithout them {unnamed}")
assert named == [event["type"] for event in EVENTS]
assert unnamed == []
PYTHON
timeout 60 venv/bin/python seen.py
