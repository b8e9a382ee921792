#!/bin/sh
# together 3.1.1, beside groq 1.7.0, which has the same origin (Trio 0.35.0)
#
# Expected: answers that were read to their end, one after the other with one client, share one
#   connection that is kept alive.
# Instead: each streamed answer takes a new connection with together, a TLS handshake each in real
#   life. It stops reading at `data: [DONE]`, before the response's own end, and a response that was
#   not read to its end cannot give its connection back. groq reads on, and needs one.
# Matters: the time to the first token grows by a handshake, at every single request.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
python3 -m venv venv
venv/bin/pip --disable-pip-version-check install -q --no-compile \
    together==3.1.1 groq==1.7.0 trio==0.35.0

cat > seen.py <<'PYTHON'
import json
import threading
import warnings
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import groq
import together
import trio

warnings.simplefilter("ignore", ResourceWarning)  # of generators that together leaves unfinished
connections = set()
choice = {"index": 0, "delta": {"content": "Yes."}, "finish_reason": None}
chunk = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
answer = f"data: {json.dumps(chunk | {'choices': [choice]})}\n\ndata: [DONE]\n\n".encode()


class Api(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        connections.add(self.client_address)
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


async def ask(client):
    connections.clear()
    async with client:
        for _ in range(4):
            chunks = await client.chat.completions.create(
                model="m", messages=[{"role": "user", "content": "Is it?"}], stream=True
            )
            text = "".join([chunk.choices[0].delta.content async for chunk in chunks])
            assert text == "Yes."
    return len(connections)


seen = {
    "groq": trio.run(ask, groq.AsyncGroq(base_url=url, api_key="none")),
    "together": trio.run(ask, together.AsyncTogether(base_url=url, api_key="none")),
}
print(f"connections for four answers: {seen}")
assert seen == {"groq": 1, "together": 4}
PYTHON
timeout 60 venv/bin/python seen.py
