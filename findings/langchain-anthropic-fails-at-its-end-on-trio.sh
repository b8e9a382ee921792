#!/bin/sh
# langchain-anthropic 1.7.10 with langchain-core 1.8.3 (on Trio 0.35.0; asyncio for comparison)
#
# Expected: an SDK either runs on Trio or says at once that it does not. The requests here are
#   anthropic's, which runs on Trio, and every chunk of the answer arrives.
# Instead: after the last chunk astream raises "no running event loop": a callback that counts
#   tokens, or traces, is started with asyncio when the answer is complete.
# Matters: a demo works, word by word. In a service every single answer is logged as failed after it
#   was delivered, and a client that is told of failures asks again and pays twice.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
python3 -m venv venv
venv/bin/pip --disable-pip-version-check install -q --no-compile \
    langchain-anthropic==1.7.10 langchain-core==1.8.3 \
    anthropic==2.14.0 trio==0.35.0

cat > seen.py <<'PYTHON'
import asyncio
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import trio
from langchain_anthropic import ChatAnthropic

message = {"id": "1", "type": "message", "role": "assistant", "model": "m", "content": []}
message |= {"stop_reason": None, "stop_sequence": None}
EVENTS = [
    {
        "type": "message_start",
        "message": message | {"usage": {"input_tokens": 1, "output_tokens": 1}},
    },
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "All of "}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "it."}},
    {"type": "content_block_stop", "index": 0},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn", "stop_sequence": None},
        "usage": {"output_tokens": 2},
    },
    {"type": "message_stop"},
]


class Api(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for event in EVENTS:
            self.wfile.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())

    def log_message(self, *args):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
threading.Thread(target=server.serve_forever, daemon=True).start()


async def ask(path):
    # A path for each, as the SDK keeps a client for each address, and that one its event loop.
    url = f"http://127.0.0.1:{server.server_port}/{path}"
    model = ChatAnthropic(model="m", api_key="none", base_url=url, max_retries=0)
    text = ""
    try:
        async for chunk in model.astream("Tell me."):
            text += chunk.text
    except RuntimeError as error:
        return text, f"RuntimeError: {error}"
    return text, None


on_asyncio, on_trio = asyncio.run(ask("asyncio")), trio.run(ask, "trio")
print(f"asyncio: {on_asyncio}\ntrio: {on_trio}")
assert on_asyncio == ("All of it.", None)
assert on_trio == ("All of it.", "RuntimeError: no running event loop")
PYTHON
timeout 100 venv/bin/python -W ignore seen.py
