#!/bin/sh
# Chromium 156.0.8078 (Debian 12's package chromium 156.0.8078.108-1~deb12u1), Node 20's fetch and
# undici 7.30.2's, Bun 1.4.5, beside Deno 2.9.6 (npm)
#
# Expected: a response that breaks off is read as far as it has arrived, and then the reader is told
#   by an error. So it is with Deno, and with what reads the connection itself, as curl does.
# Instead: the error comes first. What has arrived and was not read at that moment is thrown away:
#   all that came while the page was busy with the piece before.
# Matters: a server that fails sends an event that says why, and breaks off. A page that takes a
#   third of a second to show each piece never sees that event, nor the last words before it, and
#   cannot tell: there is only "network error". A pause before the break helps: it can read then.
chromium --version 2>/dev/null | grep -q ' 156\.' || { echo "needs: apt-get install chromium"; exit 2; }
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
npm install --silent --no-fund --no-audit undici@7.30.2 bun@1.4.5 deno@2.9.6

cat > read.mjs <<'JAVASCRIPT'
// Runs in a page, and on Node, Deno and Bun. How many events are read until the error.
export async function read(fetch, url, busy) {
  let count = 0
  const decoder = new TextDecoder()
  try {
    const reader = (await fetch(url)).body.getReader()
    for (;;) {
      const { value, done } = await reader.read()
      if (done) return `${count}, and a proper end`
      count += decoder.decode(value).split('data').length - 1
      await new Promise(done => setTimeout(done, busy)) // the page shows it
    }
  } catch {
    return count
  }
}

export async function readAll(fetch, base) {
  return {
    busy: await read(fetch, `${base}/`, 350),
    pause: await read(fetch, `${base}/pause`, 350),
  }
}

if (globalThis.process) {
  const [name, base] = process.argv.slice(2)
  const { fetch } = name === 'undici' ? await import('undici') : globalThis
  console.log(JSON.stringify(await readAll(fetch, base)))
}
JAVASCRIPT

cat > seen.py <<'PYTHON'
import json
import os
import pathlib
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PAGE = """<!doctype html><link rel="icon" href="data:,"><script type="module">
import { readAll } from "/read.mjs"
const seen = await readAll((...all) => fetch(...all), location.origin + "/events")
await fetch("/", { method: "POST", body: JSON.stringify(seen) })
</script>"""
told = threading.Event()
seen = {}


class Server(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path.startswith("/events"):
            self.stream()
            return
        script = self.path == "/read.mjs"
        body = pathlib.Path("read.mjs").read_bytes() if script else PAGE.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/javascript" if script else "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def stream(self):
        """Six events, a tenth of a second apart; no last chunk."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for number in range(6):
            if number:
                time.sleep(0.1)
            event = f"data: {number}\n\n".encode()
            self.wfile.write(b"%x\r\n%b\r\n" % (len(event), event))
        if self.path.endswith("pause"):
            time.sleep(1)
        self.close_connection = True

    def do_POST(self):
        seen["Chromium"] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(204)
        self.end_headers()
        told.set()

    def log_message(self, *args):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}"
home = str(pathlib.Path.cwd())
home = {"HOME": home, "XDG_CONFIG_HOME": home, "XDG_CACHE_HOME": home, "TMPDIR": home}
options = [
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
    *("--disable-background-networking", "--disable-component-update", "--no-first-run"),
    *("--no-proxy-server", "--user-data-dir=profile"),
]
with pathlib.Path("log").open("wb") as log:
    chromium = subprocess.Popen(["chromium", *options, url], env=os.environ | home, stderr=log)
    try:
        assert told.wait(40), "Chromium does not answer"
    finally:
        chromium.terminate()
        chromium.wait(20)
for name, command in {
    "Node": ["node"],
    "undici": ["node"],
    "Bun": ["node_modules/.bin/bun"],
    "Deno": ["node_modules/.bin/deno", "run", "--quiet", "-A"],
}.items():
    command = [*command, "read.mjs", name, f"{url}/events"]
    seen[name] = json.loads(subprocess.run(command, stdout=-1, check=True, timeout=40).stdout)
print("events of six that are read before the error, where the reader takes 0.35 s for each piece,")
print("and where the server pauses before it breaks off, too:")
for name, counts in seen.items():
    print(f"{name:9} {list(counts.values())}")
assert seen.pop("Deno") == {"busy": 6, "pause": 6}
for counts in seen.values():
    assert counts["busy"] < 6
    assert counts["pause"] == 6
PYTHON
timeout 120 python3 seen.py
