#!/bin/sh
# htmx 2.0.11 with htmx-ext-sse 2.2.4 (npm), in Chromium 156 (Debian 12)
#
# Expected: the extension is built on EventSource and comes back where that gives up, after a 503
#   for instance. It comes back as EventSource does, with the id of the last event.
# Instead: what it then makes is a new EventSource, which knows of no id. After a stream that merely
#   ended, the browser itself comes back, with the id; after one 503, or a 204, everything begins
#   anew.
# Matters: at each deploy some clients meet a moment of 503. Their page is handed the whole history
#   once more, below what it has (`hx-swap="beforeend"`), or misses what was said meanwhile.
chromium --version 2>/dev/null | grep -q ' 156\.' || { echo "needs: apt-get install chromium"; exit 2; }
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
npm init -y > /dev/null
npm install --silent --no-audit --no-fund htmx.org@2.0.11 htmx-ext-sse@2.2.4

cat > seen.py <<'PYTHON'
import json
import os
import pathlib
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PAGE = """<!doctype html><link rel="icon" href="data:,">
<script src="/htmx.org/dist/htmx.min.js"></script><script src="/htmx-ext-sse/sse.js"></script>
<body hx-ext="sse">
<ul sse-connect="/200" sse-swap="message" hx-swap="beforeend"></ul>
<ul sse-connect="/503" sse-swap="message" hx-swap="beforeend"></ul>
<ul sse-connect="/204" sse-swap="message" hx-swap="beforeend"></ul>
<script>
const look = () => {
  const seen = [...document.querySelectorAll('ul')].map(list => list.innerText.split(/\\s+/))
  if (seen.every(items => items.includes('end')))
    fetch('/', { method: 'POST', body: JSON.stringify(seen) })
  else
    setTimeout(look, 100)
}
look()
</script>"""
HISTORY = ["one", "two", "three", "end"]
told = threading.Event()
asked = {"/200": [], "/503": [], "/204": []}
seen = []


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path not in asked:
            body = PAGE.encode()
            if self.path != "/":
                body = pathlib.Path("node_modules", self.path[1:]).read_bytes()
            self.answer(200, "text/html" if self.path == "/" else "text/javascript", body)
            return
        attempts = asked[self.path]
        after = self.headers["Last-Event-ID"]
        attempts.append(after)
        if len(attempts) == 2:
            self.answer(int(self.path[1:]), "text/event-stream", b"retry: 100\n\n")
            return
        first = int(after or 0)
        last = 2 if len(attempts) == 1 else len(HISTORY)
        events = [
            f"id: {n + 1}\ndata: <li>{HISTORY[n]}</li>\n\n".encode() for n in range(first, last)
        ]
        self.answer(200, "text/event-stream", b"retry: 100\n\n" + b"".join(events))
        if last > 2:
            time.sleep(20)

    def answer(self, status, content_type, body):
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.end_headers()
        if status != 204:
            self.wfile.write(body)

    def do_POST(self):
        seen.extend(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()
        told.set()

    def log_message(self, *args):
        pass


home = str(pathlib.Path.cwd())
home = {"HOME": home, "XDG_CONFIG_HOME": home, "XDG_CACHE_HOME": home, "TMPDIR": home}
options = [
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
    *("--disable-background-networking", "--disable-component-update", "--no-first-run"),
    *("--no-proxy-server", "--user-data-dir=profile"),
]
server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
with pathlib.Path("log").open("wb") as log:
    url = f"http://127.0.0.1:{server.server_port}/"
    chromium = subprocess.Popen(["chromium", *options, url], env=os.environ | home, stderr=log)
    try:
        assert told.wait(40), "Chromium does not answer"
    finally:
        chromium.terminate()
        chromium.wait(20)
for (path, ids), items in zip(asked.items(), seen, strict=True):
    print(f"second attempt {path[1:]}: Last-Event-ID {ids}, the page shows {items}")
assert asked == {"/200": [None, "2", "2"], "/503": [None, "2", None], "/204": [None, "2", None]}
again = ["one", "two", *HISTORY]
assert seen == [HISTORY, again, again]
PYTHON
timeout 60 python3 seen.py
