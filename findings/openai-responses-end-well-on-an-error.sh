#!/bin/sh
# openai 3.57.0 (under Trio 0.35.0)
#
# Expected: an error that the API reports in the middle of a stream is raised, as the SDK does it
#   for chat completions: what iterates a stream to its end has the whole answer.
# Instead: from `responses.create(stream=True)` the API's `error` event comes out of the iterator as
#   one item more, a ResponseErrorEvent, and the loop ends as after a complete answer.
# Matters: a loop that picks the text deltas and ignores the other events, which is the way to read
#   this API, hands on half an answer as a whole one; moving from chat completions to responses
#   removes the exception that one had relied upon.
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


def event(data, name=None):
    line = f"event: {name}\n" if name else ""
    return f"{line}data: {json.dumps(data)}\n\n".encode()


choice = {"index": 0, "delta": {"content": "Half an"}, "finish_reason": None}
chunk = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
CHAT = event(chunk | {"choices": [choice]}) + event(
    {"error": {"message": "overloaded", "type": "server_error", "code": 503}}
)
DELTA = "response.output_text.delta"
place = {"item_id": "1", "output_index": 0, "content_index": 0, "logprobs": []}
RESPONSES = event({"type": DELTA, "delta": "Half an", "sequence_number": 1} | place, DELTA)
failure = {"type": "error", "code": "server_error", "message": "overloaded", "param": None}
RESPONSES += event(failure | {"sequence_number": 2}, "error")


async def ask(call):
    text = ""
    others = []
    async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as client:
        try:
            if call == "chat":
                message = {"role": "user", "content": "Tell me."}
                async for item in await client.chat.completions.create(
                    model="m", messages=[message], stream=True
                ):
                    text += item.choices[0].delta.content
            else:
                async for item in await client.responses.create(
                    model="m", input="Tell me.", stream=True
                ):
                    if item.type == DELTA:
                        text += item.delta
                    else:
                        others.append(f"{type(item).__name__}: {item.message}")
        except openai.APIError as error:
            return text, others, f"raised {error.message}"
    return text, others, "ended"


answer = CHAT
chat = trio.run(ask, "chat")
answer = RESPONSES
responses = trio.run(ask, "responses")
print(f"chat completions: {chat}\nresponses: {responses}")
assert chat == ("Half an", [], "raised overloaded")
assert responses == ("Half an", ["ResponseErrorEvent: overloaded"], "ended")
PYTHON
timeout 60 venv/bin/python seen.py
