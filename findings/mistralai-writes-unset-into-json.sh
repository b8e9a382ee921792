#!/bin/sh
# mistralai 3.7.0, beside groq 1.7.0 (with pydantic 2.14.4)
#
# Expected: a delta without text, as in a chunk that only says why the answer ends, has None or ""
#   for its content, as with other SDKs.
# Instead: its content is an object `Unset()`: false, but neither None nor a str. json.dumps refuses
#   it, and pydantic writes it, in a field of any type, as the text "~?~unset~?~sentinel~?~". Only
#   the chunk's own model_dump_json leaves the field out.
# Matters: who sends on each `delta.content` that is not None ends the answer with that text, on the
#   page and in the conversation that goes back to the model; or with an error.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
python3 -m venv venv
venv/bin/pip --disable-pip-version-check install -q --no-compile \
    mistralai==3.7.0 groq==1.7.0 pydantic==2.14.4

cat > seen.py <<'PYTHON'
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import groq
from mistralai.client import Mistral
from pydantic import BaseModel

CHOICES = [
    {"index": 0, "delta": {"role": "assistant", "content": "Yes."}, "finish_reason": None},
    {"index": 0, "delta": {}, "finish_reason": "stop"},
]
QUESTION = {"model": "m", "messages": [{"role": "user", "content": "Is it?"}]}


class Token(BaseModel):
    text: object


class Api(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        chunk = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        for choice in CHOICES:
            self.wfile.write(f"data: {json.dumps(chunk | {'choices': [choice]})}\n\n".encode())
        self.wfile.write(b"data: [DONE]\n\n")

    def log_message(self, *args):
        pass


def sent_on(chunks):
    return [Token(text=chunk.choices[0].delta.content).model_dump_json() for chunk in chunks]


server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}"

answer = groq.Groq(base_url=url, api_key="none").chat.completions.create(**QUESTION, stream=True)
by_groq = sent_on(answer)
with Mistral(api_key="none", server_url=url).chat.stream(**QUESTION) as events:
    chunks = [event.data for event in events]
by_mistral = sent_on(chunks)
last = chunks[-1].choices[0].delta
print(f"groq: {by_groq}\nmistralai: {by_mistral}, from {last.content!r}")
assert by_groq == ['{"text":"Yes."}', '{"text":null}']
assert by_mistral == ['{"text":"Yes."}', '{"text":"~?~unset~?~sentinel~?~"}']
assert last.content is not None and not isinstance(last.content, str) and not last.content
assert last.model_dump_json() == "{}"
try:
    json.dumps(last.content)
except TypeError as error:
    assert "Unset is not JSON serializable" in str(error)
else:
    raise AssertionError
PYTHON
timeout 60 venv/bin/python seen.py
