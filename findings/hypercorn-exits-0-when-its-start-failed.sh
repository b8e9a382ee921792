#!/bin/sh
# Hypercorn 0.18.0 (its command, with the one worker that is the default; Trio 0.35.0)
#
# Expected: when the application answers lifespan.startup.failed (no database, a setting missing)
#   the server does not start, and its exit code says so.
# Instead: the traceback with the application's message is printed and the server ends, with exit
#   code 0. That is so with the Trio and with the asyncio worker. Only `--workers 0`, which runs
#   the application in the command's own process, exits with 1.
# Matters: a service that systemd is to restart on failure stays down as "inactive (dead)", a job
#   whose container could not start is complete, and `hypercorn app:app && next` goes on.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
python3 -m venv venv
venv/bin/pip --disable-pip-version-check install -q --no-compile hypercorn==0.18.0 trio==0.35.0

cat > app.py <<'PYTHON'
async def app(scope, receive, send):
    assert scope["type"] == "lifespan"
    assert (await receive())["type"] == "lifespan.startup"
    await send({"type": "lifespan.startup.failed", "message": "the database is away"})
PYTHON

cat > seen.py <<'PYTHON'
import subprocess
import sys


def start(worker_class, *options):
    """The exit code, and whether the application's message was printed."""
    command = [sys.executable, "-m", "hypercorn", "--bind", "127.0.0.1:0"]
    command += ["--worker-class", worker_class, *options, "app:app"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        _, errors = server.communicate(timeout=30)
    except subprocess.TimeoutExpired:
        server.terminate()  # its worker, too
        raise
    return server.returncode, "the database is away" in errors


seen = {}
for worker_class in ("trio", "asyncio"):
    for options in ((), ("--workers", "1"), ("--workers", "0")):
        name = " ".join([worker_class, *options])
        seen[name] = start(worker_class, *options)
        print(f"{name}: exit code {seen[name][0]}, message printed: {seen[name][1]}")
assert seen == {
    "trio": (0, True),
    "trio --workers 1": (0, True),
    "trio --workers 0": (1, True),
    "asyncio": (0, True),
    "asyncio --workers 1": (0, True),
    "asyncio --workers 0": (1, True),
}
PYTHON
timeout 120 venv/bin/python seen.py
