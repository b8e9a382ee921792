#!/bin/sh
# Chromium 156.0.8078 (Debian 12's package chromium 156.0.8078.108-1~deb12u1)
#
# Expected: a service worker that passes a request on as it is, `respondWith(fetch(event.request))`,
#   changes nothing of it. So an EventSource that comes back sends its Last-Event-ID.
# Instead: it comes back without, each time. The worker sees a request that has no such header, and
#   what it sends on has none. All else is there, Accept and Cache-Control too, and the events
#   arrive.
# Matters: such a worker is what makes a page installable, and often does nothing else. From its
#   first visit on, a page that resumed its stream begins anew, or has a gap, after each break,
#   without an error. To leave requests with `Accept: text/event-stream` to the browser (no
#   respondWith) is the cure.
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
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PAGE = """<!doctype html><link rel="icon" href="data:,"><script>
const thrice = path => new Promise(done => {
  const source = new EventSource(path)
  const ids = []
  source.onmessage = event => {
    if (ids.push(event.lastEventId) == 3) { source.close(); done(ids) }
  }
})
async function main() {
  const ids = [await thrice('/without')]
  await navigator.serviceWorker.register('/worker.js')
  await new Promise(done => {
    const look = () => navigator.serviceWorker.controller ? done() : setTimeout(look, 50)
    look()
  })
  ids.push(await thrice('/with'), await thrice('/excepted'))
  await fetch('/', { method: 'POST', body: JSON.stringify(ids) })
}
main()
</script>"""
WORKER = """
addEventListener('install', () => skipWaiting())
addEventListener('activate', event => event.waitUntil(clients.claim()))
addEventListener('fetch', event => {
  const path = new URL(event.request.url).pathname
  if (event.request.method == 'GET' && path != '/excepted') event.respondWith(fetch(event.request))
  if (path == '/with')
    fetch('/headers', { method: 'POST', body: JSON.stringify([...event.request.headers.keys()]) })
})
"""
TYPES = {"/": ("text/html", PAGE), "/worker.js": ("text/javascript", WORKER)}
told = threading.Event()
asked = {"/without": [], "/with": [], "/excepted": []}
seen, names = [], set()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path in asked:
            asked[self.path].append(self.headers["Last-Event-ID"])
            content_type = "text/event-stream"
            body = f"retry: 100\nid: {len(asked[self.path])}\ndata: an event\n\n"
        else:
            content_type, body = TYPES[self.path]
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.end_headers()
        self.wfile.write(body.encode())

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(204)
        self.end_headers()
        if self.path == "/headers":
            names.update(body)
        else:
            seen.extend(body)
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
print(f"ids that the page has seen: {seen}")
print(f"Last-Event-ID that came back: {asked}")
print(f"the headers that the worker sees: {sorted(names)}")
assert seen == [["1", "2", "3"]] * 3
assert asked["/without"] == asked["/excepted"] == [None, "1", "2"]
assert asked["/with"] == [None, None, None]
assert "accept" in names and "last-event-id" not in names
PYTHON
timeout 60 python3 seen.py
