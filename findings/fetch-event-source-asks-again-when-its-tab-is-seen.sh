#!/bin/sh
# @microsoft/fetch-event-source 2.0.1 (npm), in Chromium 156 (Debian 12)
#
# Expected: what reads an answer to a POST reads it to its end. That its user looks at another tab
#   meanwhile makes no difference, or at most that nothing is drawn.
# Instead: when the tab is hidden the response is given up, and when it is seen again the POST is
#   sent again, with the same body, and read from its beginning. `onopen`, `onerror` and `onclose`
#   do not tell. `openWhenHidden: true` is the cure; the manual praises the default as saving the
#   server's load.
# Matters: this is how most pages read a model's answer. Whoever looks something up while the model
#   writes has the question asked twice, pays twice, and sees the first words of one answer before
#   all of another.
chromium --version 2>/dev/null | grep -q ' 156\.' || { echo "needs: apt-get install chromium"; exit 2; }
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
npm init -y > /dev/null
npm install --silent --no-audit --no-fund @microsoft/fetch-event-source@2.0.1

cat > seen.py <<'PYTHON'
import json
import os
import pathlib
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FILES = pathlib.Path("node_modules/@microsoft/fetch-event-source/lib/esm")
PAGE = """<!doctype html><link rel="icon" href="data:,"><script type="module">
import { fetchEventSource } from '/index.js'
const seen = []
const sleep = ms => new Promise(done => setTimeout(done, ms))
document.addEventListener('visibilitychange', () => seen.push(document.visibilityState))
for (const openWhenHidden of [false, true]) {
  const answer = fetchEventSource('/ask', {
    method: 'POST', body: 'the question', openWhenHidden,
    onmessage: event => { seen.push(event.data) }, onerror: () => { seen.push('an error') },
  })
  while (!seen.includes('word 2')) await sleep(20)
  const other = open('about:blank')
  while (document.visibilityState != 'hidden') await sleep(20)
  await sleep(300)
  other.close()
  await answer
  while (document.visibilityState != 'visible') await sleep(20)
  await fetch('/', { method: 'POST', body: JSON.stringify(seen.splice(0)) })
}
</script>"""
told = threading.Event()
asked, seen = [0], []


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body, content_type = PAGE.encode(), "text/html"
        if self.path != "/":
            name = self.path[1:].removesuffix(".js") + ".js"
            body, content_type = (FILES / name).read_bytes(), "text/javascript"
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/ask":
            asked[-1] += 1
            self.answer()
            return
        seen.append(json.loads(body))
        self.send_response(204)
        self.end_headers()
        if len(seen) == 2:
            told.set()
        else:
            asked.append(0)

    def answer(self):
        """Ten words, one each 100 ms."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        try:
            for n in range(1, 11):
                self.wfile.write(f"data: word {n}\n\n".encode())
                time.sleep(0.1)
        except OSError:
            pass

    def log_message(self, *args):
        pass


home = str(pathlib.Path.cwd())
home = {"HOME": home, "XDG_CONFIG_HOME": home, "XDG_CACHE_HOME": home, "TMPDIR": home}
options = [
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
    *("--disable-background-networking", "--disable-component-update", "--no-first-run"),
    *("--no-proxy-server", "--user-data-dir=profile", "--disable-popup-blocking"),
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
print(f"requests: {asked}; by itself: {seen[0]}; with openWhenHidden: {seen[1]}")
words = [f"word {n}" for n in range(1, 11)]
for items in seen:
    assert [item for item in items if not item.startswith("word")] == ["hidden", "visible"]
assert asked == [2, 1]
by_itself = seen[0][seen[0].index("visible") + 1 :]
assert seen[0][:2] == words[:2] and by_itself == words
assert [item for item in seen[1] if item.startswith("word")] == words
PYTHON
timeout 60 python3 seen.py
