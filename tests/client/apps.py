"""What the tests of the client run on a real server."""

from __future__ import annotations

from trio_stream import Stream, stream_app


@stream_app
async def ticks(stream: Stream) -> None:
    """Numbers, for ever; the log says when a client has left."""
    number = 0
    try:
        while True:
            number += 1
            await stream.send({"n": number}, event="tick", id=number)
            await stream.wait(0.02)
    finally:
        print(f"LEFT {stream.outcome}", flush=True)  # noqa: T201


@stream_app
async def few(stream: Stream) -> None:
    """Three, whoever comes back for more."""
    for number in range(1, 4):
        await stream.send({"n": number}, event="tick", id=number)
