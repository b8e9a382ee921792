"""The streams that each framework's app serves, and what is known of those that have ended."""

import os
from collections.abc import AsyncIterator
from typing import Any

import httpx
import trio

from trio_stream import Stream
from trio_stream.transport import asgi

# A server that a test starts waits longer than any test for the rest of a body that has come whole.
asgi._BODY_SECONDS = float(os.environ.get("BODY_SECONDS", asgi._BODY_SECONDS))

ended: list[dict[str, Any]] = []


def endless() -> Stream:
    """Counts for ever; what its generator learns when it is closed goes into `ended`."""

    async def count() -> AsyncIterator[int]:
        number = 0
        try:
            while True:
                yield number
                number += 1
                await trio.sleep(0.02)
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(0)  # its `finally` may wait
            ended.append({"outcome": stream.outcome})

    stream = Stream(count(), event="tick", headers={"x-own": "stream"})
    return stream


def finite() -> Stream:
    return Stream(["one", "two"], event="number", retry=2000)


def upstream_down() -> Stream:
    async def connect() -> None:
        raise httpx.ConnectError("nobody there")

    return Stream(connect())


def failing() -> Stream:
    async def values() -> AsyncIterator[str]:
        yield "one"
        raise ZeroDivisionError("the producer's own")

    return Stream(values())


def lines() -> Stream:
    """NDJSON, and then no more: a middleware that compresses does compress it."""

    async def count() -> AsyncIterator[dict[str, int]]:
        for number in range(3):
            yield {"number": number}
        await trio.sleep_forever()

    return Stream(count(), format="ndjson")
