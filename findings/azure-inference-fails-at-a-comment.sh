#!/bin/sh
# azure-ai-inference 1.0.0b9, beside openai 3.57.0 (both synchronous, PyPI)
#
# Expected: the client reads an event stream: comments, ids and names are parts of one and are
#   skipped where there is no use for them. An error that the model's server reports in mid-stream
#   is raised.
# Instead: it reads lines that begin with "data: " or are empty. At all others, a heartbeat, an
#   `id:`, a line that ends in CR LF, a colon with no blank behind, it raises ValueError "SSE event
#   not supported". And an event `{"error": ...}` is an update without choices: the loop ends as
#   after a whole answer.
# Matters: a gateway with heartbeats in front of the same model breaks each answer that takes its
#   time to begin; and "overloaded" in the middle of an answer is a short answer.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
python3 -m venv venv
venv/bin/pip --disable-pip-version-check install -q --no-compile \
    azure-ai-inference==1.0.0b9 openai==3.57.0

cat > seen.py <<'PYTHON'
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import openai
from azure.ai.inference import ChatCompletionsClient
from azure.core.credentials import AzureKeyCredential

QUESTION = [{"role": "user", "content": "a question"}]


def event(text):
    choice = {"index": 0, "finish_reason": None, "delta": {"role": "assistant", "content": text}}
    item = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "a-model"}
    return f"data: {json.dumps(item | {'choices': [choice]})}\n\n"


ONE, TWO, DONE = event("one"), event("two"), "data: [DONE]\n\n"
ERROR = f"data: {json.dumps({'error': {'message': 'overloaded', 'code': 'busy'}})}\n\n"
STREAMS = {
    "as it is": ONE + TWO + DONE,
    "a heartbeat": ONE + ": ping\n\n" + TWO + DONE,
    "an id": "id: 1\n" + ONE + TWO + DONE,
    "CR LF": (ONE + TWO + DONE).replace("\n", "\r\n"),
    "an error": ONE + ERROR,
}
body = b""


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}"


def words(updates):
    """The words that came, and what was raised."""
    said, raised = [], None
    try:
        for update in updates():
            said += [choice.delta.content for choice in update.choices or []]
    except Exception as error:
        raised = f"{type(error).__name__}: {error}"[:40]
    return " ".join(said), raised


azure = ChatCompletionsClient(url, AzureKeyCredential("nobody's"))
other = openai.OpenAI(base_url=url, api_key="nobody's", max_retries=0)
seen = {}
for name, text in STREAMS.items():
    body = text.encode()
    seen[name] = (
        words(lambda: azure.complete(messages=QUESTION, stream=True)),
        words(lambda: other.chat.completions.create(messages=QUESTION, model="m", stream=True)),
    )
    print(f"{name}: azure-ai-inference {seen[name][0]}, openai {seen[name][1]}")
assert seen["as it is"] == (("one two", None), ("one two", None))
for name in ("a heartbeat", "an id", "CR LF"):
    raised, whole = seen[name]
    assert "ValueError: SSE event not supported" in raised[1] and whole == ("one two", None)
assert seen["an error"] == (("one", None), ("one", "APIError: overloaded"))
PYTHON
timeout 60 venv/bin/python seen.py
