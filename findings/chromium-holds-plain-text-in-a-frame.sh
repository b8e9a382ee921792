#!/bin/sh
# Chromium 156.0.8078 (Debian 12's package chromium 156.0.8078.108-1~deb12u1)
#
# Expected: a stream of text/plain that is opened in a tab or a frame shows each line as it comes,
#   as a stream of text/html does, and one of text/event-stream, text/markdown or application/json.
# Instead: nothing is shown before a kilobyte has come, or the end: Chromium guesses from it whether
#   the text is one, also with `charset=utf-8`. `X-Content-Type-Options: nosniff` forbids that, and
#   the lines are there at once. A `fetch` of the same gets them at once in any case.
# Matters: a log or a model's answer whose address one opens to look at it seems to hang; curl, and
#   the page that fetches it, show that it does not.
chromium --version 2>/dev/null | grep -q ' 156\.' || { echo "needs: apt-get install chromium"; exit 2; }
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"

cat > seen.py <<'PYTHON'
import json
import os
import pathlib
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LINES, APART = 8, 0.5
TYPES = [
    "text/plain; charset=utf-8",
    "text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff",
    "text/markdown",
    "text/event-stream",
    "application/json",
]
PAGE = """<!doctype html><link rel="icon" href="data:,"><body><script type="module">
const seconds = begun => (performance.now() - begun) / 1000
async function byFrame(path) {
  const begun = performance.now()
  const frame = document.createElement("iframe")
  frame.src = path
  document.body.append(frame)
  while (!frame.contentDocument?.body?.textContent.includes("line"))
    await new Promise(done => setTimeout(done, 20))
  return seconds(begun)
}
async function byFetch(path) {
  const begun = performance.now()
  const reader = (await fetch(path)).body.getReader()
  await reader.read()
  reader.cancel()
  return seconds(begun)
}
const seen = []
for (let number = 0; number < COUNT; number++)
  seen.push([await byFrame(`/frame/${number}`), await byFetch(`/fetch/${number}`)])
fetch("/", { method: "POST", body: JSON.stringify(seen) })
</script>""".replace("COUNT", str(len(TYPES)))
told = threading.Event()
seen = []


class Server(BaseHTTPRequestHandler):
    def do_GET(self):
        stream = self.path != "/"
        self.send_response(200)
        kind = TYPES[int(self.path[-1])] if stream else "text/html"
        self.send_header("Content-Type", kind)
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if not stream:
            self.wfile.write(PAGE.encode())
            return
        try:
            for number in range(LINES):
                self.wfile.write(f"line {number}\n".encode())
                time.sleep(APART)
        except OSError:
            pass  # the page has seen enough

    def do_POST(self):
        seen.extend(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()
        told.set()

    def log_message(self, *args):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
home = str(pathlib.Path.cwd())
home = {"HOME": home, "XDG_CONFIG_HOME": home, "XDG_CACHE_HOME": home, "TMPDIR": home}
options = [
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
    *("--disable-background-networking", "--disable-component-update", "--no-first-run"),
    *("--no-proxy-server", "--user-data-dir=profile"),
]
with pathlib.Path("log").open("wb") as log:
    url = f"http://127.0.0.1:{server.server_port}/"
    chromium = subprocess.Popen(["chromium", *options, url], env=os.environ | home, stderr=log)
    try:
        assert told.wait(60), "Chromium does not answer"
    finally:
        chromium.terminate()
        chromium.wait(20)
print(f"seconds to the first of {LINES} lines that are {APART} s apart, in a frame and by fetch:")
for kind, times in zip(TYPES, seen, strict=True):
    print(f"{', '.join(f'{time:.1f}' for time in times)}  {kind.replace(chr(13) + chr(10), ', ')}")
plain, *others = seen
assert plain[0] > LINES * APART - 0.5
assert plain[1] < LINES * APART / 2
assert all(time < LINES * APART / 2 for times in others for time in times)
PYTHON
timeout 90 python3 seen.py
