#!/bin/sh
# redis-py 8.1.0 (PyPI: redis), with Debian 12's redis-server 7.0 or any newer one
#
# Expected: a command whose answer is lost with its connection raises ConnectionError: nobody knows
#   whether it was done, and only the caller knows whether it may be done again. Older versions did.
# Instead: by its default the client connects anew and sends it again, whatever it is. An XADD that
#   Redis had done is done once more, and the program sees one id and no error. PUBLISH, INCR and
#   LPUSH are no different. `retry=Retry(NoBackoff(), 0)` raises.
# Matters: at a failover, a proxy's restart or an idle limit an event is on the stream twice, under
#   two ids, each as good as the other; no reader can tell that they are one.
command -v redis-server >/dev/null || { echo "needs: apt-get install redis-server"; exit 2; }
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
python3 -m venv venv
venv/bin/pip --disable-pip-version-check install -q --no-compile redis==8.1.0

cat > seen.py <<'PYTHON'
import contextlib
import socket
import subprocess
import threading
import time

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

with socket.create_server(("127.0.0.1", 0)) as probe:
    port = probe.getsockname()[1]
server = subprocess.Popen(
    ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", ""],
    stdout=subprocess.DEVNULL,
)
between = socket.create_server(("127.0.0.1", 0))
to_lose = []


def relay():
    while True:
        client, _ = between.accept()
        threading.Thread(target=relay_one, args=(client,), daemon=True).start()


def relay_one(client):
    """Passes commands and answers on, and closes instead of the answer that is to be lost."""
    with client, socket.create_connection(("127.0.0.1", port)) as upstream:
        while command := client.recv(65536):
            upstream.sendall(command)
            answer = upstream.recv(65536)
            if to_lose and to_lose[0] in command:
                to_lose.clear()
                return
            client.sendall(answer)


def added(stream, **options):
    """How often one `xadd`, whose answer is lost, is on the stream; and what it raised."""
    with redis.Redis(port=between.getsockname()[1], **options) as client:
        client.ping()
        raised = None
        to_lose.append(b"XADD")
        try:
            client.xadd(stream, {"order": 1})
        except redis.ConnectionError as error:
            raised = type(error).__name__
        return client.xlen(stream), raised


try:
    for _ in range(300):
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port)).close()
            break
        time.sleep(0.1)
    threading.Thread(target=relay, daemon=True).start()
    by_itself = added("orders")
    told = added("others", retry=Retry(NoBackoff(), 0))
finally:
    server.terminate()
    server.wait(20)
print(f"one xadd, its answer lost: entries and error {by_itself}; with no retries {told}")
assert by_itself == (2, None) and told == (1, "ConnectionError")
PYTHON
timeout 60 venv/bin/python seen.py
