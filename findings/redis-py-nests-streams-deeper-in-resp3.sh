#!/bin/sh
# redis-py 8.1.0 (PyPI: redis), with Debian 12's redis-server 7.0 or any newer one
#
# Expected: `protocol=3` is another wire format of the same answers. RESP3 makes a map of XREAD's
#   answer, so stream -> entries instead of a list of pairs.
# Instead: the entries are wrapped in one list more. Where XREAD found one entry, `for id, fields in
#   entries` raises; where it found two, nothing is raised: the first entry passes for the id and
#   the second for the fields. XRANGE is the same under both protocols.
# Matters: a test with one event fails loudly and gets "mended", one with three raises again; two
#   events in one read are misread in silence.
command -v redis-server >/dev/null || { echo "needs redis-server (Debian: apt-get install redis-server)"; exit 2; }
redis-server --version | grep -E 'v=([6-9]|[1-9][0-9])\.' || { echo "needs Redis 6 or newer"; exit 2; }
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
python3 -m venv venv
venv/bin/pip --disable-pip-version-check install -q --no-compile redis==8.1.0

cat > seen.py <<'PYTHON'
import subprocess
import time

import redis

server = subprocess.Popen(
    ["redis-server", "--port", "0", "--unixsocket", "redis.sock", "--save", ""],
    stdout=subprocess.DEVNULL,
)


def loop(protocol, count):
    """What the loop that everybody writes sees of that many entries."""
    client = redis.Redis(unix_socket_path="redis.sock", protocol=protocol)
    client.delete("log")
    for number in range(1, count + 1):
        client.xadd("log", {"n": number}, id=f"{number}-0")
    answer = client.xread({"log": "0"})
    assert client.xrange("log") == [
        (b"%d-0" % number, {b"n": b"%d" % number}) for number in range(1, count + 1)
    ]
    client.close()
    seen = []
    try:
        for _, entries in answer.items() if isinstance(answer, dict) else answer:
            for id, fields in entries:
                seen.append((id, fields))
    except ValueError as error:
        return str(error)
    return seen


try:
    for _ in range(100):
        try:
            redis.Redis(unix_socket_path="redis.sock").ping()
            break
        except redis.ConnectionError:
            time.sleep(0.1)
    seen = {(protocol, count): loop(protocol, count) for protocol in (2, 3) for count in (1, 2, 3)}
finally:
    server.terminate()
    server.wait(20)
for (protocol, count), result in seen.items():
    print(f"RESP{protocol}, {count} entries: {result}")
first, second = (b"1-0", {b"n": b"1"}), (b"2-0", {b"n": b"2"})
assert seen[2, 1] == [first]
assert seen[2, 2] == [first, second]
assert seen[3, 1] == "not enough values to unpack (expected 2, got 1)"
assert seen[3, 2] == [(first, second)]
assert seen[3, 3] == "too many values to unpack (expected 2)"
PYTHON
timeout 60 venv/bin/python seen.py
