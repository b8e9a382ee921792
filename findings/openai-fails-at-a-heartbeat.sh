#!/bin/sh
# openai 3.57.0 (under Trio 0.35.0)
#
# Expected: heartbeats are no concern of a client of chat completions. The SDK skips comments, as
#   long as no event had an id.
# Instead: after the first event with an id, the next heartbeat raises json.JSONDecodeError: the SDK
#   makes an event without data of it and parses that. A block that only sets `retry:` does the
#   same, at any time.
# Matters: the API itself sends neither, but gateways in front of it do, and an id is what they add
#   so that an answer can be resumed. The answer then breaks off at the first pause of the model.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
python3 -m venv venv
venv/bin/pip --disable-pip-version-check install -q --no-compile openai==3.57.0 trio==0.35.0

cat > seen.py <<'PYTHON'
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import openai
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


def token(text):
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    chunk = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return f"data: {json.dumps(chunk | {'choices': [choice]})}\n\n".encode()


HEARTBEAT = b": still here\n\n"
DONE = b"data: [DONE]\n\n"
ANSWERS = {
    "heartbeat, no ids": token("one") + HEARTBEAT + token(" two") + DONE,
    "ids, no heartbeat": b"id: 7\n" + token("one") + token(" two") + DONE,
    "ids and heartbeat": b"id: 7\n" + token("one") + HEARTBEAT + token(" two") + DONE,
    "retry": b"retry: 3000\n\n" + token("one") + token(" two") + DONE,
}


async def ask():
    text = ""
    async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as client:
        message = {"role": "user", "content": "Count."}
        try:
            async for chunk in await client.chat.completions.create(
                model="m", messages=[message], stream=True
            ):
                text += chunk.choices[0].delta.content
        except Exception as error:
            return text, type(error).__name__
    return text, None


seen = {}
for name, answer in ANSWERS.items():
    seen[name] = trio.run(ask)
    print(f"{name}: {seen[name]}")
assert seen == {
    "heartbeat, no ids": ("one two", None),
    "ids, no heartbeat": ("one two", None),
    "ids and heartbeat": ("one", "JSONDecodeError"),
    "retry": ("", "JSONDecodeError"),
}
PYTHON
timeout 60 venv/bin/python seen.py
