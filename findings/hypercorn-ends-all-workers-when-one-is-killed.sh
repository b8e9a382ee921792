#!/bin/sh
# Hypercorn 0.18.0 (its command with two workers, on Trio 0.35.0), beside uvicorn 0.54.0
#
# Expected: when one worker of several is killed (by the kernel, for want of memory), the others go
#   on serving and the command starts another one in its place. uvicorn's does.
# Instead: Hypercorn's command tells the others to shut down, and ends itself, without a line that
#   says why and with an exit code that says nothing: 0, or 241 if another worker was ended by its
#   signal. Nothing listens any more.
# Matters: every open stream of the machine ends because one process took too much memory; without
#   somebody who starts the command again whatever its exit code it stays so.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
python3 -m venv venv
venv/bin/pip --disable-pip-version-check install -q --no-compile \
    hypercorn==0.18.0 trio==0.35.0 uvicorn==0.54.0

cat > app.py <<'PYTHON'
import os


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            kind = (await receive())["type"]
            await send({"type": f"{kind}.complete"})
            if kind == "lifespan.shutdown":
                return
    headers = [(b"connection", b"close")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": str(os.getpid()).encode()})
PYTHON

cat > seen.py <<'PYTHON'
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request

with socket.socket() as sock:  # both commands want to be told a number
    sock.bind(("127.0.0.1", 0))
    port = sock.getsockname()[1]


def asked(seconds):
    """The process that answers, or None if nobody does so long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as response:
                return int(response.read())
        except OSError:
            time.sleep(0.1)
    return None


def kill_one(*command):
    """The command's exit code, None while it runs on; whether somebody answers; what it printed."""
    server = subprocess.Popen(
        [sys.executable, "-m", *command, "app:app"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        worker = asked(30)
        assert worker not in (None, server.pid)
        os.kill(worker, signal.SIGKILL)
        try:
            code = server.wait(10)
        except subprocess.TimeoutExpired:
            code = None
        answered = asked(2) is not None
    finally:
        server.terminate()
        printed, _ = server.communicate(timeout=30)
    return code, answered, [line for line in printed.splitlines() if "Running on" not in line]


code, answered, printed = kill_one(
    "hypercorn", "--worker-class", "trio", "--workers", "2", "--bind", f"127.0.0.1:{port}"
)
print(f"hypercorn: exit code {code}, somebody answers: {answered}, it said: {printed}")
assert code in (0, 241) and not answered and printed == []

code, answered, printed = kill_one("uvicorn", "--workers", "2", "--port", str(port))
print(f"uvicorn: exit code {code}, somebody answers: {answered}")
assert code is None and answered
PYTHON
timeout 180 venv/bin/python seen.py
