"""This project as its own `serve` starts it.

`python -m benchmarks.servers.serve PORT [NAME VALUE]...`: what follows are Hypercorn's settings.
"""

from __future__ import annotations

import sys
from functools import partial

import trio

from benchmarks.servers.trio_stream_app import app
from trio_stream import serve

if __name__ == "__main__":
    port, *words = sys.argv[1:]
    settings = dict(zip(words[::2], words[1::2], strict=True))
    trio.run(partial(serve, app, bind=f"127.0.0.1:{port}", loglevel="WARNING", **settings))
