#!/bin/sh
# Chromium 156.0.8078 (Debian 12's package chromium 156.0.8078.108-1~deb12u1)
#
# Expected: an event stream is always decoded as UTF-8, whatever its Content-Type says of a charset:
#   so the HTML standard, and the web platform tests ask for it with windows-1252. "utf8" is no more
#   than another name of UTF-8.
# Instead: EventSource fails for good (readyState 2, it does not connect again) at `charset=utf8`, as
#   at any charset but "utf-8" in upper or lower case. XMLHttpRequest decodes the very same response
#   as UTF-8.
# Matters: "utf8" is how it is written in Python, MySQL and many a configuration, and the clients of
#   other languages read such a stream. The page gets an error event that says nothing; the reason
#   stands in the console only.
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

PARAMETERS = [
    "",
    "; charset=utf-8",
    "; charset=UTF-8",
    "; version=1",
    "; charset=utf8",
    "; charset=UTF8",
    "; charset=latin1",
]
PAGE = """<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><script>
const byEventSource = path => new Promise(done => {
  const source = new EventSource(path)
  source.onmessage = event => { source.close(); done(event.data) }
  source.onerror = () => { done(`error, readyState ${source.readyState}`); source.close() }
})
const byRequest = path => new Promise(done => {
  const request = new XMLHttpRequest()
  request.onload = () => done(request.responseText)
  request.open('GET', path)
  request.send()
})
const seen = []
for (let number = 0; number < COUNT; number++)
  seen.push(byEventSource(`/${number}`), byRequest(`/${number}`))
Promise.all(seen).then(all => fetch('/', { method: 'POST', body: JSON.stringify(all) }))
</script>""".replace("COUNT", str(len(PARAMETERS)))
told = threading.Event()
seen = []


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        content_type, body = "text/html", PAGE
        if self.path != "/":
            content_type = "text/event-stream" + PARAMETERS[int(self.path[1:])]
            body = "data: grün\n\n"
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.end_headers()
        self.wfile.write(body.encode())

    def do_POST(self):
        seen.extend(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()
        told.set()

    def log_message(self, *args):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
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
        assert told.wait(40), "Chromium does not answer"
    finally:
        chromium.terminate()
        chromium.wait(20)
for parameters, event, text in zip(PARAMETERS, seen[::2], seen[1::2], strict=True):
    print(f"text/event-stream{parameters}: EventSource: {event}; XMLHttpRequest: {text!r}")
assert seen[::2] == ["grün"] * 4 + ["error, readyState 2"] * 3
assert seen[1::2] == ["data: grün\n\n"] * 6 + ["data: grÃ¼n\n\n"]
PYTHON
timeout 60 python3 seen.py
