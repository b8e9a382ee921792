#!/bin/sh
# nginx 1.22.1 with nchan 1.3.6 (Debian 12's packages nginx and libnginx-mod-nchan 1:1.3.6+dfsg-2)
#
# Expected: `gzip on` and `gzip_types text/event-stream` compress every response of that type, as
#   they do with a text of nginx's own and with a stream from an upstream.
# Instead: what nchan itself sends to an EventSource goes out as it is, without a word in the log;
#   `gzip_types *` changes nothing. If nginx proxies to itself and nchan answers there, the same
#   stream is compressed.
# Matters: who turns compression on for a server sees it work on everything but the streams, which
#   send most and repeat themselves most.
grep -q '^12\.' /etc/debian_version || { echo "needs Debian 12"; exit 2; }
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
apt-get download -qq nginx libnginx-mod-nchan=1:1.3.6+dfsg-2 2>/dev/null || {
    echo "needs: apt-get update"
    exit 2
}
for package in *.deb; do dpkg-deb --extract "$package" debian; done
mkdir logs

cat > seen.py <<'PYTHON'
import pathlib
import socket
import subprocess
import time
import urllib.request
import zlib

EVENTS = 5
TEXT = "much of what it says is said again and again; "
folder = pathlib.Path.cwd()
nginx = folder / "debian/usr/sbin/nginx"
command = [nginx, "-p", folder, "-c", folder / "nginx.conf", "-e", folder / "error.log"]
[version] = subprocess.run([nginx, "-v"], capture_output=True, text=True).stderr.splitlines()
print(version)
temporary = "".join(
    f"{name}_temp_path {name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
)
with socket.create_server(("127.0.0.1", 0)) as probe:
    port = probe.getsockname()[1]
events = f"data: {TEXT}\\n\\n" * EVENTS
nchan = "nchan_channel_id one; nchan_message_timeout 1m"


def configuration(types):
    return f"""
daemon off; pid nginx.pid;
load_module {folder}/debian/usr/lib/nginx/modules/ngx_nchan_module.so;
events {{}}
http {{
  access_log off; {temporary}
  gzip on; gzip_types {types}; gzip_min_length 0; gzip_http_version 1.0; gzip_proxied any;
  server {{
    listen 127.0.0.1:{port};
    location = /publish {{ nchan_publisher; {nchan}; }}
    location = /nchan {{
      nchan_subscriber eventsource; nchan_subscriber_first_message oldest; {nchan};
    }}
    location = /text {{ default_type text/event-stream; return 200 "{events}"; }}
    location = /proxied {{
      proxy_pass http://127.0.0.1:{port}/nchan;
      proxy_http_version 1.1; proxy_buffering off;
    }}
  }}
}}
"""


def connect():
    for _ in range(200):
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=10)
        except OSError:
            time.sleep(0.1)
    raise TimeoutError("nginx does not listen")


def ask(path):
    """The type and the coding of the response, when all events are there."""
    received = b""
    with connect() as client:
        lines = [f"GET {path} HTTP/1.0", "Host: x", "Accept: text/event-stream"]
        client.sendall("\r\n".join([*lines, "Accept-Encoding: gzip", "", ""]).encode())
        while True:
            data = client.recv(4096)
            assert data, "ended before all events were there"
            received += data
            head, _, body = received.partition(b"\r\n\r\n")
            fields = dict(line.lower().split(": ", 1) for line in head.decode().split("\r\n")[1:])
            if coding := fields.get("content-encoding"):
                body = zlib.decompressobj(wbits=31).decompress(body)
            if body.count(b"data: ") >= EVENTS:
                return fields["content-type"].partition(";")[0], coding


def run(types):
    (folder / "nginx.conf").write_text(configuration(types))
    server = subprocess.Popen(command)
    try:
        connect().close()
        for _ in range(EVENTS):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/publish", TEXT.encode()).close()
        seen = {path: ask(path) for path in ("/text", "/nchan", "/proxied")}
    finally:
        server.terminate()
        server.wait(20)
    print(f"gzip_types {types}: {seen}")
    return seen


for types in ("text/event-stream", "*"):
    stream = "text/event-stream"
    wanted = {"/text": (stream, "gzip"), "/nchan": (stream, None), "/proxied": (stream, "gzip")}
    assert run(types) == wanted
PYTHON
timeout 60 python3 seen.py
