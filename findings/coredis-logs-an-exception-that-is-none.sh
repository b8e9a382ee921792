#!/bin/sh
# coredis 6.9.0 (under Trio 0.35.0), with Debian 12's redis-server 7.0 or any newer one
#
# Expected: when a connection is lost, the log says why: the client has the exception at hand.
# Instead: "Connection closed unexpectedly!" is logged with `exc_info=True` at a place where no
#   exception is being handled. Behind the line stands "NoneType: None", and the reason is lost.
# Matters: after a failover there is one such pair of lines for each connection, and none tells a
#   server that closed from a network that failed. Where each line is a record, "NoneType: None" is
#   one without time or level; what counts records with an exception counts them.
command -v redis-server >/dev/null || { echo "needs redis-server (Debian: apt-get install redis-server)"; exit 2; }
redis-server --version | grep -E 'v=([7-9]|[1-9][0-9])\.' || { echo "needs Redis 7 or newer"; exit 2; }
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
python3 -m venv venv
venv/bin/pip --disable-pip-version-check install -q --no-compile coredis==6.9.0 trio==0.35.0

cat > seen.py <<'PYTHON'
import io
import logging
import pathlib
import subprocess
import time

import coredis
import trio

TEXT = "Connection closed unexpectedly!"
address = str(pathlib.Path("redis.sock").absolute())
server = subprocess.Popen(
    ["redis-server", "--port", "0", "--unixsocket", address, "--save", ""],
    stdout=subprocess.DEVNULL,
)
log = io.StringIO()
logged = trio.Event()
records = []


class Handler(logging.StreamHandler):
    def emit(self, record):
        super().emit(record)
        records.append(record)
        if record.getMessage() == TEXT:
            logged.set()


logging.basicConfig(
    level=logging.INFO, handlers=[Handler(log)], format="%(levelname)s %(name)s: %(message)s"
)


async def main():
    with trio.fail_after(40):
        async with coredis.Redis(unix_socket_path=address) as client:
            assert await client.ping() == b"PONG"
            server.terminate()
            await logged.wait()


try:
    for _ in range(100):
        if pathlib.Path(address).exists():
            break
        time.sleep(0.1)
    trio.run(main)
finally:
    server.terminate()
    server.wait(20)
print(log.getvalue(), end="")
assert log.getvalue() == f"INFO coredis: {TEXT}\nNoneType: None\n"
assert [record.exc_info for record in records] == [(None, None, None)]
PYTHON
timeout 60 venv/bin/python seen.py
