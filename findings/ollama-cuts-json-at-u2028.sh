#!/bin/sh
# ollama 0.6.3, huggingface_hub 2.4.0 (under Trio 0.35.0), over httpx 0.28.1 and httpx2 2.16.2
#
# Expected: a line of JSON ends at a line feed. U+2028 (LINE SEPARATOR) and U+0085 (NEL) may stand
#   as they are inside a JSON string, and most encoders leave them so: JSON.stringify, serde_json,
#   msgspec, Python's with ensure_ascii=False.
# Instead: both SDKs read lines with httpx' aiter_lines, which cuts wherever str.splitlines does.
#   The JSON is cut in the middle of its string and the stream ends with a JSONDecodeError.
# Matters: these characters come out of web pages and PDFs that a model was given, so it fails for
#   some answers in a thousand and nobody can say why. Tests with ASCII text never see it.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
python3 -m venv venv
venv/bin/pip --disable-pip-version-check install -q --no-compile \
    ollama==0.6.3 huggingface_hub==2.4.0 \
    httpx==0.28.1 httpx2==2.16.2 trio==0.35.0

cat > seen.py <<'PYTHON'
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import huggingface_hub
import ollama
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


MESSAGE = {"role": "user", "content": "Read it to me."}


def ollama_line(text):
    line = {"model": "m", "created_at": "2026-01-01T00:00:00Z", "done": True}
    return json.dumps(line | {"message": {"role": "assistant", "content": text}}, ensure_ascii=False)


def chat_event(text):
    choice = {"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": None}
    chunk = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    chunk |= {"choices": [choice], "system_fingerprint": ""}
    return f"data: {json.dumps(chunk, ensure_ascii=False)}\n"


async def by_ollama():
    answer = await ollama.AsyncClient(host=url).chat(model="m", messages=[MESSAGE], stream=True)
    return "".join([part.message.content async for part in answer])


async def by_huggingface_hub():
    client = huggingface_hub.AsyncInferenceClient(base_url=url, api_key="none")
    answer = await client.chat_completion(messages=[MESSAGE], stream=True)
    return "".join([chunk.choices[0].delta.content async for chunk in answer])


def outcome(read):
    try:
        return trio.run(read)
    except json.JSONDecodeError:
        return "JSONDecodeError"


for read, frame in ((by_ollama, ollama_line), (by_huggingface_hub, chat_event)):
    seen = {}
    for text in ("plain", "two\u2028lines", "two\u0085lines"):
        answer = f"{frame(text)}\n".encode()
        seen[text] = outcome(read)
    print(f"{read.__name__}: {seen}")
    assert seen == {
        "plain": "plain",
        "two\u2028lines": "JSONDecodeError",
        "two\u0085lines": "JSONDecodeError",
    }
PYTHON
timeout 60 venv/bin/python seen.py
