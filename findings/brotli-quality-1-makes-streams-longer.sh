#!/bin/sh
# brotli 1.2.1 (PyPI), Google's own library
#
# Expected: a lower quality compresses a little less and takes less time. For a stream that is
#   flushed after each event one takes a low one.
# Instead: qualities 0 and 1 do not look back beyond a flush. JSON events that are nearly alike come
#   out longer than they went in, while quality 2 makes a third of them, and gzip's fastest level
#   less.
# Matters: "quality 1, as it is live" is the obvious setting, and all it brings is the time it
#   takes. One step more is the whole difference.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
python3 -m venv venv
venv/bin/pip --disable-pip-version-check install -q --no-compile brotli==1.2.1

cat > seen.py <<'PYTHON'
import json
import random
import zlib

import brotli

chance = random.Random(1)


def tick(number):
    price = round(chance.uniform(100, 200), 2)
    values = {"symbol": chance.choice(["AAPL", "MSFT", "GOOG"]), "bid": price, "ask": price + 0.01}
    values |= {"time": 1700000000 + number, "venue": "XNAS", "currency": "USD", "kind": "quote"}
    return f"data: {json.dumps(values)}\n\n".encode()


EVENTS = [tick(number) for number in range(300)]
plain = sum(len(event) for event in EVENTS)


def by_brotli(quality):
    compressor = brotli.Compressor(quality=quality)
    pieces = [compressor.process(event) + compressor.flush() for event in EVENTS]
    assert brotli.decompress(b"".join(pieces) + compressor.finish()) == b"".join(EVENTS)
    return round(sum(map(len, pieces)) / plain, 2)


def by_gzip(level):
    compressor = zlib.compressobj(level, wbits=31)
    pieces = [compressor.compress(event) + compressor.flush(zlib.Z_SYNC_FLUSH) for event in EVENTS]
    return round(sum(map(len, pieces)) / plain, 2)


seen = {f"brotli {quality}": by_brotli(quality) for quality in (0, 1, 2, 5)} | {"gzip 1": by_gzip(1)}
print(f"of {plain} bytes in {len(EVENTS)} events, each flushed: {seen}")
assert seen["brotli 0"] > 1
assert seen["brotli 1"] > 1
assert seen["brotli 2"] < 0.4
assert seen["gzip 1"] < 0.4
PYTHON
timeout 60 venv/bin/python seen.py
