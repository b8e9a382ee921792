#!/bin/sh
# Chromium 156.0.8078 (Debian 12's package chromium 156.0.8078.108-1~deb12u1)
#
# Expected: two requests of a page for the same address are two requests. The first one's response
#   says `Cache-Control: no-store`, so nothing of it could be of use to the second.
# Instead: the cache sends the second request only when the first has its response's headers, and a
#   third when the second has. Only with `cache: "no-store"`, or a POST, are they sent at once; an
#   EventSource sends its own at once, too.
# Matters: a stream whose headers wait for its first event (a model that thinks, an upstream that is
#   asked) makes each further tab wait as much longer, and the server sees no request to explain it.
chromium --version 2>/dev/null | grep -q ' 156\.' || { echo "needs: apt-get install chromium"; exit 2; }
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"

cat > seen.py <<'PYTHON'
import os
import pathlib
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PAGE = """<!doctype html><link rel="icon" href="data:,"><script type="module">
const thrice = ask => Promise.all([ask(), ask(), ask()])
await thrice(async () => (await fetch("/fetch")).text())
await thrice(async () => (await fetch("/no-store", { cache: "no-store" })).text())
await thrice(async () => (await fetch("/post", { method: "POST" })).text())
await thrice(() => new Promise(done => {
  const source = new EventSource("/eventsource")
  source.onopen = () => (source.close(), done())
}))
fetch("/done")
</script>"""
THINKS = 2  # seconds
told = threading.Event()
asked = {}


class Server(BaseHTTPRequestHandler):
    def do_GET(self):
        stream = self.path != "/"
        if self.path == "/done":
            told.set()
        elif stream:
            asked.setdefault(self.path[1:], []).append(time.monotonic())
            time.sleep(THINKS)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream" if stream else "text/html")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(b"data: x\n\n" if stream else PAGE.encode())

    do_POST = do_GET

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
print(f"each is answered after {THINKS} s; seconds at which the server is asked:")
seen = {name: [time - times[0] for time in times] for name, times in asked.items()}
for name, times in seen.items():
    print(f"{name:12} {', '.join(f'{time:.1f}' for time in times)}")
assert len(seen["fetch"]) == 3
assert seen["fetch"][1] > THINKS - 0.1
assert seen["fetch"][2] > 2 * THINKS - 0.2
for name in ("no-store", "post", "eventsource"):
    assert len(seen[name]) == 3
    assert seen[name][2] < THINKS / 2
PYTHON
timeout 90 python3 seen.py
