"""What is left of a stream that has ended is freed at once, and not by the garbage collector.

A crowd that comes and goes would leave a circle of objects for each client. The collector finds
them while the next one comes, and looks at all that those hold who are there.
"""

import gc
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import trio

from tests.support.hypercorn_here import HypercornHere
from tests.support.raw import read_until, send_request
from trio_stream import Stream, StreamMiddleware
from trio_stream.testing import connect
from trio_stream.transport.memory import Application


@contextmanager
def left_in_circles() -> Iterator[list[Any]]:
    """What the block leaves that only the garbage collector frees: filled in at its end."""
    left: list[Any] = []
    gc.collect()
    gc.disable()
    try:
        yield left
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
    finally:
        gc.set_debug(0)
        left += [thing for thing in gc.garbage if is_ours(thing)]
        gc.garbage.clear()
        gc.enable()


def is_ours(thing: object) -> bool:
    """Whether it is a part of a stream; what a test's client consists of is not."""
    module = type(thing).__module__
    return module.startswith(("trio_stream.stream", "trio_stream.transport.hypercorn")) or (
        module.startswith("hypercorn") and module != "hypercorn.config"
    )


async def greet(stream: Stream) -> None:
    await stream.send("hello")


async def stay(stream: Stream) -> None:
    stream.start_soon(trio.sleep_forever)
    await stream.send("hello")
    await trio.sleep_forever()


async def close(stream: Stream) -> None:
    await stream.send("hello")
    stream.close()
    with pytest.raises(trio.ClosedResourceError):
        stream.send_nowait("too late")


async def fail(stream: Stream) -> None:
    await stream.send("hello")
    raise ZeroDivisionError("the producer's own")


async def numbers() -> AsyncIterator[int]:
    for number in range(3):
        yield number
        await trio.sleep(1)


def make(kind: str) -> Stream:
    if kind == "a generator":
        return Stream(numbers())
    if kind == "expires":
        return Stream(stay, max_duration=5)
    if kind == "is silent":
        return Stream(stay, idle_timeout=5)
    if kind == "is refused":
        return Stream(stay, authorize=lambda scope: 403)
    return Stream({"closes": close, "fails": fail, "the client leaves": stay}.get(kind, greet))


KINDS = [
    "completes",
    "a generator",
    "closes",
    "fails",
    "expires",
    "is silent",
    "is refused",
    "the client leaves",
]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "fails"])  # kept by the client
async def test_in_memory(kind: str, autojump_clock: trio.testing.MockClock) -> None:
    async def once() -> None:
        async with connect(make(kind), raise_app_exceptions=False) as client:
            if kind == "the client leaves":
                await client.receive_event()
            else:
                await client.read()

    await once()  # what is made once is there then
    with left_in_circles() as left:
        await once()
    assert left == []


@pytest.mark.parametrize("by", ["hypercorn", "StreamMiddleware", "serve"])
@pytest.mark.parametrize("kind", KINDS)
async def test_on_hypercorn(kind: str, by: str, autojump_clock: trio.testing.MockClock) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await make(kind)(scope, receive, send)

    answers: Application = app if by == "hypercorn" else StreamMiddleware(app)

    async def once() -> None:
        here = HypercornHere(answers, served=by == "serve")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(here.run)
            if kind == "the client leaves":
                await send_request(here.client, "/")
                await read_until(here.client, b"hello")
                await here.client.aclose()
            else:
                await here.read("HTTP/1.1")

    await once()
    with left_in_circles() as left:
        await once()
    assert left == []


async def test_entered() -> None:
    async def once() -> None:
        async with Stream(greet) as stream:
            assert [piece async for piece in stream.value]

    await once()
    with left_in_circles() as left:
        await once()
    assert left == []
