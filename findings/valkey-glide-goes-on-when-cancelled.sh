#!/bin/sh
# valkey-glide 2.6.0 (on Trio 0.35.0), with Debian 12's redis-server 7.0 or any newer one
#
# Expected: an XREAD that waits and is cancelled, by a timeout or because its client has left, is
#   over: the client, which says that it runs on Trio, can be used as before.
# Instead: the cancellation returns at once, and the XREAD waits on at the server, for as long as
#   its block_ms says. It has the client's one connection: whatever is asked of it meanwhile, a GET
#   for instance, raises a TimeoutError after a quarter of a second, which is the client's default.
# Matters: one reader who gives up makes a client useless that all others share. A client for each
#   that waits is what the manual asks for; what is not said is that it is lost after a
#   cancellation, too.
command -v redis-server >/dev/null || { echo "needs: apt-get install redis-server"; exit 2; }
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
python3 -m venv venv
venv/bin/pip --disable-pip-version-check install -q --no-compile valkey-glide==2.6.0 trio==0.35.0

cat > seen.py <<'PYTHON'
import contextlib
import socket
import subprocess
import time

import trio
from glide import (
    GlideClient,
    GlideClientConfiguration,
    NodeAddress,
    StreamReadOptions,
    TimeoutError,
)

with socket.create_server(("127.0.0.1", 0)) as probe:
    port = probe.getsockname()[1]
server = subprocess.Popen(
    ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", ""],
    stdout=subprocess.DEVNULL,
)


async def get(client):
    try:
        return await client.get("key")
    except TimeoutError as error:
        return f"{type(error).__name__}: {error}"


async def main():
    config = GlideClientConfiguration([NodeAddress("127.0.0.1", port)])
    client = await GlideClient.create(config)
    await client.set("key", "value")
    seen = [await get(client)]
    with trio.move_on_after(0.3) as timeout:
        await client.xread({"events": "$"}, StreamReadOptions(block_ms=4000))
    assert timeout.cancelled_caught
    seen.append(await get(client))
    await trio.sleep(6)
    seen.append(await get(client))
    await client.close()
    return seen


try:
    for _ in range(300):
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port)).close()
            break
        time.sleep(0.1)
    before, after, later = trio.run(main)
finally:
    server.terminate()
    server.wait(20)
print(f"GET before an XREAD of 4 s: {before}; after it was cancelled: {after}; 6 s later: {later}")
assert before == later == b"value" and after == "TimeoutError: timed out"
PYTHON
timeout 60 venv/bin/python seen.py 2>log || { cat log; exit 1; }
