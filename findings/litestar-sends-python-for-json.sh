#!/bin/sh
# Litestar 2.25.0, ServerSentEvent (on Hypercorn 0.18.0, Trio 0.35.0)
#
# Expected: what a handler returns is JSON in Litestar, by msgspec, be it a dict, a list or a
#   dataclass; so is the data of an event, or it is refused.
# Instead: data that is no text is written by str(): {'n': 1, 'done': True, 'left': None}. A list
#   that the generator yields likewise.
# Matters: with numbers alone, or a list of them, it looks like JSON and parses; with the first
#   text, bool or None it is a SyntaxError in the page. `event.data` in a log reads all right at a
#   glance.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
python3 -m venv venv
venv/bin/pip --disable-pip-version-check install -q --no-compile \
    litestar==2.25.0 hypercorn==0.18.0 trio==0.35.0

cat > app.py <<'PYTHON'
from litestar import Litestar, get
from litestar.response import ServerSentEvent
from litestar.response.sse import ServerSentEventMessage

ITEM = {"n": 1, "done": True, "left": None}


async def events():
    yield ServerSentEventMessage(data=ITEM)
    yield [1, 2]
    yield ["a", None]


@get("/json")
async def as_json() -> dict:
    return ITEM


@get("/events")
async def as_events() -> ServerSentEvent:
    return ServerSentEvent(events())


app = Litestar([as_json, as_events])
PYTHON

cat > seen.py <<'PYTHON'
import socket
import subprocess
import sys
import time
import urllib.request

with socket.create_server(("127.0.0.1", 0)) as probe:
    bind = "127.0.0.1:%d" % probe.getsockname()[1]
command = [sys.executable, "-m", "hypercorn", "-k", "trio", "--bind", bind, "app:app"]
server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def get(path):
    for _ in range(300):
        try:
            return opener.open(f"http://{bind}{path}", timeout=20).read().decode()
        except OSError:
            time.sleep(0.1)
    raise TimeoutError("the server does not answer")


try:
    json, stream = get("/json"), get("/events")
finally:
    server.terminate()
    server.wait(30)
print(f"JSON: {json}\nevents: {stream!r}")
assert json == '{"n":1,"done":true,"left":null}'
assert stream == (
    "data: {'n': 1, 'done': True, 'left': None}\r\n\r\n"
    "data: [1, 2]\r\n\r\ndata: ['a', None]\r\n\r\n"
)
PYTHON
timeout 60 venv/bin/python seen.py
