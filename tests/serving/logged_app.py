"""An application that logs each stream's end, and fails as HTTP clients do: run by Hypercorn."""

from __future__ import annotations

import logging

import httpx
import trio

from trio_stream import Stream, stream_app

logging.basicConfig(level=logging.INFO)
logging.getLogger("trio_stream").setLevel(logging.DEBUG)


@stream_app
async def app(stream: Stream) -> None:
    if stream.scope is not None and stream.scope["path"] == "/upstream":
        asked = httpx.Request("GET", "http://user:s3cret@upstream.example/v1?key=s3cret")
        httpx.Response(401, request=asked).raise_for_status()
    await stream.send("x")
    await trio.sleep_forever()
