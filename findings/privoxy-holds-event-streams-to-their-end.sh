#!/bin/sh
# Privoxy 3.0.34 (Debian 12's package privoxy 3.0.34-1), with the configuration that it brings
#
# Expected: a filtering proxy in a user's own network passes on what it cannot filter: an endless
#   text/event-stream, which says `no-transform`, is no page with banners.
# Instead: it is text, so the filters that are on from the start want to see all of it: each event
#   waits for the end of the response, or for 4 MB, and then all come at once. JSON lines
#   (application/x-ndjson), which are not called text, pass as they come.
# Matters: over http: (what is encrypted passes it by) one user of many gets no event at all, while
#   the server, which sends and is not told anything, sees a healthy stream.
command -v apt-get >/dev/null || { echo "needs: Debian 12"; exit 2; }
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
apt-get download -q privoxy=3.0.34-1 \
    libmbedtls14=2.28.3-1 libmbedx509-1=2.28.3-1 libmbedcrypto7=2.28.3-1 \
    > downloaded.log 2>&1 || { cat downloaded.log; exit 2; }
for package in *.deb; do dpkg -x "$package" debian; done

cat > seen.py <<'PYTHON'
import os
import pathlib
import re
import socket
import subprocess
import threading
import time

EVENTS, APART = 4, 0.5
HEAD = b"HTTP/1.1 200 OK\r\nCache-Control: no-store, no-transform\r\nTransfer-Encoding: chunked\r\n"
folder = pathlib.Path.cwd()
debian = folder / "debian"


def answer(connection):
    kind = connection.recv(4096).split()[1].rpartition(b":")[2].partition(b"/")[2]
    connection.sendall(HEAD + b"Content-Type: " + kind + b"\r\n\r\n")
    for _ in range(EVENTS):
        event = f"data: {time.monotonic()}\n\n".encode()
        connection.sendall(b"%x\r\n%b\r\n" % (len(event), event))
        time.sleep(APART)
    connection.sendall(b"0\r\n\r\n")
    connection.close()


def serve(listener):
    while True:
        threading.Thread(target=answer, args=[listener.accept()[0]], daemon=True).start()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def connect(port):
    for _ in range(100):
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=20)
        except OSError:
            time.sleep(0.1)
    raise TimeoutError("Privoxy does not listen")


origin = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=serve, args=[origin], daemon=True).start()
port = free_port()
places = {
    "user-manual": None,
    "confdir": debian / "etc/privoxy",
    "logdir": folder,
    "listen-address": f"127.0.0.1:{port}",
}
usual = (debian / "usr/share/privoxy/config").read_text()
lines = [f"{name} {value}" for name, value in places.items() if value]
lines += [line for line in usual.splitlines() if line.split(" ")[0] not in places]
(folder / "config").write_text("\n".join(lines) + "\n")


def delays(kind, to):
    """Seconds from sending to arrival, of each event."""
    host = f"127.0.0.1:{origin.getsockname()[1]}"
    seen = []
    with connect(to) as client:
        request = f"GET http://{host}/{kind} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        client.sendall(request.encode())
        while len(seen) < EVENTS:
            data = client.recv(65536)
            now = time.monotonic()
            seen += [round(now - float(sent), 1) for sent in re.findall(rb"data: ([\d.]+)", data)]
    return seen


[libraries] = debian.glob("usr/lib/*-linux-gnu*")
privoxy = subprocess.Popen(
    [debian / "usr/sbin/privoxy", "--no-daemon", folder / "config"],
    env=os.environ | {"LD_LIBRARY_PATH": str(libraries)},
    stderr=subprocess.DEVNULL,
)
try:
    seen = {kind: delays(kind, port) for kind in ("text/event-stream", "application/x-ndjson")}
    seen["without Privoxy"] = delays("text/event-stream", origin.getsockname()[1])
finally:
    privoxy.terminate()
    privoxy.wait(20)
print("seconds from sending to arrival, of each event:")
for kind, times in seen.items():
    print(f"{kind:21} {times}")
held, *others = seen.values()
assert all(time > (EVENTS - number) * APART - 0.2 for number, time in enumerate(held))
assert all(time < 0.3 for times in others for time in times)
PYTHON
timeout 60 python3 seen.py
