#!/bin/sh
# litellm 1.110.2 (offline, with openai's protocol; Trio 0.35.0, and asyncio for comparison)
#
# Expected: what `completion(stream=True)` gives has both `for` and `async for`. Where the second is
#   not possible, outside asyncio, the attempt raises, and `for` can still read the answer; or it
#   raises, too.
# Instead: the attempt raises "no running event loop" and closes the answer before its first chunk.
#   `for` then finds nothing and ends as if that were all.
# Matters: whatever tries `async for` first and then reads in a thread gives its user an empty
#   answer that is complete, and the model's has been paid.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
python3 -m venv venv
venv/bin/pip --disable-pip-version-check install -q --no-compile \
    litellm==1.110.2 trio==0.35.0

cat > seen.py <<'PYTHON'
import asyncio
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import litellm
import trio

DELTAS = [{"role": "assistant", "content": "All "}, {"content": "of "}, {"content": "it."}, {}]


class Api(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        chunk = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        for delta in DELTAS:
            choice = {"index": 0, "delta": delta, "finish_reason": None if delta else "stop"}
            self.wfile.write(f"data: {json.dumps(chunk | {'choices': [choice]})}\n\n".encode())
        self.wfile.write(b"data: [DONE]\n\n")

    def log_message(self, *args):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
threading.Thread(target=server.serve_forever, daemon=True).start()


def ask():
    return litellm.completion(
        model="openai/m",
        api_base=f"http://127.0.0.1:{server.server_port}/v1",
        api_key="none",
        messages=[{"role": "user", "content": "Tell me."}],
        stream=True,
    )


def text_of(chunk):
    return chunk.choices[0].delta.content or ""


async def read(answer):
    return "".join([text_of(chunk) async for chunk in answer])


by_for = "".join(map(text_of, ask()))
by_async_for = asyncio.run(read(ask()))
answer = ask()
try:
    trio.run(read, answer)
except RuntimeError as error:
    on_trio = str(error)
after_it = "".join(map(text_of, answer))
print(f"for: {by_for!r}, async for on asyncio: {by_async_for!r}")
print(f"async for on Trio: {on_trio}, and then for: {after_it!r}")
assert by_for == by_async_for == "All of it."
assert on_trio == "no running event loop"
assert after_it == ""
PYTHON
LITELLM_LOCAL_MODEL_COST_MAP=True timeout 100 venv/bin/python -W ignore seen.py
