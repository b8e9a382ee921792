#!/bin/sh
# Chromium 156.0.8078 (Debian 12's package chromium 156.0.8078.108-1~deb12u1) and undici 7.30.2,
# beside eventsource 4.1.1 (npm, on Node 20)
#
# Expected: a temporary redirect (302, 303, 307) is good for one request. An EventSource whose
#   stream has ended asks its own address again, which may send it elsewhere now; its `url` says
#   that address.
# Instead: in Chromium and with undici it returns to where it was redirected to, as long as it
#   lives, after a 302 as after a 308. `url` still says the first address. eventsource asks the
#   first one again each time.
# Matters: who spreads streams over machines by redirects has clients that return to a machine which
#   was taken away, and a signed address that ran out is asked again and again; the place that would
#   send them elsewhere hears of none of it.
chromium --version 2>/dev/null | grep -q ' 156\.' || { echo "needs: apt-get install chromium"; exit 2; }
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
npm init -y > /dev/null
npm install --silent --no-audit --no-fund undici@7.30.2 eventsource@4.1.1

cat > seen.py <<'PYTHON'
import json
import os
import pathlib
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CODES = [301, 302, 303, 307, 308]
PAGE = """<!doctype html><link rel="icon" href="data:,"><script>
const thrice = path => new Promise(done => {
  const source = new EventSource(path)
  let events = 0
  source.onmessage = () => { if (++events == 3) { source.close(); done(source.url) } }
})
Promise.all(CODES.map(code => thrice(`/from/${code}`)))
  .then(all => fetch('/', { method: 'POST', body: JSON.stringify(all) }))
</script>""".replace("CODES", str(CODES))
NODE = """
import { EventSource } from 'eventsource'
import { EventSource as Undici } from 'undici'
const thrice = (Source, url) => new Promise(done => {
  const source = new Source(url)
  let events = 0
  source.onmessage = () => { if (++events === 3) { source.close(); done() } }
})
const [name, base] = process.argv.slice(2)
const Source = name === 'undici' ? Undici : EventSource
const awake = setInterval(() => {}, 1000)
for (const code of CODES) await thrice(Source, `${base}from/${code}`)
clearInterval(awake)
""".replace("CODES", "[301, 302, 307, 308]")
told = threading.Event()
asked, urls = [], []


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/":
            self.answer(200, [("Content-Type", "text/html")], PAGE)
            return
        asked.append(self.path)
        if self.path.startswith("/from/"):
            code = self.path.removeprefix("/from/")
            self.answer(int(code), [("Location", f"/to/{code}")], "")
        else:
            body = "retry: 100\ndata: an event\n\n"
            self.answer(200, [("Content-Type", "text/event-stream")], body)

    def answer(self, status, headers, body):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body.encode())

    def do_POST(self):
        urls.extend(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
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
once, each_time = ["from", "to", "to", "to"], ["from", "to"] * 3


def paths(code):
    return [path.split("/")[1] for path in asked if path.endswith(f"/{code}")]


in_chromium = {code: paths(code) for code in CODES}
print(f"Chromium: {in_chromium}, its url: {urls[1].removeprefix(url)}")
assert all(seen == once for seen in in_chromium.values())
assert [seen.removeprefix(url) for seen in urls] == [f"from/{code}" for code in CODES]
pathlib.Path("seen.mjs").write_text(NODE)
for name, expected in (("undici", once), ("eventsource", each_time)):
    asked.clear()
    subprocess.run(["node", "seen.mjs", name, url], check=True, stderr=subprocess.DEVNULL)
    on_node = {code: paths(code) for code in (301, 302, 307, 308)}
    print(f"{name}: {on_node}")
    assert all(seen == expected for seen in on_node.values())
PYTHON
timeout 60 python3 seen.py
