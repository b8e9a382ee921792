#!/bin/sh
# backports.zstd 1.8.0 and zstandard 0.25.0, compared with zlib (Python 3.11 or newer) and
# brotli 1.2.1
#
# Expected: a flush puts out what has been settled so far. Of a compressor that was given nothing
#   yet this is the format's header, as zlib and brotli do it.
# Instead: FLUSH_BLOCK writes nothing before the first byte of data, in both packages; the header
#   comes with the first block. A last, empty block put behind such a flush by hand, which ends any
#   frame under way, is not a frame.
# Matters: what compresses a stream and flushes at its beginning, so that the response is under way
#   before the first event, has sent bytes in gzip and br, and none in zstd. What ends frames by
#   hand, because one compressor serves many clients, must know whether there was any data.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
python3 -m venv venv
venv/bin/pip --disable-pip-version-check install -q --no-compile \
    backports.zstd==1.8.0 zstandard==0.25.0 brotli==1.2.1

cat > seen.py <<'PYTHON'
import zlib

import brotli
import zstandard
from backports import zstd

LAST_BLOCK = (0b001).to_bytes(3, "little")  # last, of raw bytes, none of them
EVENT = b"data: 1\n\n"

begun = {
    "gzip": zlib.compressobj(wbits=31).flush(zlib.Z_SYNC_FLUSH),
    "brotli": brotli.Compressor().flush(),
    "zstandard": zstandard.ZstdCompressor()
    .compressobj()
    .flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK),
    "backports.zstd": zstd.ZstdCompressor().flush(zstd.ZstdCompressor.FLUSH_BLOCK),
}
for name, data in begun.items():
    print(f"{name}, flushed before any data: {data}")


def ended_by_hand(*pieces):
    """What a decompressor makes of pieces that were flushed, with the last block behind them."""
    compressor = zstd.ZstdCompressor()
    sent = b""
    for piece in pieces:
        sent += compressor.compress(piece) + compressor.flush(compressor.FLUSH_BLOCK)
    sent += compressor.flush(compressor.FLUSH_BLOCK)
    try:
        return zstd.decompress(sent + LAST_BLOCK)
    except zstd.ZstdError as error:
        return str(error)


one, none = ended_by_hand(EVENT), ended_by_hand()
print(f"ended by hand after one event: {one}\nended by hand after none: {none}")
assert begun["gzip"].startswith(b"\x1f\x8b") and begun["brotli"]
assert begun["zstandard"] == begun["backports.zstd"] == b""
assert one == EVENT
assert none == "Unable to decompress Zstandard data: Unknown frame descriptor"
PYTHON
timeout 60 venv/bin/python seen.py
